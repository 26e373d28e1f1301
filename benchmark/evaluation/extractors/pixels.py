"""Pixels of downscaled images: a baseline extractor that needs no network and no download.

It captures colours and coarse layout, and no detail. Its values compare with nothing published.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Extractor, Features

SIDE = 8


class Pixels(Extractor):
    """The pixels of images that are area-averaged to 8x8."""

    name = "pixels"
    about = "pixels in [0, 1], area-averaged to 8x8"
    title = "8x8 pixels"
    has_logits = False

    @classmethod
    def supports(cls, dataset: type[Dataset]) -> bool:
        """Images of at least 8x8."""
        return not dataset.is_points and min(dataset.shape[1:]) >= SIDE

    def __init__(self, path: Path, device: torch.device) -> None:
        del path
        self.device = device

    @property
    def identity(self) -> str:
        """What it does; there are no weights."""
        return f"area average to {SIDE}x{SIDE}"

    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, C, H, W) -> (N, 64 C) features in [0, 1], float64."""
        areas = F.adaptive_avg_pool2d(images.to(self.device).double() / 255, SIDE).flatten(1)
        return Features(areas, areas[:, :0])
