"""The schema of a trial's record."""

import base64
import io
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from benchmark.core import registry
from benchmark.core.spec import FrozenModel, TrialSpec
from benchmark.data.manifest import Manifest
from benchmark.store.sample_grids import RECORD_COLUMNS, side_by_side

if TYPE_CHECKING:  # importing it would slow down commands that read no points
    import numpy as np

MAX_CORES = 2**16  # of one machine
MAX_BINS = 2**16  # of one histogram
MAX_COUNT = 2**40  # of images in one bin
BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
Status = Literal["finished", "diverged", "failed"]
FileVersion = tuple[int, int, int]  # inode, time of change and size of a file that is replaced, never modified


class Measurement(FrozenModel):
    """The metrics at one step, and the mean of every loss term since the previous measurement."""

    step: int
    metrics: dict[str, float]
    losses: dict[str, float] = Field(default_factory=dict)


class Cost(FrozenModel):
    """Seconds of wall time, and peak resident (CPU) or allocated (GPU) memory in MiB.

    For a trial that was interrupted, the seconds cover all work that led to the result and none that was lost.
    """

    train_seconds: float
    evaluation_seconds: float
    checkpoint_seconds: float = 0.0
    images_per_second: float
    peak_memory_mib: float
    cpus: Annotated[int, Field(ge=1, le=MAX_CORES)]
    gpus: float


class Event(FrozenModel):
    """Something that happened to a trial: what, how often, and at which step first."""

    what: str
    step: int
    times: int = 1


def _check_environment(environment: dict[str, Any]) -> dict[str, Any]:
    """Validate the fields that are used in computations; all others are only displayed."""
    for key, kind in (("packages", dict), ("source", str)):
        if not isinstance(environment.get(key, kind()), kind):
            raise ValueError(f"environment: '{key}' is not a {'mapping' if kind is dict else 'text'}")
    for key in ("threads", "cores"):
        if not isinstance(count := environment.get(key, 1), int) or not 0 < count <= MAX_CORES:
            raise ValueError(f"environment: '{key}' is not a number of {key}")
    return environment


Environment = Annotated[dict[str, Any], AfterValidator(_check_environment)]


def _check_counts(counts: list[int]) -> list[int]:
    """Validate all counts at once: one constraint per count would dominate the time in which a report reads records."""
    if not 0 < len(counts) <= MAX_BINS or min(counts) < 0 or max(counts) > MAX_COUNT:
        raise ValueError(f"histograms: not 1 to {MAX_BINS} counts of 0 to {MAX_COUNT} images")
    return counts


Histogram = Annotated[list[Annotated[int, Field(strict=True)]], AfterValidator(_check_counts)]


class TrialRecord(FrozenModel):
    """The result of one trial.

    `finished` and `diverged` are results; a `failed` trial is reported, and retried by the next `run`.

    `redraws` repeat the last measurement with other latents, which shows the sampling noise. `facts` are metadata of
    the evaluation, such as the accuracy of the digit classifier. `instruments` are the SHA-256 of each evaluation
    network. `histograms` belong to the last measurement and are keyed by the label of the measure.
    """

    trial_id: str
    spec: TrialSpec
    status: Status
    error: str = ""
    history: list[Measurement] = Field(default_factory=list)
    redraws: list[dict[str, float]] = Field(default_factory=list)
    facts: dict[str, float] = Field(default_factory=dict)
    instruments: dict[str, str] = Field(default_factory=dict)
    cost: Cost | None = None
    attempts: list[str] = Field(default_factory=list)  # why earlier attempts failed
    environment: Environment = Field(default_factory=dict)
    data: Manifest = Field(default_factory=dict)
    started: str
    finished: str
    events: list[Event] = Field(default_factory=list)
    histograms: dict[str, Histogram] = Field(default_factory=dict)
    samples_png: str = Field(default="", pattern=BASE64)  # base64 of an 8 x 8 grid of samples from fixed latents
    points_npy: str = Field(default="", pattern=BASE64)  # of a method on points: base64 of samples as a float32 .npy

    @property
    def metrics(self) -> dict[str, float]:
        """The last measurement: the trial's result."""
        return self.history[-1].metrics if self.history else {}

    @property
    def samples(self) -> bytes:
        """The sample grid as PNG, with the digits of a stack side by side; empty without one."""
        stacked = registry.datasets[self.spec.dataset].stacked
        return side_by_side(base64.b64decode(self.samples_png), stacked, RECORD_COLUMNS)

    @property
    def sample_points(self) -> "np.ndarray | None":
        """(n, D) samples of the last measurement, float32; None if the method makes images, or if they are damaged."""
        if not self.points_npy:
            return None
        import numpy as np

        with suppress(ValueError, EOFError):
            points = np.lib.format.read_array(io.BytesIO(base64.b64decode(self.points_npy)), allow_pickle=False)
            if points.dtype == np.float32 and points.ndim == 2:
                return points
        return None


class TrialSummary(BaseModel):
    """The fields of a record that a plan needs, read without its histograms and samples."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trial_id: str
    status: Status
    cost: Cost | None
    environment: Environment
    data: Manifest


def encode_points(points: "np.ndarray") -> str:
    """(n, D) points as a record holds them."""
    import numpy as np

    content = io.BytesIO()
    np.save(content, points.astype(np.float32, copy=False), allow_pickle=False)
    return base64.b64encode(content.getvalue()).decode()


def without_samples(record: TrialRecord) -> TrialRecord:
    """The record without its samples, which are most of its bytes."""
    return record.model_copy(update={"samples_png": "", "points_npy": ""})
