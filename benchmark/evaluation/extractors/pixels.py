"""Tiny images as they are: a yardstick that needs no network and no download.

It sees colours, layout and their variety, and no detail. What is measured with it compares with nothing published.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Extractor, Features

SIDE = 8


class Pixels(Extractor):
    """Images of any size become 8x8 by averaging areas; their pixels are the features."""

    name = "pixels"
    about = "pixels in [0, 1], area-averaged to 8x8"
    title = "8x8 pixels"
    classifies = False

    @classmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Images of at least 8x8."""
        return min(dataset.shape[1:]) >= SIDE

    def __init__(self, prepared: Path, device: torch.device) -> None:
        del prepared
        self.device = device

    @property
    def identity(self) -> str:
        """There are no weights."""
        return f"area average to {SIDE}x{SIDE}"

    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, C, H, W) -> (N, C 64), the mean of every area."""
        areas = F.adaptive_avg_pool2d(images.to(self.device).double() / 255, SIDE).flatten(1)
        return Features(areas, areas[:, :0])
