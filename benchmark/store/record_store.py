"""The result records: one JSON file per trial, written atomically. Reports and mirrors are derived from them."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from benchmark.core.errors import UserError
from benchmark.core.files import remove_partial_writes, write_atomically
from benchmark.store.records import FileVersion, TrialRecord, TrialSummary

# `write` puts a record's large fields last and each field on a line of its own, so a reader that does not need them
# stops where they begin. Inside a JSON string no line can break, so these patterns match nothing but the fields.
SAMPLES = re.compile(b'\n "samples_png": "')
HISTOGRAMS = re.compile(b'\n "(histograms|samples_png)": ')  # records of earlier versions have no histograms
END = b'"\n}\n'  # of a complete file
PREFIX_BYTES = 1 << 14  # read at a time: most records are shorter than this up to their samples


class RecordStore:
    """Result records as `<trial_id>.json` in one folder, each either complete or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, trial_id: str) -> Path:
        """The file of a trial's record."""
        return self.folder / f"{trial_id}.json"

    def ids(self) -> list[str]:
        """The ids of the trials that have a record, sorted."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.json"))

    def write(self, record: TrialRecord) -> None:
        """Write a record atomically: a reader sees the old record, the new one or none."""
        write_atomically(self.path(record.trial_id), record.model_dump_json(indent=1).encode() + b"\n")

    def read(self, trial_id: str) -> TrialRecord | None:
        """The record of a trial, or None. Raises UserError if the file is damaged."""
        path = self.path(trial_id)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        return self._parse(trial_id, content)

    def read_many(self, trial_ids: Iterable[str]) -> dict[str, TrialRecord]:
        """The existing records of these trials, in their order. Raises UserError if a file is damaged."""
        records = ((trial_id, self.read(trial_id)) for trial_id in trial_ids)
        return {trial_id: record for trial_id, record in records if record is not None}

    def read_without_samples(self, trial_ids: Iterable[str]) -> dict[str, TrialRecord]:
        """Like `read_many`, but without samples: most of a record's bytes, which few readers need."""
        existing, records = self._existing(), {}
        for trial_id in trial_ids:
            if trial_id not in existing:
                continue
            content = self._read_until(SAMPLES, trial_id)
            record = self._parse(trial_id, content) if content else self.read(trial_id)
            if record is not None:
                records[trial_id] = record
        return records

    def summaries(self, trial_ids: Iterable[str]) -> dict[str, TrialSummary]:
        """How these trials ended, for those that have a record, in their order. Raises UserError if one is damaged."""
        existing = self._existing()
        return {trial_id: self._summary(trial_id) for trial_id in trial_ids if trial_id in existing}

    def recipe_versions(self) -> Counter[int]:
        """Recipe version -> number of records that it trained, of all suites. Damaged records are left out."""
        counts: Counter[int] = Counter()
        for trial_id in self.ids():
            with suppress(ValueError, KeyError, TypeError):  # the spec of another version need not fit today's model
                counts[int(json.loads(self._read_until(HISTOGRAMS, trial_id))["spec"]["version"])] += 1
        return counts

    def version(self, trial_id: str) -> FileVersion | None:
        """A value that changes whenever the trial's record is rewritten; None without a record. Reads no content."""
        try:
            return _version(self.path(trial_id).stat())
        except OSError:
            return None

    def versions(self) -> dict[str, FileVersion]:
        """Trial id -> `version`, for all records."""
        versions = {}
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    with suppress(OSError):
                        versions[entry.name.removesuffix(".json")] = _version(entry.stat())
        return versions

    def partial_writes(self) -> set[str]:
        """The ids of trials of which an interrupted write left a file."""
        with suppress(OSError):
            return {path.name[1:].partition(".")[0] for path in self.folder.glob(".*.json-*")}
        return set()

    def remove_partial_write(self, trial_id: str) -> None:
        """Remove what an interrupted write left. Call only while nobody else writes this record."""
        remove_partial_writes(self.folder, f"{trial_id}.json")

    def _parse(self, trial_id: str, content: bytes) -> TrialRecord:
        path = self.path(trial_id)
        try:
            record = TrialRecord.model_validate_json(content)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise UserError(f"{path}: damaged record: {problem}; delete the file to train it again") from None
        if record.trial_id != trial_id or record.spec.trial_id != trial_id:
            raise UserError(f"{path}: holds another trial than its name says; delete it to train it again")
        return record

    def _existing(self) -> set[str]:
        """The ids of all trials with a record, from one scan of the folder rather than one lookup per trial."""
        try:
            with os.scandir(self.folder) as entries:
                return {entry.name.removesuffix(".json") for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _summary(self, trial_id: str) -> TrialSummary:
        with suppress(ValidationError):  # the file is damaged or formatted by another program: `read` tells which
            summary = TrialSummary.model_validate_json(self._read_until(HISTOGRAMS, trial_id))
            if summary.trial_id == trial_id:
                return summary
        record = self.read(trial_id)
        if record is None:
            raise UserError(f"{self.path(trial_id)}: removed while it was read; try again")
        return TrialSummary.model_validate(record.model_dump())

    def _read_until(self, field: re.Pattern[bytes], trial_id: str) -> bytes:
        """A record as JSON without `field` and all that follows; empty unless the file is formatted as by `write`."""
        try:
            file = os.open(f"{self.folder}/{trial_id}.json", os.O_RDONLY)  # a Path for each of thousands is slow
        except OSError:
            return b""
        try:
            prefix = os.read(file, PREFIX_BYTES)
            while not (match := field.search(prefix)) and (more := os.read(file, PREFIX_BYTES)):
                prefix += more
            is_complete = os.pread(file, len(END), max(os.fstat(file).st_size - len(END), 0)) == END
        except OSError:
            return b""
        finally:
            os.close(file)
        return prefix[: match.start()].rstrip(b",") + b"}" if is_complete and match else b""


def _version(status: os.stat_result) -> FileVersion:
    return status.st_ino, status.st_mtime_ns, status.st_size
