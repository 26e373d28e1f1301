"""The images or points of a dataset, before and after preparation."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Shape = tuple[int, ...]  # (C, H, W) of an image, (D,) of a point
Chunk = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ArraySplit:
    """Labelled samples of one split.

    `images` are uint8 (N, C, H, W) in [0, 255], or points, float32 (N, D); `labels` are int64 (N,), -1 for no label.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class StreamSplit:
    """A split that is too large for memory: `length` images or points of one shape.

    `chunks` yields what an `ArraySplit` holds: n images or points, and their labels. It can be consumed once.
    """

    length: int
    shape: Shape
    chunks: Iterator[Chunk]


Split = ArraySplit | StreamSplit


def stored_dtype(shape: Shape) -> np.dtype[Any]:
    """The type of stored values: bytes for images, float32 for points, which are never quantised."""
    return np.dtype(np.float32 if len(shape) == 1 else np.uint8)


def describe_shape(shape: Shape) -> str:
    """A shape in words, for messages and listings: `3x32x32 images` or `1-dimensional points`."""
    return f"{shape[0]}-dimensional points" if len(shape) == 1 else f"{'x'.join(map(str, shape))} images"


@dataclass(frozen=True)
class PreparedData:
    """A prepared dataset on disk: `train` for the GANs, the held-out `test`, and the manifest."""

    path: Path
    train: ArraySplit
    test: ArraySplit
    manifest: dict[str, Any]
