"""One atomic result record per trial: the truth. Everything else is rendered or mirrored from it."""

import base64
import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmark.data.manifest import Manifest
from benchmark.errors import UserError
from benchmark.spec import Frozen, TrialSpec

MOST_CORES = 2**16  # of one machine
MOST_BINS = 2**16  # of one histogram
MOST_IMAGES = 2**40  # in one bin
BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
Status = Literal["finished", "diverged", "failed"]
Stamp = tuple[int, int, int]  # inode, time of change, size: of a file that is never changed, only replaced


class Measurement(Frozen):
    """What was measured at one step, and the mean of every loss term since the measurement before."""

    step: int
    metrics: dict[str, float]
    losses: dict[str, float] = Field(default_factory=dict)


class Cost(Frozen):
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


class Event(Frozen):
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


class TrialRecord(Frozen):
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


class Outcome(BaseModel):
    """How a trial ended: of its record what a plan needs, read without its measurements, counts and picture."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trial_id: str
    status: Status
    cost: Cost | None
    environment: Environment
    data: Manifest


HEAD = 1 << 14  # bytes: a record up to its picture, as a rule
PICTURE = re.compile(b'\n "samples_png": "')  # `put` writes it last; inside a JSON string no line can break
COUNTS = re.compile(b'\n "(histograms|samples_png)": ')  # and those just before it
END = b'"\n}\n'


class Store:
    """Result records as `<trial_id>.json` under one folder, written all or nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, trial_id: str) -> Path:
        """Where the record of a trial stands."""
        return self.folder / f"{trial_id}.json"

    def ids(self) -> list[str]:
        """The trials that have a record, sorted."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.json"))

    def get(self, trial_id: str) -> TrialRecord | None:
        """The record of a trial, or None. Raises UserError when the file is damaged."""
        path = self.path(trial_id)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        return self._checked(trial_id, content)

    def _checked(self, trial_id: str, content: bytes) -> TrialRecord:
        """The record that the content of its file is."""
        path = self.path(trial_id)
        try:
            record = TrialRecord.model_validate_json(content)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise UserError(f"{path}: damaged record: {problem}; delete the file to train it again") from None
        if record.trial_id != trial_id or record.spec.trial_id != trial_id:
            raise UserError(f"{path}: holds another trial than its name says; delete it to train it again")
        return record

    def find(self, trial_ids: Iterable[str]) -> dict[str, TrialRecord]:
        """The records that exist of these trials, in their order."""
        found = ((trial_id, self.get(trial_id)) for trial_id in trial_ids)
        return {trial_id: record for trial_id, record in found if record is not None}

    def outcomes(self, trial_ids: Iterable[str]) -> dict[str, Outcome]:
        """How these trials ended, as far as they have, in their order. Raises UserError when a file is damaged."""
        there = self._there()
        return {trial_id: self._outcome(trial_id) for trial_id in trial_ids if trial_id in there}

    def without_pictures(self, trial_ids: Iterable[str]) -> dict[str, TrialRecord]:
        """What `find` gives, with `samples_png` left empty: most of a record's bytes, which few readers need."""
        there, found = self._there(), {}
        for trial_id in trial_ids:
            if trial_id not in there:
                continue
            content = self._head(trial_id, PICTURE)
            record = self._checked(trial_id, content) if content else self.get(trial_id)
            if record is not None:
                found[trial_id] = record
        return found

    def _there(self) -> set[str]:
        """The trials that have a record: one look at the folder instead of one for each trial."""
        try:
            with os.scandir(self.folder) as entries:
                return {entry.name.removesuffix(".json") for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _outcome(self, trial_id: str) -> Outcome:
        try:
            outcome = Outcome.model_validate_json(self._head(trial_id, COUNTS))
            if outcome.trial_id == trial_id:
                return outcome
        except ValidationError:
            pass  # written by another program, or damaged: `get` says which
        record = self.get(trial_id)
        if record is None:
            raise UserError(f"{self.path(trial_id)}: removed while it was read; try again")
        return Outcome.model_validate(record.model_dump())

    def _head(self, trial_id: str, until: re.Pattern[bytes]) -> bytes:
        """A record as JSON up to one of its last fields; empty when the file is not as `put` writes it."""
        try:
            file = os.open(f"{self.folder}/{trial_id}.json", os.O_RDONLY)  # a Path for each of thousands takes long
        except OSError:
            return b""
        try:
            head = os.read(file, HEAD)
            while not (found := until.search(head)) and (more := os.read(file, HEAD)):
                head += more
            whole = os.pread(file, len(END), max(os.fstat(file).st_size - len(END), 0)) == END
        except OSError:
            return b""
        finally:
            os.close(file)
        return head[: found.start()].rstrip(b",") + b"}" if whole and found else b""

    def stamp(self, trial_id: str) -> Stamp | None:
        """Another one whenever the record of a trial was written anew, without reading it; None when there is none."""
        try:
            return _stamp(self.path(trial_id).stat())
        except OSError:
            return None

    def stamps(self) -> dict[str, Stamp]:
        """Those of all records, by trial id."""
        found = {}
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    with suppress(OSError):
                        found[entry.name.removesuffix(".json")] = _stamp(entry.stat())
        return found

    def put(self, record: TrialRecord) -> None:
        """Write a record so that a reader sees the old one, the new one or none, never a part."""
        write_atomically(self.path(record.trial_id), record.model_dump_json(indent=1).encode() + b"\n")

    def torn(self) -> set[str]:
        """The trials of whose records something half written is there."""
        with suppress(OSError):
            return {path.name[1:].partition(".")[0] for path in self.folder.glob(".*.json-*")}
        return set()

    def sweep(self, trial_id: str) -> None:
        """Remove what is left half written of a record that nobody else writes."""
        sweep(self.folder, f"{trial_id}.json")


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_mtime_ns, found.st_size


def without_picture(record: TrialRecord) -> TrialRecord:
    """The record without its contact sheet, which is most of it."""
    return record.model_copy(update={"samples_png": ""})


def sheet_path(folder: Path, trial_id: str, step: int) -> Path:
    """Where the small contact sheet of one measurement stands: 4 x 4 images of fixed latents, as PNG.

    Sheets are beside the records, to keep those small. Without them a trial has the sheet of its last measurement.
    """
    return folder / trial_id / f"step-{step:08d}.png"


def sweep(folder: Path, names: str) -> None:
    """Remove what killed processes have left half written of the files whose name fits this pattern.

    Only for who alone writes them: a file that another process is writing at that moment would be gone too.
    """
    with suppress(OSError):
        for path in folder.glob(f".{names}-*"):
            path.unlink()


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file all or nothing, so that it is on the disk when this returns: also after a loss of power.

    Scratch file, flush, rename, flush of the folder. Its mode follows the user's umask. Raises OSError; what stood
    there before then stands there still, and no scratch is left as far as the disk lets itself be cleared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with scratch.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException as error:
        with suppress(OSError):  # the reason why it failed must not be hidden by this
            scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error  # nobody asked for the scratch file
        raise
    with suppress(OSError):  # not every file system can
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
