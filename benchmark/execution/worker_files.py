"""The worker's side of a remote storage: fetches the files that a trial reads, and uploads those that it writes.

A trial reads and writes on the local disk, so the training does not wait for the storage. A trial that moves to
another machine finds its checkpoints in the storage.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmark.core.spec import content_hash
from benchmark.evaluation.references import EvaluationAssets
from benchmark.execution.remote_storage import Checksums, RemoteFiles
from benchmark.trials.job import Job

CACHE_VARIABLE = "SSGAN_CACHE_DIR"
DEFAULT_CACHE = Path("~/.cache/ssgan-benchmark")

logger = logging.getLogger(__name__)


@contextmanager
def localise_job(job: Job, inputs: dict[str, Any] | None) -> Iterator[tuple[Job, Callable[[], None]]]:
    """Make a job's files available on this machine.

    Args:
        job: the job with the paths of the driver's machine.
        inputs: `UploadedInputs.for_job`, or None if all machines share a filesystem and nothing has to be done.

    Yields:
        The job with paths of this machine, and a function that uploads new files in the background.

    Raises:
        OSError: if the storage is unreachable at the start, or at the end of the trial. The checkpoint is then still
            on this machine.
    """
    if inputs is None:
        yield job, lambda: None
        return
    storage = RemoteFiles(inputs["uri"])
    cache = Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser() / content_hash(inputs["uri"])
    local_job = _fetch_inputs(job, storage, inputs["checksums"], cache).model_copy(
        update={"checkpoints": cache / "checkpoints", "samples": cache / "samples"}
    )
    uploader = CheckpointUploader(storage, job.spec.trial_id, cache)
    uploader.fetch_checkpoints()
    try:
        yield local_job, uploader.upload_async
    finally:
        uploader.close()


def _fetch_inputs(job: Job, storage: RemoteFiles, checksums: Checksums, cache: Path) -> Job:
    """The job with input paths of this machine: the driver's own paths if all exist here, else copies in the cache."""
    if all(Path(path).is_file() for path in checksums):
        return job
    root = cache / "files" / content_hash(checksums)
    for path, checksum in checksums.items():
        copy = root / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_name(f".{copy.name}.lock")):  # only one of the trials on this machine fetches it
            if not copy.is_file():
                storage.fetch(f"files/{checksum}", copy, checksum)

    def local(path: Path) -> Path:
        copy = root / str(path).lstrip("/")
        return copy if copy.exists() else path

    assets = EvaluationAssets(
        extractors={name: local(path) for name, path in job.assets.extractors.items()},
        references={name: (local(a), local(b)) for name, (a, b) in job.assets.references.items()},
        constants=job.assets.constants,
    )
    return job.model_copy(update={"data": local(job.data), "assets": assets})


@dataclass
class CheckpointUploader:
    """Copies the files that one trial writes under `cache` to the storage, under the same names."""

    storage: RemoteFiles
    trial_id: str
    cache: Path
    _uploaded: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> modification time, size
    _thread: threading.Thread | None = None

    def fetch_checkpoints(self) -> None:
        """Fetch the newest checkpoints, if this machine lacks them. Their numbers tell the order, not their times."""
        remote = sorted(self.storage.sizes(f"checkpoints/{self.trial_id}"))
        local = sorted(self._files("*.ckpt"))
        if remote and (not local or remote[-1] > local[-1]):
            for name in remote:
                self.storage.fetch(name, self.cache / name)
        for name, path in self._files("*.ckpt").items():
            if name in remote and (version := _version(path)):
                self._uploaded[name] = version

    def upload_async(self) -> None:
        """If there is a new checkpoint, upload all new files in the background; a later call repeats what fails."""
        if self._thread and self._thread.is_alive():
            return
        if any(_version(path) != self._uploaded.get(name) for name, path in self._files("*.ckpt").items()):
            self._thread = threading.Thread(target=self._try_to_upload, name="storage", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Upload the remaining files and remove all of them from this machine. Raises OSError if that fails."""
        if self._thread:
            self._thread.join()
        self._upload()
        for path in self._files("*").values():
            path.unlink(missing_ok=True)

    def _try_to_upload(self) -> None:
        try:
            self._upload()
        except Exception as error:
            logger.debug("upload failed: %s", error)

    def _upload(self) -> None:
        files = self._files("*")
        for name, path in files.items():
            version = _version(path)
            if version and version != self._uploaded.get(name):
                self.storage.write(name, path)
                self._uploaded[name] = version
        for name in [name for name in self._uploaded if name.endswith(".ckpt") and name not in files]:
            self.storage.delete(name)  # a newer checkpoint has replaced it
            del self._uploaded[name]

    def _files(self, pattern: str) -> dict[str, Path]:
        """Names and paths of this trial's files, older checkpoints first, without files that are being written."""
        folders = [self.cache / kind / self.trial_id for kind in ("samples", "checkpoints")]
        paths = [path for folder in folders for path in folder.glob(pattern)]
        if pattern == "*":
            paths += (self.cache / "checkpoints").glob(f"{self.trial_id}.*")  # final weights
        return {
            path.relative_to(self.cache).as_posix(): path
            for path in sorted(paths)
            if path.is_file() and not path.name.startswith(".")
        }


def _version(path: Path) -> tuple[int, int] | None:
    """Modification time (ns) and size of a file; None if a newer checkpoint has just replaced it."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
