"""The metric contract: features -> statistics -> value, one file per metric."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from benchmark import plugins
from benchmark.data.base import Dataset
from benchmark.extractors.base import Features
from benchmark.spec import Frozen

Count = Annotated[int, Field(strict=True, gt=0)]


@dataclass(frozen=True)
class Output:
    """One number of a metric: its key, its name for people, and which direction is better."""

    key: str
    title: str
    better: Literal["higher", "lower"]
    digits: int


@dataclass(frozen=True)
class Landmark:
    """The best that an output can show: its value, and a word or two for a figure."""

    value: float
    words: str


class MetricOptions(Frozen):
    """A metric's named switches; every field is part of the trial's identity."""


class SampleOptions(MetricOptions):
    """Of a metric that looks at generated images through an extractor."""

    extractor: str = Field(default="inception", description="torch-fidelity's; a plain FID means nothing else")


class Compared(SampleOptions):
    """Of a metric that compares with real images: the first `n_real` of a fixed shuffle of a split, or all of it."""

    reference: Literal["train", "test"] = Field(default="train", description="ours: the images that the GAN learns")
    n_real: Count | None = Field(default=None, description="ours: all images of the split")


class Real(NamedTuple):
    """What an extractor says of n real images, as float32 arrays that may be mapped: (n, D), and (n, K) logits."""

    features: np.ndarray
    logits: np.ndarray


class Metric(ABC):
    """What all metrics have. `options` below is always an instance of the metric's own `Options`."""

    name: ClassVar[str]
    about: ClassVar[str]
    Options: ClassVar[type[MetricOptions]] = MetricOptions

    @classmethod
    @abstractmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The numbers that it gives."""

    @classmethod
    def landmarks(cls, options: Any, n_fake: int) -> dict[str, Landmark]:
        """Output key -> the best that it can show with this many samples, where that is known."""
        del options, n_fake
        return {}

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What a reader of the report must know to read the outputs: a title, and a sentence for each."""
        del options, n_fake
        return {}

    @classmethod
    @abstractmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Why it cannot be measured on a dataset with these options and this many samples, or None."""


class SampleMetric(Metric):
    """Looks at generated images through an extractor. An instance takes one measurement: `add` batches, then `value`.

    `compares`: whether it needs real images; its Options are then `Compared`.
    `needs_logits`: whether it counts classes.
    """

    Options: ClassVar[type[MetricOptions]] = SampleOptions
    compares: ClassVar[bool]
    needs_logits: ClassVar[bool] = False

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Why its extractor does not do for a dataset."""
        del n_fake
        extractor = plugins.extractors[options.extractor]
        if not extractor.fits(dataset):
            return f"extractor '{options.extractor}' does not look at images of {dataset.name}"
        if cls.needs_logits and not extractor.classifies:
            able = sorted(name for name in plugins.extractors if plugins.extractors[name].classifies)
            return f"extractor '{options.extractor}' names no classes, which {cls.name} counts; able: {', '.join(able)}"
        return None

    @classmethod
    def summary(cls, options: Any, real: Real) -> dict[str, np.ndarray]:
        """What can be computed once of the real images, and is kept: such as their moments."""
        del options, real
        return {}

    @abstractmethod
    def __init__(self, options: Any, real: Real | None, summary: Mapping[str, np.ndarray]) -> None:
        """`real`: None where it does not compare. `summary`: what the class method of that name gave."""

    @abstractmethod
    def add(self, batch: Features) -> None:
        """More generated images. What `value` says depends on all of them and not on the size of the batches."""

    @abstractmethod
    def value(self) -> dict[str, float]:
        """The outputs over all images so far. Raises ValueError when there are none, or too few."""


def titled(name: str, extractor: str) -> str:
    """The name of a metric with its extractor's, unless that is the one that everybody means."""
    title = plugins.extractors[extractor].title
    return f"{name} ({title})" if title else name


def keyed(key: str, plain: str, extractor: str) -> str:
    """`key` for Inception, else `plain` and the extractor, such as `fd_digits`: what is no FID is not called one."""
    return f"{plain}_{extractor}" if plugins.extractors[extractor].title else key
