"""The coordinates of points: the extractor of datasets that consist of points instead of images."""

from pathlib import Path

import torch
from torch import Tensor

from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Extractor, Features


class Coordinates(Extractor):
    """The points themselves."""

    name = "coordinates"
    about = "the coordinates themselves"
    title = "coordinates"
    has_logits = False

    @classmethod
    def supports(cls, dataset: type[Dataset]) -> bool:
        """Points of any dimension."""
        return dataset.is_points

    def __init__(self, path: Path, device: torch.device) -> None:
        del path
        self.device = device

    @property
    def identity(self) -> str:
        """What it does; there are no weights."""
        return "coordinates as float64"

    def __call__(self, images: Tensor) -> Features:
        """float32 (N, D) points -> the same as (N, D) features, float64."""
        points = images.to(self.device, torch.float64, copy=True)
        return Features(points, points[:, :0])
