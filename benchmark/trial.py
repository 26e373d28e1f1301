"""One trial from start to stored result. Runs in a worker of any scheduler, or in this process."""

import base64
import io
import math
import resource
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark import checkpoint, environment, plugins
from benchmark.data.base import UNTOLD, Dataset, Prepared, open_prepared
from benchmark.data.images import Images, kept_labels
from benchmark.examining import AtRest, Examination
from benchmark.measures import outputs
from benchmark.measuring import Gauge, Instruments
from benchmark.spec import TrialSpec
from benchmark.store import Cost, Measurement, TrialRecord, sheet_path, write_atomically
from benchmark.training import Diverged, Trainer, clock

PROGRESS_SECONDS = 1.0
CHECKPOINT_SECONDS = 60.0
SHEET = 64  # images on a contact sheet
GLANCE = 16  # of them, on the small sheet of a measurement


@dataclass(frozen=True)
class Job:
    """A trial, and where and on what it runs. Only `spec` may change its numbers."""

    spec: TrialSpec
    data: Path
    instruments: Instruments
    checkpoints: Path
    samples: Path
    cpus: int
    gpus: float

    @property
    def device(self) -> torch.device:
        """A GPU only when the trial was given a share of one."""
        return torch.device("cuda" if self.gpus > 0 else "cpu")


@dataclass(frozen=True)
class Progress:
    """What a worker says while it trains: small, plain values."""

    trial_id: str
    step: int
    steps_per_second: float
    metrics: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For the way between processes."""
        return asdict(self)


Report = Callable[[Progress], None]


def run(job: Job, report: Report) -> TrialRecord:
    """Train and measure one trial. A trial that raises becomes a `failed` record, never an exception."""
    started = _now()
    trial = None
    try:
        with threads(job.cpus):
            forget_peak_memory(job.device)
            trial = _Trial(job)
            trial.run(report)
        status, error = "finished", ""
    except Diverged as problem:
        status, error = "diverged", str(problem)
    except Exception as problem:
        status, error = "failed", _told(problem)
    return TrialRecord(
        trial_id=job.spec.trial_id,
        spec=job.spec,
        status=status,
        error=error,
        started=started,
        finished=_now(),
        environment=environment.describe(job.device.type, job.cpus),
        **(trial.results() if trial else {}),
    )


@contextmanager
def threads(cpus: int) -> Any:
    """As many threads as the trial was given CPUs, and no time lost on denormal numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(cpus)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)  # a setting of the whole processor state: leave it as others expect it


def build(spec: TrialSpec, prepared: Prepared, device: torch.device) -> Trainer:
    """The method with weights drawn from the trial's seed, ready to train."""
    dataset = plugins.datasets[spec.dataset]
    network_class, method_class = plugins.networks[spec.network], plugins.methods[spec.method]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)  # on the CPU, so that every device starts from the same weights
        network = network_class(
            dataset.shape, spec.latent.dim, network_class.Options.model_validate(spec.network_options)
        )
        options = method_class.Options.model_validate(spec.options)
        method = method_class(network, spec.latent.distribution, options, classes_of(dataset, prepared)).to(device)
    share = method_class.labelled(spec.options)
    labels = kept_labels(prepared.train.labels, share, dataset.stacked) if share else None
    images = Images(prepared.train.images, dataset.stacked, device, labels, max(dataset.labels, 0), dataset.fixed)
    return Trainer(spec, method, images, network_class.image_range, device)


def classes_of(dataset: type[Dataset], prepared: Prepared) -> int:
    """Of how many manual classes the training images are: as the dataset says, or its files."""
    told = dataset.classes()
    return int(prepared.manifest.get("classes", 0)) if told == UNTOLD else told


@dataclass
class _Trial:
    """The running trial and all that its record will hold."""

    job: Job
    history: list[Measurement] = field(default_factory=list)
    redraws: list[dict[str, float]] = field(default_factory=list)
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0

    def __post_init__(self) -> None:
        spec, device = self.job.spec, self.job.device
        self.prepared = open_prepared(self.job.data)
        self.gauge = Gauge(spec.protocol, self.job.instruments, device)
        self.examination = Examination(spec.protocol, plugins.datasets[spec.dataset], self.prepared)
        self.trainer = build(spec, self.prepared, device)
        self.sheet: Tensor | None = None
        self.path = self.job.checkpoints / f"{spec.trial_id}.pt"
        self._resume()

    def run(self, report: Report) -> None:
        spec, trainer = self.job.spec, self.trainer
        said = saved = mark = clock()
        for goal in evaluation_steps(spec.steps, spec.protocol.evaluations):
            if goal <= trainer.step:
                continue
            for step in trainer.train_until(goal):
                now = clock()
                if now - said >= PROGRESS_SECONDS:
                    said = now
                    speed = step / (self.train_seconds + now - mark)
                    report(Progress(spec.trial_id, step, speed, self.metrics))
                if now - saved >= CHECKPOINT_SECONDS and step < goal:
                    self.train_seconds += now - mark
                    self._save()
                    saved = mark = clock()
            losses = trainer.mean_losses()  # waits for the device, so it belongs to the training time
            measuring = clock()
            self.train_seconds += measuring - mark
            self._measure(losses)
            mark = clock()
            self.evaluation_seconds += mark - measuring
            speed = trainer.step / max(self.train_seconds, 1e-9)
            report(Progress(spec.trial_id, trainer.step, speed, self.metrics))
        self._redraw()
        checkpoint.save(self.path.with_suffix(".final.pt"), final_weights(trainer))
        self.path.unlink(missing_ok=True)

    @property
    def metrics(self) -> dict[str, float]:
        return self.history[-1].metrics if self.history else {}

    def _measure(self, losses: dict[str, float]) -> None:
        protocol, trainer = self.job.spec.protocol, self.trainer
        first: list[Tensor] = []
        samples = trainer.samples(max(protocol.n_fake, SHEET))
        found = self.gauge.measure(_remembering(samples, first))
        found |= self.examination.measure(AtRest(trainer.method, trainer.image_range, trainer.device))
        metrics = self._finite({key: found[key] for key in outputs(protocol)})
        self.history.append(Measurement(step=self.trainer.step, metrics=metrics, losses=losses))
        self.sheet = torch.cat(first)[:SHEET]
        glance = contact_sheet(self.sheet[:GLANCE], columns=4)
        write_atomically(sheet_path(self.job.samples, self.job.spec.trial_id, trainer.step), glance)

    def _finite(self, metrics: dict[str, float]) -> dict[str, float]:
        if not all(map(math.isfinite, metrics.values())):
            raise Diverged(f"a metric was not finite at step {self.trainer.step}: {metrics}")
        return metrics

    def _redraw(self) -> None:
        """The last measurement again, each time from other latents: of what looks at samples."""
        protocol, started = self.job.spec.protocol, clock()
        for draw in range(1 + len(self.redraws), protocol.draws if protocol.n_fake else 1):
            self.redraws.append(self._finite(self.gauge.measure(self.trainer.samples(protocol.n_fake, draw))))
        self.evaluation_seconds += clock() - started

    def _save(self) -> None:
        state = self.trainer.state() | {
            "history": [entry.model_dump() for entry in self.history],
            "seconds": [self.train_seconds, self.evaluation_seconds],
        }
        checkpoint.save(self.path, state)

    def _resume(self) -> None:
        state = checkpoint.load(self.path, self.job.device)
        if state and state.get("trial_id") == self.job.spec.trial_id:
            self.trainer.restore(state)
            self.history = [Measurement.model_validate(entry) for entry in state["history"]]
            self.train_seconds, self.evaluation_seconds = state["seconds"]

    def results(self) -> dict[str, Any]:
        done = self.trainer.step * self.job.spec.batch_size
        return {
            "history": self.history,
            "redraws": self.redraws,
            "facts": self.gauge.facts,
            "instruments": self.gauge.identities,
            "data": self.prepared.manifest,
            "samples_png": base64.b64encode(contact_sheet(self.sheet)).decode() if self.sheet is not None else "",
            "cost": Cost(
                train_seconds=round(self.train_seconds, 3),
                evaluation_seconds=round(self.evaluation_seconds, 3),
                images_per_second=round(done / max(self.train_seconds, 1e-9), 1),
                peak_memory_mib=round(peak_memory(self.job.device), 1),
                cpus=self.job.cpus,
                gpus=self.job.gpus,
            ),
        }


def final_weights(trainer: Trainer) -> dict[str, Any]:
    """What is kept of a finished trial: the method, and the average where the recipe has one."""
    average = trainer.average.module.state_dict() if trainer.average else None
    return {"method": trainer.method.state_dict(), "average": average}


def _remembering(batches: Iterable[Tensor], first: list[Tensor]) -> Iterator[Tensor]:
    """The batches; enough of them for a contact sheet stay in `first`."""
    for batch in batches:
        if sum(map(len, first)) < SHEET:
            first.append(batch)
        yield batch


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """Evenly spaced steps, the last one always included."""
    return [round(steps * (index + 1) / evaluations) for index in range(evaluations)]


def contact_sheet(images: Tensor, columns: int = 8) -> bytes:
    """uint8 (N, C, H, W) images as one PNG, without gaps so that it can be cut again."""
    from PIL import Image
    from torchvision.utils import make_grid

    grid = make_grid(images.cpu(), nrow=columns, padding=0)
    content = io.BytesIO()
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(content, format="PNG")
    return content.getvalue()


def forget_peak_memory(device: torch.device) -> None:
    """Start counting anew: a process may train one trial after the other."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float:
    """MiB allocated on the GPU, or resident, at the most since the trial began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _told(problem: Exception) -> str:
    """One line for the report, and the innermost frames for whoever mends it."""
    frames = traceback.extract_tb(problem.__traceback__)[-3:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(problem).__name__}: {problem} (at {where})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
