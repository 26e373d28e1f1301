"""What the datasets that people download have in common: files are found, compared with the published md5, checked."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from benchmark.core.errors import UserError
from benchmark.core.files import file_checksum
from benchmark.data.arrays import ArraySplit, Shape


def how_to_get(dataset: str, data_dir: Path, files: str) -> str:
    """The end of a message about missing files: torchvision's class of that name downloads them, or people do."""
    return (
        "\nGet them with torchvision:\n"
        f"  python -c \"from torchvision.datasets import {dataset}; {dataset}('{data_dir}', download=True)\"\n"
        f"or put {files} into one folder and pass it as --data-dir."
    )


def read_verified(path: Path) -> bytes:
    """The file's bytes. Raises UserError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}; get the file again") from None


def checked_md5(content: bytes, where: object, name: str, published: Mapping[str, str]) -> str:
    """The md5 of `content`, which is the one published for `name`.

    Raises UserError when it is another; it tells when that is the md5 of another of the files.
    """
    found, expected = hashlib.md5(content, usedforsecurity=False).hexdigest(), published[name]
    if found == expected:
        return found
    twin = next((other for other, md5 in published.items() if md5 == found), None)
    told = "is empty" if not content else f"holds the official {twin}" if twin else f"is not the official {name}"
    raise UserError(f"{where}: {told}: md5 {found}, expected {expected}; replace it with the original file")


def with_labels(images: np.ndarray, labels: np.ndarray, where: object, shape: Shape, classes: int) -> ArraySplit:
    """Images with their labels, both of what they should be. Raises UserError when one is not."""
    problem = None
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        problem = f"holds images of {images.dtype} {images.shape}, expected uint8 (N, {', '.join(map(str, shape))})"
    elif labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        problem = f"holds labels of {labels.dtype} {labels.shape}, expected {len(images)} whole numbers"
    elif not len(labels):
        problem = "holds no images"
    elif labels.min() < 0 or labels.max() >= classes:
        problem = f"holds labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
    if problem:
        raise UserError(f"{where}: {problem}; get the original file")
    return ArraySplit(images, labels.astype(np.int64))


def concatenate(parts: Iterable[ArraySplit]) -> ArraySplit:
    """Several batches as one split."""
    parts = list(parts)
    return ArraySplit(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))


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


def check_md5(path: Path, expected: str) -> None:
    """Raises UserError, naming the file, when it is not the official one."""
    try:
        found = file_checksum(path, "md5")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; get it again") from None
    refuse_md5(str(path), path.name, found, expected)


def refuse_md5(where: str, name: str, found: str, expected: str) -> None:
    """Raises UserError when the two differ."""
    if found != expected:
        raise UserError(
            f"{where}: is not the official {name}: md5 {found}, expected {expected}; replace it with the original file"
        )
