"""The contract of a feature extractor: what turns images into the vectors that metrics compare and count."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset


class Features(NamedTuple):
    """What an extractor says of N images: (N, D) features, and (N, K) unnormalised log-probabilities of K classes.

    K is 0 where the extractor names no classes, D is 0 where it gives nothing to compare.
    """

    features: Tensor
    logits: Tensor

    def first(self, n: int) -> "Features":
        """Of the first n images."""
        return Features(self.features[:n], self.logits[:n])


class Extractor(ABC):
    """A fixed network, or a fixed function, of images.

    `title` follows the name of a metric that uses it, "" for the one whose name alone means it (Inception);
    `fact_titles` gives the names, for people, of shares in [0, 1] that `facts` tells. `classifies`: whether it gives
    logits; `comparable`: the published values that numbers through it compare with; `fetched`: whether its weights are
    a file that somebody has to download. `width`: D, where that is the same for all datasets.
    `device`: where it looks, and where what it says lies.
    """

    device: torch.device

    name: ClassVar[str]
    about: ClassVar[str]
    title: ClassVar[str]
    classifies: ClassVar[bool]
    comparable: ClassVar[str] = "nothing published"
    fetched: ClassVar[bool] = False
    width: ClassVar[int | None] = None
    fact_titles: ClassVar[dict[str, str]] = {}

    @classmethod
    @abstractmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Whether it can look at a dataset's images."""

    @classmethod
    def missing(cls, data_dir: Path) -> str | None:
        """Which file of weights is missing and how to get it; None when it has all that it needs."""
        del data_dir
        return None

    @classmethod
    def prepare(cls, dataset: PreparedData, cache: Path, data_dir: Path) -> Path:
        """Find or make once what it opens with, atomically, under `cache`; here nothing.

        Raises UserError when weights are wrong.
        """
        del dataset, data_dir
        return cache

    @abstractmethod
    def __init__(self, prepared: Path, device: torch.device) -> None:
        """Open what `prepare` returned."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """SHA-256 of its weights, or of what else makes it what it is."""

    @property
    def facts(self) -> dict[str, float]:
        """What a reader must know about it, such as its own accuracy."""
        return {}

    @abstractmethod
    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, C, H, W) in [0, 255] -> Features on its device, in memory of their own: metrics keep them.

        Draws nothing from any random stream.
        """
