"""A trial with the place and the resources that it runs with."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.core.spec import TrialSpec
from benchmark.evaluation.references import EvaluationAssets


@dataclass(frozen=True)
class Job:
    """A trial, and where and on what it runs. Only `spec` may change its numbers."""

    spec: TrialSpec
    data: Path
    instruments: EvaluationAssets
    checkpoints: Path
    samples: Path
    cpus: int
    gpus: float
    time_limit: float | None = None  # seconds, of one attempt
    checkpoint_seconds: float | None = None  # between two checkpoints, at the least; None: as `pace` says
    together: int = 1  # how many trials, it included, are trained as one, and so share what a step takes
    graphs: bool = False  # whether turns are captured, on a GPU

    @property
    def device(self) -> torch.device:
        """A GPU only when the trial was given a share of one."""
        return torch.device("cuda" if self.gpus > 0 else "cpu")


@dataclass(frozen=True)
class Progress:
    """What a worker says while it trains: small, plain values. `note`: what somebody should know, said once."""

    trial_id: str
    step: int
    steps_per_second: float
    metrics: dict[str, float]
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the way between processes."""
        return asdict(self)


class TrialStopped(Exception):  # noqa: N818 - a wish, not an error
    """Raised by a `report`: the trial shall end here, and go on some other time."""


class TimeLimitReached(Exception):  # noqa: N818 - a wish too
    """The trial's time limit is over."""


ProgressCallback = Callable[[Progress], None]
