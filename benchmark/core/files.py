"""Files that are written all or nothing, and their checksums."""

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path


def remove_partial_writes(folder: Path, names: str) -> None:
    """Remove what killed processes have left half written of the files whose name fits this pattern.

    Only for who alone writes them: a file that another process is writing at that moment would be gone too.
    """
    with suppress(OSError):
        for path in folder.glob(f".{names}-*"):
            path.unlink()


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file all or nothing, so that it is on the disk when this returns: also after a loss of power.

    Scratch file, flush, rename, flush of the folder. Its mode follows the user's umask. Raises OSError; what stood
    there before then stands there still, and no scratch is left as far as the disk lets itself be cleared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with scratch.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException as error:
        with suppress(OSError):  # the reason why it failed must not be hidden by this
            scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error  # nobody asked for the scratch file
        raise
    with suppress(OSError):  # not every file system can
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def file_sha256(path: Path, algorithm: str) -> str:
    """Checksum of a file, `md5` or `sha256`, in hexadecimal; the file is never in memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
