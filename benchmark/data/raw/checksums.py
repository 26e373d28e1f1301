"""Raw files: finding them, reading them and comparing them with published checksums."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from benchmark.core.errors import UserError
from benchmark.core.files import file_checksum
from benchmark.data.arrays import ArraySplit, Shape

Algorithm = Literal["md5", "sha256"]


def find(data_dir: Path, folders: Iterable[str], names: Iterable[str]) -> Path | None:
    """The first of the named files or folders in the first of `folders` under `data_dir` that has one; else None."""
    names = list(names)
    candidates = (data_dir / folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.exists()), None)


def require(data_dir: Path, folders: Iterable[str], names: Iterable[str]) -> Path:
    """Like `find`, but raises UserError if there is no such file: it was removed since it was last seen."""
    names = list(names)
    path = find(data_dir, folders, names)
    if path is None:
        raise UserError(f"{data_dir}: {' or '.join(names)} was not found; get the file again")
    return path


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}; get the file again") from None


def md5_of(content: bytes) -> str:
    """The MD5 in hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def raw_file_checksum(path: Path, algorithm: Algorithm) -> str:
    """The checksum of a file in hexadecimal. Raises UserError if the file cannot be read."""
    try:
        return file_checksum(path, algorithm)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; get the file again") from None


def check_published(
    where: object, name: str, found: str, published: Mapping[str, str], algorithm: Algorithm = "md5"
) -> None:
    """Compare the checksum `found` of the file at `where` with the one published for `name`.

    Raises UserError if they differ; the message says if it is the checksum of another of the published files.
    """
    expected = published[name]
    if found == expected:
        return
    other = next((other for other, checksum in published.items() if checksum == found), None)
    problem = f"holds the official {other}" if other else f"is not the official {name}"
    kind = {"md5": "MD5", "sha256": "SHA-256"}[algorithm]
    raise UserError(f"{where}: {problem}: {kind} {found}, expected {expected}; replace it with the original file")


def checked_split(images: np.ndarray, labels: np.ndarray, where: object, shape: Shape, num_labels: int) -> ArraySplit:
    """A split of labelled images. Raises UserError, naming the file `where`, if types, shapes or labels are wrong."""
    problem = None
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        problem = f"holds images of {images.dtype} {images.shape}, expected uint8 (N, {', '.join(map(str, shape))})"
    elif labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        problem = f"holds labels of {labels.dtype} {labels.shape}, expected {len(images)} integers"
    elif not len(labels):
        problem = "holds no images"
    elif labels.min() < 0 or labels.max() >= num_labels:
        problem = f"holds labels from {labels.min()} to {labels.max()}, expected 0 to {num_labels - 1}"
    if problem:
        raise UserError(f"{where}: {problem}; get the original file")
    return ArraySplit(images, labels.astype(np.int64))
