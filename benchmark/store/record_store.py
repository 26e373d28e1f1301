"""One atomic result record per trial: the truth. Everything else is rendered or mirrored from it."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from benchmark.core.errors import UserError
from benchmark.core.files import remove_partial_writes, write_atomically
from benchmark.store.records import Stamp, TrialRecord, TrialSummary

HEAD = 1 << 14  # bytes: a record up to its picture, as a rule
PICTURE = re.compile(b'\n "samples_png": "')  # `put` writes it last; inside a JSON string no line can break
COUNTS = re.compile(b'\n "(histograms|samples_png)": ')  # and those just before it
END = b'"\n}\n'


class RecordStore:
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

    def outcomes(self, trial_ids: Iterable[str]) -> dict[str, TrialSummary]:
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

    def _outcome(self, trial_id: str) -> TrialSummary:
        try:
            outcome = TrialSummary.model_validate_json(self._head(trial_id, COUNTS))
            if outcome.trial_id == trial_id:
                return outcome
        except ValidationError:
            pass  # written by another program, or damaged: `get` says which
        record = self.get(trial_id)
        if record is None:
            raise UserError(f"{self.path(trial_id)}: removed while it was read; try again")
        return TrialSummary.model_validate(record.model_dump())

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
        remove_partial_writes(self.folder, f"{trial_id}.json")


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_mtime_ns, found.st_size
