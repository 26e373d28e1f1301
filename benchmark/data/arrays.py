"""The images of a dataset, before and after they are prepared."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ArraySplit:
    """Labelled images of one split: uint8 (N, C, H, W) in [0, 255] and int64 (N,) labels."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class StreamSplit:
    """A split that is too large for memory: so many images of one shape (C, H, W), read in order as they are asked for.

    `chunks` yields uint8 (n, C, H, W) images and int64 (n,) labels, -1 where an image has none, and is read once.
    """

    length: int
    shape: Shape
    chunks: Iterator[tuple[np.ndarray, np.ndarray]]


Split = ArraySplit | StreamSplit


@dataclass(frozen=True)
class PreparedData:
    """A prepared dataset on disk: `train` for the GANs, `test` held out, and its manifest."""

    path: Path
    train: ArraySplit
    test: ArraySplit
    manifest: dict[str, Any]
