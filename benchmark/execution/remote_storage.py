"""Remote storage for clusters without a shared filesystem: a folder that all machines reach, or s3://BUCKET/FOLDER.

It has the layout of a workspace: results, and the checkpoints, sample grids and final weights of every trial. In
addition `files/` holds every file that trials read, named by its SHA-256; a machine that lacks one fetches it once.
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
from benchmark.core.files import file_checksum
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.trials.job import Job

CHUNK = 1 << 22  # bytes
OBJECT_STORES = ("s3", "gcs", "abfs")  # they show an object only when it is complete

Checksums = dict[str, str]  # path on the driver's machine -> SHA-256


@dataclass(frozen=True)
class RemoteFiles:
    """Files under one URI, addressed by their path below it. All methods raise OSError if it is unreachable."""

    uri: str

    @classmethod
    def at(cls, uri: str) -> "RemoteFiles":
        """The storage at a URI or in a local folder. Raises UserError if it is not writable."""
        storage = cls(uri if "://" in uri else str(Path(uri).expanduser().absolute()))
        try:
            storage.write(".writable", b"")
        except ImportError:
            raise UserError("--storage: pyarrow is not installed; pip install pyarrow") from None
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"--storage {uri}: {reason}; give a folder, or s3://BUCKET/FOLDER") from None
        return storage

    @cached_property
    def _filesystem(self) -> Any:
        from pyarrow import fs

        system, root = fs.FileSystem.from_uri(self.uri)
        return fs.SubTreeFileSystem(root, system)

    def sizes(self, folder: str) -> dict[str, int]:
        """The size in bytes of every file under a folder, by name; files that are still being written are left out."""
        from pyarrow import fs

        entries = self._filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))
        return {entry.path: entry.size for entry in entries if entry.is_file and not entry.base_name.startswith(".")}

    def write(self, name: str, content: bytes | Path) -> None:
        """Write a file atomically."""
        path, is_atomic = PurePosixPath(name), self._filesystem.base_fs.type_name in OBJECT_STORES
        target = path if is_atomic else path.with_name(f".{path.name}-{uuid4().hex}")
        if not is_atomic:
            self._filesystem.create_dir(str(path.parent), recursive=True)
        with self._filesystem.open_output_stream(str(target)) as stream:
            for chunk in [content] if isinstance(content, bytes) else _chunks(content.open("rb")):
                stream.write(chunk)
        if not is_atomic:
            self._filesystem.move(str(target), name)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._filesystem.open_input_stream(name) as stream:
            content: bytes = stream.read()
        return content

    def fetch(self, name: str, path: Path, checksum: str | None = None) -> None:
        """Copy a file to this machine atomically. Raises OSError if its SHA-256 is not `checksum`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, digest = path.with_name(f".{path.name}-{uuid4().hex}"), hashlib.sha256()
        try:
            with partial.open("xb") as target:
                for chunk in _chunks(self._filesystem.open_input_stream(name)):
                    digest.update(chunk)
                    target.write(chunk)
            if checksum not in (None, digest.hexdigest()):
                raise OSError(
                    f"{self.uri}: {name} is damaged, its SHA-256 is {digest.hexdigest()}; delete it, run again"
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        with suppress(FileNotFoundError):
            self._filesystem.delete_file(name)


def _chunks(stream: Any) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(CHUNK):
            yield chunk


@dataclass(frozen=True)
class UploadedInputs:
    """The files that workers need: the URI of the storage and the checksums of the files uploaded there."""

    uri: str
    checksums: Checksums

    def for_job(self, job: Job) -> dict[str, Any]:
        """The part that one job needs, in plain values."""
        return {"uri": self.uri, "checksums": {str(path): self.checksums[str(path)] for path in _input_files(job)}}


@dataclass(frozen=True)
class RemoteSync:
    """The driver's side of a remote storage: uploads what trials read, and exchanges records."""

    storage: RemoteFiles
    workspace: Workspace

    def pull(self, trial_ids: Iterable[str]) -> int:
        """Copy the records of these trials that the workspace lacks. Returns their number."""
        remote, store = self.storage.sizes("results"), RecordStore(self.workspace.results)
        missing = [i for i in trial_ids if f"results/{i}.json" in remote and not store.path(i).exists()]
        for trial_id in missing:
            store.write(TrialRecord.model_validate_json(self.storage.read(f"results/{trial_id}.json")))
        return len(missing)

    def push(self, trial_ids: Iterable[str]) -> None:
        """Upload the records of these trials that the storage lacks or has in another size."""
        remote, store = self.storage.sizes("results"), RecordStore(self.workspace.results)
        for trial_id in trial_ids:
            path = store.path(trial_id)
            is_new = path.exists() and path.stat().st_size != remote.get(f"results/{trial_id}.json")
            if is_new and (record := store.read(trial_id)):
                self.upload_record(record)

    def upload_record(self, record: TrialRecord) -> None:
        """Upload a record, fetch the trial's sample grids, and delete the checkpoints that a result makes obsolete."""
        store = RecordStore(self.workspace.results)
        self.storage.write(f"results/{record.trial_id}.json", store.path(record.trial_id))
        for name in self.storage.sizes(f"samples/{record.trial_id}"):
            if not (path := self.workspace.root / name).exists():
                self.storage.fetch(name, path)
        if record.status != "failed":
            for name in self.storage.sizes(f"checkpoints/{record.trial_id}"):
                self.storage.delete(name)

    def upload_inputs(self, jobs: Iterable[Job]) -> UploadedInputs:
        """Upload all files that these jobs read and the storage lacks."""
        remote, checksums = self.storage.sizes("files"), {}
        for path in {path for job in jobs for path in _input_files(job)}:
            checksums[str(path)] = checksum = file_checksum(path, "sha256")
            name, size = f"files/{checksum}", path.stat().st_size
            if remote.get(name) != size:
                self.storage.write(name, path)
                remote[name] = size
        return UploadedInputs(self.storage.uri, checksums)


def _input_files(job: Job) -> list[Path]:
    """The files that a trial reads."""
    references = [path for pair in job.assets.references.values() for path in pair]
    roots = [job.data, *job.assets.extractors.values(), *references]
    files = {path for root in roots for path in (root.rglob("*") if root.is_dir() else [root])}
    return sorted(path for path in files if path.is_file() and not path.name.startswith("."))
