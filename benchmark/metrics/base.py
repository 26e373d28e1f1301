"""The metric contract: features -> statistics -> value, with everything that it needs prepared once."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.data.base import Dataset, Prepared


@dataclass(frozen=True)
class Output:
    """One number of a metric: its key, its name for people, its unit and which direction is better."""

    key: str
    title: str
    better: Literal["higher", "lower"]
    digits: int


@dataclass(frozen=True)
class Landmark:
    """The best that an output can show: its value, and a word or two for a figure."""

    value: float
    words: str


class Metric(ABC):
    """Measures generated images against what was prepared for a dataset.

    `extractor` names what turns images into what is counted or compared; `fact_titles` gives the names, for
    people, of shares in [0, 1] that `facts` tells.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    extractor: ClassVar[str]
    outputs: ClassVar[tuple[Output, ...]]
    fact_titles: ClassVar[dict[str, str]] = {}

    @classmethod
    def landmarks(cls, n_fake: int) -> dict[str, Landmark]:
        """Output key -> the best that it can show with this many samples, where that is known."""
        del n_fake
        return {}

    @classmethod
    def notes(cls, n_fake: int) -> dict[str, str]:
        """What a reader of the report must know to read the outputs: a title, and a sentence for each."""
        del n_fake
        return {}

    @classmethod
    @abstractmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Whether the metric can be measured on a dataset."""

    @classmethod
    @abstractmethod
    def prepare(cls, dataset: Prepared, cache: Path) -> Path:
        """Compute once what every measurement on this dataset needs, atomically, under `cache`."""

    @abstractmethod
    def __init__(self, prepared: Path, device: torch.device) -> None:
        """Open what `prepare` left."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, float]:
        """What a reader must know about the instrument, such as its own accuracy."""

    @abstractmethod
    def measure(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """The outputs over all uint8 (N, C, H, W) images in the batches."""
