"""Which real images measurements look at: always the same ones of a split, whatever the trial."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset

REFERENCE_SEED = 2021  # which real images are compared with does not depend on the trial
CHUNK = 500  # real images that are looked at together


def reference_images(split: ArraySplit, dataset: type[Dataset], n: int) -> Iterator[Tensor]:
    """n real images as a GAN sees them, uint8 (m, C, H, W) at a time: of a fixed shuffle, or fixed stacks."""
    rng = np.random.default_rng(REFERENCE_SEED)
    if dataset.stacked == 1:
        places = np.sort(rng.permutation(len(split.labels))[:n])[:, None]
    else:
        places = rng.integers(len(split.labels), size=(n, dataset.stacked))
    for start in range(0, n, CHUNK):
        chosen = places[start : start + CHUNK]
        yield torch.from_numpy(split.images[chosen.ravel()]).view(len(chosen), *dataset.shape)


def labelled_indices(split: ArraySplit, n: int | None) -> np.ndarray:
    """The places of n images that have a label, or of all, in the order of a fixed shuffle."""
    labelled = np.flatnonzero(split.labels >= 0)
    return np.random.default_rng(REFERENCE_SEED).permutation(labelled)[:n]
