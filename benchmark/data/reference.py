"""The real images or points that measurements use: a fixed selection from each split, the same for every trial."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset

REFERENCE_SEED = 2021
CHUNK = 500  # images in memory at a time


def reference_images(split: ArraySplit, dataset: type[Dataset], n: int) -> Iterator[Tensor]:
    """n real images in the shape that a GAN sees, in chunks of uint8 (m, C, H, W), or points, float32 (m, D).

    The first n images of a fixed permutation, in stored order; for a stacked dataset, n fixed random stacks.
    """
    rng = np.random.default_rng(REFERENCE_SEED)
    if dataset.stacked == 1:
        indices = np.sort(rng.permutation(len(split.labels))[:n])[:, None]
    else:
        indices = rng.integers(len(split.labels), size=(n, dataset.stacked))
    for start in range(0, n, CHUNK):
        chunk = indices[start : start + CHUNK]
        yield torch.from_numpy(split.images[chunk.ravel()]).view(len(chunk), *dataset.shape)


def labelled_indices(split: ArraySplit, n: int | None) -> np.ndarray:
    """Indices of n labelled images, or of all if n is None, in the order of a fixed permutation."""
    labelled = np.flatnonzero(split.labels >= 0)
    return np.random.default_rng(REFERENCE_SEED).permutation(labelled)[:n]
