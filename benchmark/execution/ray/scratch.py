"""Folders of Tune's own files, one for each of its runs: locked while it goes on, cleared when its driver is dead."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout


@contextmanager
def run_directory(root: Path) -> Iterator[str]:
    """The name of a new folder under `root`, for Tune to make. It is removed at the end."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:8]}"
    lock = FileLock(root / f"{name}.lock")
    with suppress(OSError, NotImplementedError):  # where nothing can be locked, nothing is swept
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield name
    finally:
        _remove(root / f"{name}.lock")
        lock.release()


def sweep(root: Path) -> None:
    """Remove what drivers that were killed have left. What a living one uses stays, also that of another machine."""
    for path in root.glob("*.lock"):
        with suppress(Timeout, OSError, NotImplementedError), FileLock(path, timeout=0):
            _remove(path)


def _remove(lock: Path) -> None:
    """Remove a folder, then its lock: in this order, or a kill in between would leave it for good."""
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    with suppress(OSError):
        lock.unlink()
