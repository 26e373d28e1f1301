"""Finding raw files in the usual folders, and holding them against official checksums."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmark.errors import UserError


def find(
    data_dir: Path, folders: Iterable[str], names: Iterable[str], there: Callable[[Path], bool] = Path.is_file
) -> Path | None:
    """The first of the named files in one of the folders under `data_dir`."""
    names = list(names)
    candidates = (data_dir / folder / name for folder in folders for name in names)
    return next((path for path in candidates if there(path)), None)


def find_in(data_dir: Path, folders: Iterable[str], name: str) -> Path | None:
    """The file or folder `name` in the first of the folders that has it."""
    return find(data_dir, folders, [name], Path.exists)


def digest_of(path: Path, algorithm: str) -> str:
    """Checksum of a file, `md5` or `sha256`, in hexadecimal; the file is never in memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def check_md5(path: Path, expected: str) -> None:
    """Raises UserError, naming the file, when it is not the official one."""
    try:
        found = digest_of(path, "md5")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; get it again") from None
    refuse_md5(str(path), path.name, found, expected)


def refuse_md5(where: str, name: str, found: str, expected: str) -> None:
    """Raises UserError when the two differ."""
    if found != expected:
        raise UserError(
            f"{where}: is not the official {name}: md5 {found}, expected {expected}; replace it with the original file"
        )
