"""A place that all machines of a cluster reach, for those that share no disk: a folder, or s3://BUCKET/FOLDER.

It holds what a workspace holds: results, and of every trial checkpoints, sheets of samples and final weights; and under
the SHA-256 of its content every file that trials read, which a machine that lacks it fetches once.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from benchmark.core.errors import UserError
from benchmark.core.files import file_sha256
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.trials.job import Job

CHUNK = 1 << 22  # bytes
WHOLE_OR_NOT_THERE = ("s3", "gcs", "abfs")  # stores of objects, which show one when it is whole

Files = dict[str, str]  # path on the driver's machine -> SHA-256


@dataclass(frozen=True)
class RemoteFiles:
    """Files under one URI, by their names below it. Methods raise OSError when it does not answer."""

    uri: str

    @classmethod
    def at(cls, uri: str) -> "RemoteFiles":
        """The storage at a URI, or a folder. Raises UserError when it cannot be written to."""
        found = cls(uri if "://" in uri else str(Path(uri).expanduser().absolute()))
        try:
            found.write(".writable", b"")
        except ImportError:
            raise UserError("--storage: pyarrow is not installed; pip install pyarrow") from None
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise UserError(f"--storage {uri}: {why}; give a folder, or s3://BUCKET/FOLDER") from None
        return found

    @cached_property
    def _files(self) -> Any:
        from pyarrow import fs

        system, root = fs.FileSystem.from_uri(self.uri)
        return fs.SubTreeFileSystem(root, system)

    def names(self, folder: str) -> dict[str, int]:
        """The files under a folder, and their sizes in bytes; half-written ones are not among them."""
        from pyarrow import fs

        found = self._files.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))
        return {info.path: info.size for info in found if info.is_file and not info.base_name.startswith(".")}

    def write(self, name: str, content: bytes | Path) -> None:
        """Write a file, all or nothing."""
        path, direct = PurePosixPath(name), self._files.base_fs.type_name in WHOLE_OR_NOT_THERE
        scratch = path if direct else path.with_name(f".{path.name}-{uuid4().hex}")
        if not direct:
            self._files.create_dir(str(path.parent), recursive=True)
        with self._files.open_output_stream(str(scratch)) as target:
            for chunk in [content] if isinstance(content, bytes) else _chunks(content.open("rb")):
                target.write(chunk)
        if not direct:
            self._files.move(str(scratch), name)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._files.open_input_stream(name) as source:
            content: bytes = source.read()
        return content

    def fetch(self, name: str, path: Path, checksum: str | None = None) -> None:
        """Copy a file to this machine, all or nothing. Raises OSError when its SHA-256 is not the one given."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch, found = path.with_name(f".{path.name}-{uuid4().hex}"), hashlib.sha256()
        try:
            with scratch.open("xb") as target:
                for chunk in _chunks(self._files.open_input_stream(name)):
                    found.update(chunk)
                    target.write(chunk)
            if checksum not in (None, found.hexdigest()):
                raise OSError(
                    f"{self.uri}: {name} is damaged, its SHA-256 is {found.hexdigest()}; delete it, run again"
                )
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Remove a file; one that is not there need not be removed."""
        with suppress(FileNotFoundError):
            self._files.delete_file(name)


def _chunks(source: Any) -> Iterator[bytes]:
    with source:
        while chunk := source.read(CHUNK):
            yield chunk


@dataclass(frozen=True)
class RemoteSync:
    """The driver's side: brings what trials read, takes records, and tells workers where all of that is."""

    storage: RemoteFiles
    workspace: Workspace

    def pull(self, trial_ids: Iterable[str]) -> int:
        """Take over the records of these trials that are missing here, and nothing else. Returns how many."""
        there, store = self.storage.names("results"), RecordStore(self.workspace.results)
        missing = [one for one in trial_ids if f"results/{one}.json" in there and not store.path(one).exists()]
        for trial_id in missing:
            store.write(TrialRecord.model_validate_json(self.storage.read(f"results/{trial_id}.json")))
        return len(missing)

    def push(self, trial_ids: Iterable[str]) -> None:
        """Bring the records of these trials that are missing or older there, as after a time without the storage."""
        there, store = self.storage.names("results"), RecordStore(self.workspace.results)
        for trial_id in trial_ids:
            path, size = store.path(trial_id), there.get(f"results/{trial_id}.json")
            if path.exists() and path.stat().st_size != size and (record := store.read(trial_id)):
                self.keep(record)

    def keep(self, record: TrialRecord) -> None:
        """Bring one record; a result needs no checkpoints any more. Its sheets of samples are fetched."""
        store = RecordStore(self.workspace.results)
        self.storage.write(f"results/{record.trial_id}.json", store.path(record.trial_id))
        for name in self.storage.names(f"samples/{record.trial_id}"):
            if not (path := self.workspace.root / name).exists():
                self.storage.fetch(name, path)
        if record.status != "failed":
            for name in self.storage.names(f"checkpoints/{record.trial_id}"):
                self.storage.forget(name)

    def ship(self, jobs: Iterable[Job]) -> "UploadedAssets":
        """Bring all files that these jobs read and that are not there yet."""
        there, files = self.storage.names("files"), {}
        for path in {path for job in jobs for path in _read_by(job)}:
            files[str(path)] = checksum = file_sha256(path, "sha256")
            if there.get(name := f"files/{checksum}") != path.stat().st_size:
                self.storage.write(name, path)
                there[name] = path.stat().st_size
        return UploadedAssets(self.storage.uri, files)


@dataclass(frozen=True)
class UploadedAssets:
    """What workers must know: where the storage is, and the checksums of what the driver brought there."""

    uri: str
    files: Files

    def told(self, job: Job) -> dict[str, Any]:
        """The part for one job, in plain values."""
        return {"uri": self.uri, "files": {str(path): self.files[str(path)] for path in _read_by(job)}}


def _read_by(job: Job) -> list[Path]:
    """The files that a trial reads."""
    references = [path for pair in job.assets.references.values() for path in pair]
    places = [job.data, *job.assets.extractors.values(), *references]
    found = (place.rglob("*") if place.is_dir() else [place] for place in places)
    return sorted({path for paths in found for path in paths if path.is_file() and not path.name.startswith(".")})
