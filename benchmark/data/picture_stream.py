"""The pictures of a tree as a split that is written as it is read, and one checksum for all its files."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL.Image import Image

from benchmark.data.base import Stream
from benchmark.data.pictures import decode, pixels
from benchmark.data.trees import Tree

CHUNK = 256

Fit = Callable[[Image, str], Image]  # an RGB picture and where it is -> of the wanted size


def picture_stream(
    tree: Tree, items: Sequence[tuple[str, int]], fit: Fit, size: int, title: str, checksums: dict[str, str]
) -> Stream:
    """The files `items`, each a name and a label, as (3, size, size) pictures.

    Each file is read once. So the checksum, of the very bytes that were decoded, is put into `checksums` when the
    last one is: under a key like `folder train (1,234 files)`.
    """
    return Stream(len(items), (3, size, size), _chunks(tree, items, fit, size, title, checksums))


def _chunks(
    tree: Tree, items: Sequence[tuple[str, int]], fit: Fit, size: int, title: str, checksums: dict[str, str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    files = hashlib.sha256()
    for start in range(0, len(items), CHUNK):
        some = items[start : start + CHUNK]
        images = np.empty((len(some), 3, size, size), dtype=np.uint8)
        for image, (name, _) in zip(images, some, strict=True):
            content = tree.read(name)
            files.update(entry(name, content))
            where = tree.where(name)
            image[:] = pixels(fit(decode(content, where), where))
        yield images, np.array([label for _, label in some], dtype=np.int64)
    checksums[f"{title} ({len(items):,} files)"] = files.hexdigest()


def entry(name: str, content: bytes) -> bytes:
    """What a file adds to the checksum: name, size and SHA-256. No two lists of files give the same bytes."""
    return os.fsencode(name) + b"\0%d\0" % len(content) + hashlib.sha256(content).digest()
