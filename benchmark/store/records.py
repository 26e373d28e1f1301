"""The record of a trial: its schema."""

import base64
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from benchmark.core.spec import FrozenModel, TrialSpec
from benchmark.data.manifest import Manifest

MOST_CORES = 2**16  # of one machine
MOST_BINS = 2**16  # of one histogram
MOST_IMAGES = 2**40  # in one bin
BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
Status = Literal["finished", "diverged", "failed"]
Stamp = tuple[int, int, int]  # inode, time of change, size: of a file that is never changed, only replaced


class Measurement(FrozenModel):
    """What was measured at one step, and the mean of every loss term since the measurement before."""

    step: int
    metrics: dict[str, float]
    losses: dict[str, float] = Field(default_factory=dict)


class Cost(FrozenModel):
    """Seconds of wall time, and peak resident (CPU) or allocated (GPU) memory in MiB.

    Of a trial that was interrupted the seconds are of all that led to the result; what was lost is not among them.
    """

    train_seconds: float
    evaluation_seconds: float
    checkpoint_seconds: float = 0.0
    images_per_second: float
    peak_memory_mib: float
    cpus: Annotated[int, Field(ge=1, le=MOST_CORES)]
    gpus: float


class Event(FrozenModel):
    """What happened to a trial on its way, how often, and at which step first."""

    what: str
    step: int
    times: int = 1


def _described(environment: dict[str, Any]) -> dict[str, Any]:
    """What is reckoned with has to be of its kind; all else is only shown."""
    for key, kind in (("packages", dict), ("source", str)):
        if not isinstance(environment.get(key, kind()), kind):
            raise ValueError(f"environment: '{key}' is no {'mapping' if kind is dict else 'text'}")
    for key in ("threads", "cores"):
        if not isinstance(count := environment.get(key, 1), int) or not 0 < count <= MOST_CORES:
            raise ValueError(f"environment: '{key}' is no number of {key}")
    return environment


Environment = Annotated[dict[str, Any], AfterValidator(_described)]


def _counted(counts: list[int]) -> list[int]:
    """In one go: a constraint of each would take most of the time that a report reads records."""
    if not 0 < len(counts) <= MOST_BINS or min(counts) < 0 or max(counts) > MOST_IMAGES:
        raise ValueError(f"histograms: not 1 to {MOST_BINS} counts of 0 to {MOST_IMAGES} images")
    return counts


Histogram = Annotated[list[Annotated[int, Field(strict=True)]], AfterValidator(_counted)]


class TrialRecord(FrozenModel):
    """The result of one trial.

    `diverged` and `finished` are results; a `failed` trial is shown, and tried again by the next `run`.
    `redraws` are the last measurement again, from other latents each time: the noise of drawing samples. `facts` are
    properties of the instruments, such as the accuracy of the digit classifier, and `instruments` the SHA-256 of each.
    `histograms` are of the last measurement, by the labels of the measures that count.
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
    samples_png: str = Field(default="", pattern=BASE64)  # base64 of an 8 x 8 contact sheet of fixed latents

    @property
    def metrics(self) -> dict[str, float]:
        """The last measurement: the trial's result."""
        return self.history[-1].metrics if self.history else {}

    @property
    def samples(self) -> bytes:
        """The contact sheet as PNG, empty when there is none."""
        return base64.b64decode(self.samples_png)


class TrialSummary(BaseModel):
    """How a trial ended: of its record what a plan needs, read without its measurements, counts and picture."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trial_id: str
    status: Status
    cost: Cost | None
    environment: Environment
    data: Manifest


def without_samples_png(record: TrialRecord) -> TrialRecord:
    """The record without its contact sheet, which is most of it."""
    return record.model_copy(update={"samples_png": ""})
