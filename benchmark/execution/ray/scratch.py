"""Folders for Ray Tune's own files, one for each run of Tune. A folder is locked while its driver lives."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout


@contextmanager
def run_directory(root: Path) -> Iterator[str]:
    """The name of a new folder under `root`, which Tune creates. The folder is removed at the end of the block."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:8]}"
    lock = FileLock(root / f"{name}.lock")
    with suppress(OSError, NotImplementedError):  # a filesystem without locks: nothing is swept there either
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield name
    finally:
        _remove(root / f"{name}.lock")
        lock.release()


def sweep(root: Path) -> None:
    """Remove the folders of killed drivers. Folders of living drivers stay, also those of other machines."""
    for path in root.glob("*.lock"):
        with suppress(Timeout, OSError, NotImplementedError), FileLock(path, timeout=0):
            _remove(path)


def _remove(lock: Path) -> None:
    """Remove a folder, then its lock: in the other order, a kill in between would leave the folder for good."""
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    with suppress(OSError):
        lock.unlink()
