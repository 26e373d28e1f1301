"""The contract of a feature extractor: images in, feature vectors and class logits out."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset


class Features(NamedTuple):
    """(N, D) features of N images, and (N, K) unnormalised log-probabilities of K classes.

    K is 0 for an extractor without classes, D is 0 for one without features.
    """

    features: Tensor
    logits: Tensor

    def head(self, n: int) -> "Features":
        """Features and logits of the first n images."""
        return Features(self.features[:n], self.logits[:n])


class Extractor(ABC):
    """A fixed network, or a fixed function, of images.

    Args:
        path: what `prepare` returned.
        device: where to compute, and where the features lie.

    Attributes:
        name: the extractor's key in the registry.
        about: what it is, a noun phrase for the report.
        title: its name in the titles of metrics.
        is_standard: whether FID, KID and Inception Score mean this network if they name none.
        has_logits: whether it returns class logits.
        comparable_to: the published values that numbers through it compare with.
        needs_download: whether its weights are a file that has to be downloaded.
        width: D, if it is the same for all datasets.
        distance_decimals: how many decimals a Fréchet distance between its features deserves.
        population: what it is one of, in the plural, for networks trained alike from different seeds; "" for others.
            The network of a paper counts as one more of them.
        metadata_titles: titles of those entries of `metadata` that are shares in [0, 1].
    """

    device: torch.device

    name: ClassVar[str]
    about: ClassVar[str]
    title: ClassVar[str]
    is_standard: ClassVar[bool] = False
    has_logits: ClassVar[bool]
    comparable_to: ClassVar[str] = "nothing published"
    needs_download: ClassVar[bool] = False
    width: ClassVar[int | None] = None
    distance_decimals: ClassVar[int] = 4
    population: ClassVar[str] = ""
    metadata_titles: ClassVar[dict[str, str]] = {}

    @classmethod
    @abstractmethod
    def supports(cls, dataset: type[Dataset]) -> bool:
        """Whether it takes images, or points, of the dataset's shape."""

    @classmethod
    def missing_message(cls, data_dir: Path) -> str | None:
        """Which file of weights is missing and how to get it; None if nothing is missing."""
        del data_dir
        return None

    @classmethod
    def prepare(cls, prepared: PreparedData, cache: Path, data_dir: Path) -> Path:
        """Find the weights, or create them once under `cache`, atomically.

        Args:
            prepared: the dataset that will be evaluated.
            cache: the workspace's folder of evaluation networks.
            data_dir: the folder of downloaded files.

        Returns:
            The path that `__init__` opens.

        Raises:
            UserError: the weights are missing, or are not the published ones.
        """
        del prepared, data_dir
        return cache

    @abstractmethod
    def __init__(self, path: Path, device: torch.device) -> None: ...

    @property
    @abstractmethod
    def identity(self) -> str:
        """The SHA-256 of the weights, or a description of an extractor without weights."""

    @property
    def metadata(self) -> dict[str, float]:
        """What a reader of the report must know about this extractor, such as its accuracy."""
        return {}

    @abstractmethod
    def __call__(self, images: Tensor) -> Features:
        """Extract features. Draws no random numbers; the result of an image does not depend on its batch.

        Args:
            images: uint8 (N, C, H, W) in [0, 255], or float32 (N, D) points.

        Returns:
            Features on the extractor's device, in memory that is not reused: metrics keep them.
        """
