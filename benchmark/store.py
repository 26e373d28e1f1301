"""One atomic result record per trial: the truth. Everything else is rendered or mirrored from it."""

import base64
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from benchmark.errors import UserError
from benchmark.spec import Frozen, TrialSpec

Status = Literal["finished", "diverged", "failed"]


class Measurement(Frozen):
    """What was measured at one step, and the mean of every loss term since the measurement before."""

    step: int
    metrics: dict[str, float]
    losses: dict[str, float] = Field(default_factory=dict)


class Cost(Frozen):
    """Seconds of wall time, and peak resident (CPU) or allocated (GPU) memory in MiB."""

    train_seconds: float
    evaluation_seconds: float
    images_per_second: float
    peak_memory_mib: float
    cpus: int
    gpus: float


class TrialRecord(Frozen):
    """The result of one trial.

    `diverged` and `finished` are results; a `failed` trial is shown, and tried again by the next `run`.
    `redraws` are the last measurement again, from other latents each time: the noise of drawing samples. `facts` are
    properties of the instruments, such as the accuracy of the digit classifier, and `instruments` the SHA-256 of each.
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
    environment: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    started: str
    finished: str
    samples_png: str = ""  # base64 of an 8 x 8 contact sheet of fixed latents

    @property
    def metrics(self) -> dict[str, float]:
        """The last measurement: the trial's result."""
        return self.history[-1].metrics if self.history else {}

    @property
    def samples(self) -> bytes:
        """The contact sheet as PNG, empty when there is none."""
        return base64.b64decode(self.samples_png)


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
            record = TrialRecord.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
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

    def put(self, record: TrialRecord) -> None:
        """Write a record so that a reader sees the old one, the new one or none, never a part."""
        write_atomically(self.path(record.trial_id), record.model_dump_json(indent=1).encode() + b"\n")


def sheet_path(folder: Path, trial_id: str, step: int) -> Path:
    """Where the small contact sheet of one measurement stands: 4 x 4 images of fixed latents, as PNG.

    Sheets are beside the records, to keep those small. Without them a trial has the sheet of its last measurement.
    """
    return folder / trial_id / f"step-{step:08d}.png"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file all or nothing: scratch file, flush to disk, rename. Its mode follows the user's umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with scratch.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
