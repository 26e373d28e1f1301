"""Atomic writes and checksums of files."""

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Replace a file atomically; when this returns, it is on the disk, even if the power fails.

    The file's mode follows the user's umask. On an error, the old file stays and the partial one is removed.

    Raises:
        OSError: with `path` as its file name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):  # must not hide the first error
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    with suppress(OSError):  # some file systems cannot flush a folder
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_partial_writes(folder: Path, names: str) -> None:
    """Remove the partial files that killed processes left of the files whose name matches the pattern `names`.

    Call it only if no other process writes these files: it would remove their partial files too.
    """
    with suppress(OSError):
        for path in folder.glob(f".{names}-*"):
            path.unlink()


def file_checksum(path: Path, algorithm: str) -> str:
    """The checksum of a file in hexadecimal, read in chunks. `algorithm`: `md5` or `sha256`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
