"""Finding raw files in the usual folders, and holding them against official checksums."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from benchmark.errors import UserError

BLOCK = 1 << 22


def find_in(data_dir: Path, folders: Iterable[str], name: str) -> Path | None:
    """The file or folder `name` in the first of the folders that has it."""
    candidates = (data_dir / folder / name for folder in folders)
    return next((path for path in candidates if path.exists()), None)


def check_md5(path: Path, expected: str) -> None:
    """Raises UserError, naming the file, when it is not the official one."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; get it again") from None
    refuse_md5(str(path), path.name, digest.hexdigest(), expected)


def refuse_md5(where: str, name: str, found: str, expected: str) -> None:
    """Raises UserError when the two differ."""
    if found != expected:
        raise UserError(
            f"{where}: is not the official {name}: md5 {found}, expected {expected}; replace it with the original file"
        )
