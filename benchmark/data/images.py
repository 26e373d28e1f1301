"""The training images on the device, drawn from by index, and their labels."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Drawn(NamedTuple):
    """uint8 (N, C, H, W) images and their (N,) labels, -1 where none is given; None where none is asked for."""

    images: Tensor
    labels: Tensor | None


class Images:
    """The training images as one uint8 tensor on the device, drawn from by index.

    With `stacked` = k, every drawn image has k channels: k independent, uniform draws of a one-channel image
    (MSGAN modules/mnist.py:5-25). Its label is the number that the k labels write, 100 R + 10 G + B for three digits.

    `labels`: (N,) of the stored images, -1 where none is given, each of so many `classes`. A stacked image has a label
    when all its parts have one.
    """

    def __init__(
        self,
        images: np.ndarray,
        stacked: int,
        device: torch.device,
        labels: np.ndarray | None = None,
        classes: int = 0,
    ) -> None:
        self.images = torch.from_numpy(np.array(images)).to(device)
        self.stacked = stacked
        self.labels = None if labels is None else torch.from_numpy(np.array(labels)).to(device)
        self.places = classes ** torch.arange(stacked - 1, -1, -1, device=device)

    def draw(self, n: int, rng: torch.Generator) -> Drawn:
        """n images uniformly and with replacement."""
        index = torch.randint(len(self.images), (n * self.stacked,), generator=rng, device=rng.device)
        picked = self.images[index]
        images = picked.view(n, self.stacked * picked.shape[1], *picked.shape[2:])
        if self.labels is None:
            return Drawn(images, None)
        parts = self.labels[index].view(n, self.stacked)
        whole = (parts * self.places).sum(1)
        return Drawn(images, torch.where((parts < 0).any(1), -1, whole))


LABELLED_SEED = 2019  # which images keep their label does not depend on the trial


def kept_labels(labels: np.ndarray, share: float, stacked: int) -> np.ndarray:
    """(N,) labels of stored images so that this share of training images has one, always the same; -1 elsewhere.

    Of a stacked image's parts the k-th root of the share is taken.
    """
    order = np.random.default_rng(LABELLED_SEED).permutation(len(labels))
    known = order[: round(share ** (1 / stacked) * len(order))]
    kept = np.full(len(labels), -1, dtype=np.int64)
    kept[known] = labels[known]
    return kept
