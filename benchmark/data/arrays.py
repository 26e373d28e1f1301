"""The images of a dataset, before and after preparation."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Shape = tuple[int, int, int]
Chunk = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ArraySplit:
    """Labelled images of one split: uint8 (N, C, H, W) in [0, 255] and int64 (N,) labels, -1 for no label."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class StreamSplit:
    """A split that is too large for memory: `length` images of one shape (C, H, W).

    `chunks` yields uint8 (n, C, H, W) images and int64 (n,) labels, -1 for no label. It can be consumed once.
    """

    length: int
    shape: Shape
    chunks: Iterator[Chunk]


Split = ArraySplit | StreamSplit


@dataclass(frozen=True)
class PreparedData:
    """A prepared dataset on disk: `train` for the GANs, the held-out `test`, and the manifest."""

    path: Path
    train: ArraySplit
    test: ArraySplit
    manifest: dict[str, Any]
