"""The state of a trial besides its trainer, as a checkpoint holds it, and fingerprints of where it was written."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from benchmark.core import environment
from benchmark.core.spec import content_hash
from benchmark.data.arrays import PreparedData
from benchmark.store.records import Measurement
from benchmark.training.trainer import Trainer
from benchmark.trials.events import Events
from benchmark.trials.job import Job
from benchmark.trials.stopwatch import CheckpointPolicy, Stopwatch

# The keys of an environment that may change the last bits of a training.
ENVIRONMENT_KEYS = ("python", "cpu", "threads", "gpu", "packages", "source", "together")


def now() -> str:
    """The current time, as records hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(kw_only=True)
class TrialState:
    """Everything that a trial has collected for its record.

    Attributes:
        started: when the first attempt started.
        history: the measurements so far.
        evaluations: metrics of the last evaluations, as they were before averaging.
        redraws: metrics of the last measurement, from other latents each.
        histograms: of the last measurement.
        losses: mean losses of a measurement that has not been taken yet.
        samples: those of the last measurement that the record keeps, images or points.
        peak_memory: in MiB, of earlier attempts.
    """

    policy: CheckpointPolicy
    started: str = field(default_factory=now)
    history: list[Measurement] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    redraws: list[dict[str, float]] = field(default_factory=list)
    histograms: dict[str, list[int]] = field(default_factory=dict)
    losses: dict[str, float] | None = None
    samples: Tensor | None = None
    peak_memory: float = 0.0
    events: Events = field(default_factory=Events)

    @property
    def watch(self) -> Stopwatch:
        """The stopwatch of the trial."""
        return self.policy.watch

    @property
    def measured_step(self) -> int:
        """The step of the last measurement, 0 before the first."""
        return self.history[-1].step if self.history else 0

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the last measurement, empty before the first."""
        return self.history[-1].metrics if self.history else {}

    def to_checkpoint(self, trainer: Trainer) -> dict[str, Any]:
        """The state and the trainer's, in the keys of a checkpoint."""
        return {
            "trainer": trainer.state(),
            "started": self.started,
            "history": [measurement.model_dump() for measurement in self.history],
            "evaluations": self.evaluations,
            "redraws": self.redraws,
            "histograms": self.histograms,
            "losses": self.losses,
            "sheet": self.samples,
            "events": self.events.to_plain(),
            "seconds": self.watch.totals(),
            "took": self.policy.last_cost,
            "peak_memory": self.peak_memory,
        }

    def restore(self, saved: dict[str, Any], trainer: Trainer) -> None:
        """Restore the state and the trainer. If it raises, the state is unchanged, and the trainer is unusable."""
        history = [Measurement.model_validate(entry) for entry in saved["history"]]
        events = self.events.merged_after(Events.from_plain(saved["events"]))
        seconds = {key: float(saved["seconds"].get(key, 0.0)) for key in self.watch.seconds}
        samples = None if saved["sheet"] is None else saved["sheet"].cpu()
        last_cost = float(saved["took"])
        started, redraws, histograms = saved["started"], saved["redraws"], saved["histograms"]
        losses, peak_memory, evaluations = saved["losses"], saved["peak_memory"], saved["evaluations"]
        trainer.restore(saved["trainer"])
        self.started, self.history, self.redraws, self.histograms = started, history, redraws, histograms
        self.losses, self.samples, self.peak_memory, self.events = losses, samples, peak_memory, events
        self.evaluations = evaluations
        self.watch.seconds, self.policy.last_cost = seconds, last_cost


def data_fingerprint(data: PreparedData, weights_sha256: dict[str, str], device: torch.device) -> str:
    """Hash of the data, the evaluation networks and the kind of device. A checkpoint is resumed only if it is equal."""
    return content_hash([data.manifest.get("checksums", {}), weights_sha256, device.type])


def env_fingerprint(job: Job) -> str:
    """Hash of the hardware, versions and source that a training runs on. If it differs, the last bits may differ."""
    described = environment_of(job)
    return content_hash({key: described[key] for key in ENVIRONMENT_KEYS if key in described})


def environment_of(job: Job) -> dict[str, Any]:
    """The environment as a record holds it. `together`: the number of trials trained as one model, if more than one."""
    described = environment.describe(job.device.type, job.cpus)
    return described | {"together": job.vmap_seeds} if job.vmap_seeds > 1 else described
