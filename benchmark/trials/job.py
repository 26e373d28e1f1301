"""A trial together with the files and the resources that it runs with."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from benchmark.core.spec import FrozenModel, TrialSpec
from benchmark.evaluation.references import EvaluationAssets


class Job(FrozenModel):
    """A trial, the files that it reads and writes, and its share of the machine. Only `spec` may change its numbers.

    Attributes:
        spec: the trial.
        data: folder of the prepared dataset.
        checksums: checksums of its arrays; the trial is refused if the folder has others by then. Empty: any.
        assets: evaluation networks and features of real images.
        checkpoints: folder of the checkpoints and final weights of all trials.
        samples: folder of the sample grids of all trials.
        cpus: threads of the training.
        gpus: share of a GPU; 0 trains on the CPU.
        time_limit: seconds of one attempt; None: no limit.
        checkpoint_seconds: least time between two checkpoints; None: the default of `CheckpointPolicy`.
        vmap_seeds: number of trials, this one included, that are trained as one model and share the time of a step.
        graphs: whether updates are captured as graphs.
    """

    spec: TrialSpec
    data: Path
    assets: EvaluationAssets
    checkpoints: Path
    samples: Path
    cpus: int
    gpus: float
    time_limit: float | None = None
    checkpoint_seconds: float | None = None
    vmap_seeds: int = 1
    graphs: bool = False
    checksums: dict[str, str] = Field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The GPU if the trial has a share of one, else the CPU."""
        return torch.device("cuda" if self.gpus > 0 else "cpu")


@dataclass(frozen=True)
class Progress:
    """The state of a running trial, in small plain values.

    `metrics` are those of the last evaluation, `note` is an event that occurs for the first time, or empty.
    """

    trial_id: str
    step: int
    steps_per_second: float
    metrics: dict[str, float]
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, to send between processes."""
        return asdict(self)


class TrialStopped(Exception):  # noqa: N818 - a request, not an error
    """Raised by a progress callback to end a trial, which saves a checkpoint and can resume later."""


class TimeLimitReached(Exception):  # noqa: N818 - a limit, not an error
    """The attempt has used up the trial's time limit."""


ProgressCallback = Callable[[Progress], None]
