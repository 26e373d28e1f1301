"""A worker's side of a storage: what a trial reads is fetched where it is missing, what it writes is copied there.

A trial reads and writes on the disk of its own machine, so training does not wait for the storage; a trial that comes
from another machine finds its checkpoints.
"""

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
from benchmark.execution.remote_storage import Files, RemoteFiles
from benchmark.trials.job import Job

CACHE_VARIABLE = "SSGAN_CACHE_DIR"
DEFAULT_CACHE = Path("~/.cache/ssgan-benchmark")
CHECKPOINTS = "*.ckpt"


@contextmanager
def localise_job(job: Job, told: dict[str, Any] | None) -> Iterator[tuple[Job, Callable[[], None]]]:
    """The job with paths of this machine, and what to call now and then while it runs.

    Without a storage all machines see the same disk, and there is nothing to do. Raises OSError when the storage does
    not answer at the start, or at the end of a trial that has ended well: then its checkpoint is still there.
    """
    if told is None:
        yield job, lambda: None
        return
    storage = RemoteFiles(told["uri"])
    cache = Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser() / content_hash(told["uri"])
    here = _fetched(job, storage, told["files"], cache).model_copy(
        update={"checkpoints": cache / "checkpoints", "samples": cache / "samples"}
    )
    copies = CheckpointUploader(storage, job.spec.trial_id, cache)
    copies.fetch_checkpoints()
    try:
        yield here, copies.soon
    finally:
        copies.finish()


def _fetched(job: Job, storage: RemoteFiles, files: Files, cache: Path) -> Job:
    """The job, reading what is on this machine: under the driver's paths if all is there, else in the cache."""
    if all(Path(path).is_file() for path in files):
        return job
    root = cache / "files" / content_hash(files)
    for path, checksum in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):  # of all trials here one fetches it
            if not place.is_file():
                storage.fetch(f"files/{checksum}", place, checksum)

    def moved(path: Path) -> Path:
        place = root / str(path).lstrip("/")
        return place if place.exists() else path

    assets = EvaluationAssets(
        extractors={name: moved(path) for name, path in job.assets.extractors.items()},
        references={name: (moved(a), moved(b)) for name, (a, b) in job.assets.references.items()},
    )
    return job.model_copy(update={"data": moved(job.data), "assets": assets})


@dataclass
class CheckpointUploader:
    """The files that one trial writes under `cache`, and their copies in the storage under the same names."""

    storage: RemoteFiles
    trial_id: str
    cache: Path
    copied: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> time of change, size
    thread: threading.Thread | None = None
    problem: Exception | None = None

    def fetch_checkpoints(self) -> None:
        """Have the newest checkpoints here. They are numbered: the higher, the newer, whatever the clocks say."""
        there = sorted(self.storage.names(f"checkpoints/{self.trial_id}"))
        here = sorted(self._here(CHECKPOINTS))
        if there and (not here or there[-1] > here[-1]):
            for name in there:
                self.storage.fetch(name, self.cache / name)
        for name, path in self._here(CHECKPOINTS).items():
            if name in there and (stamp := _stamp(path)):
                self.copied[name] = stamp

    def soon(self) -> None:
        """Copy what is new, in the background; what cannot be copied now is tried again the next time."""
        if self.thread and self.thread.is_alive():
            return
        if any(_stamp(path) != self.copied.get(name) for name, path in self._here(CHECKPOINTS).items()):
            self.thread = threading.Thread(target=self._try, name="storage", daemon=True)
            self.thread.start()

    def finish(self) -> None:
        """Copy the rest, and clear it here. Raises OSError when that fails."""
        if self.thread:
            self.thread.join()
        self._copy()
        for path in self._here("*").values():
            path.unlink(missing_ok=True)

    def _try(self) -> None:
        try:
            self._copy()
        except Exception as problem:
            self.problem = problem

    def _copy(self) -> None:
        here = self._here("*")
        for name, path in here.items():
            stamp = _stamp(path)
            if stamp and stamp != self.copied.get(name):
                self.storage.write(name, path)
                self.copied[name] = stamp
        for name in [name for name in self.copied if name.endswith(CHECKPOINTS[1:]) and name not in here]:
            self.storage.forget(name)  # a newer one is there by now
            del self.copied[name]

    def _here(self, pattern: str) -> dict[str, Path]:
        """Names and paths of this trial's files, oldest checkpoints first; none is half written."""
        found = [
            path for kind in ("samples", "checkpoints") for path in (self.cache / kind / self.trial_id).glob(pattern)
        ]
        found += (self.cache / "checkpoints").glob(f"{self.trial_id}.*") if pattern == "*" else []
        return {
            path.relative_to(self.cache).as_posix(): path
            for path in sorted(found)
            if path.is_file() and not path.name.startswith(".")
        }


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None  # replaced by a newer one in this moment
    return status.st_mtime_ns, status.st_size
