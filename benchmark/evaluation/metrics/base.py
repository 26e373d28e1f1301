"""The metric contract: features -> statistics -> value, one file per metric."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from baselines.networks.base import DiscriminatorOutput
from benchmark.core import registry
from benchmark.core.spec import FrozenModel
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Features

if TYPE_CHECKING:
    from baselines.common.method import Method

Count = Annotated[int, Field(strict=True, gt=0)]


@dataclass(frozen=True)
class Output:
    """One number of a metric: its key, its name for people, which direction is better, and what it lies between."""

    key: str
    title: str
    better: Literal["higher", "lower"]
    digits: int
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class ReferenceLine:
    """The best that an output can show: its value, and a word or two for a figure."""

    value: float
    words: str


@dataclass(frozen=True)
class HistogramSpec:
    """What a metric counts images in: the modes, of which an even generator makes all alike.

    They are the cells of a grid. `axes`: the name of each axis and how many places it has; from one count to the next
    the last axis changes fastest. `place`: what people call a place on an axis.
    """

    axes: tuple[tuple[str, int], ...]
    place: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The places along each axis."""
        return tuple(places for _, places in self.axes)

    @property
    def count(self) -> int:
        """How many there are."""
        return math.prod(self.shape)


class MetricOptions(FrozenModel):
    """A metric's named switches; every field is part of the trial's identity."""


class SampleOptions(MetricOptions):
    """Of a metric that looks at generated images through an extractor."""

    extractor: str = Field(default="inception", description="torch-fidelity's; a plain FID means nothing else")


class ReferenceOptions(SampleOptions):
    """Of a metric that compares with real images: the first `n_real` of a fixed shuffle of a split, or all of it."""

    reference: Literal["train", "test"] = Field(default="train", description="ours: the images that the GAN learns")
    n_real: Count | None = Field(default=None, description="ours: all images of the split")


class ReferenceFeatures(NamedTuple):
    """What an extractor says of n real images, as float32 arrays that may be mapped: (n, D), and (n, K) logits."""

    features: np.ndarray
    logits: np.ndarray


class Metric(ABC):
    """What all metrics have. `options` below is always an instance of the metric's own `Options`, and `n_fake` the
    number of samples, 0 for a metric that looks at none.

    `draws`: whether it looks at generated images, so that a protocol says at how many.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    draws: ClassVar[bool]
    needs_logits: ClassVar[bool] = False
    Options: ClassVar[type[MetricOptions]] = MetricOptions

    @classmethod
    @abstractmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The numbers that it gives."""

    @classmethod
    def landmarks(cls, options: Any, n_fake: int) -> dict[str, ReferenceLine]:
        """Output key -> the best that it can show with this many samples, where that is known."""
        del options, n_fake
        return {}

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What a reader of the report must know to read the outputs: a title, and a sentence for each."""
        del options, n_fake
        return {}

    @classmethod
    def bins(cls, options: Any) -> HistogramSpec | None:
        """What a histogram of it counts; None where it gives none."""
        del options
        return None

    @classmethod
    def shrunk(cls, options: Any, samples: int) -> Any:
        """The same options for measuring with at most so many images of a kind, in a reduced scale."""
        del samples
        return options

    @classmethod
    def applies(cls, method: "type[Method]") -> bool:
        """Whether a method has what it measures. Else the method's row of a table has no such number."""
        del method
        return True

    @classmethod
    @abstractmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Why it cannot be measured on a dataset with these options and this many samples, or None."""


class SampleMetric(Metric):
    """Looks at generated images through an extractor. An instance takes one measurement: `add` batches, then `value`.

    `compares`: whether it needs real images; its Options are then `ReferenceOptions`. `needs_logits`: whether it counts
    classes.
    """

    Options: ClassVar[type[MetricOptions]] = SampleOptions
    draws = True
    compares: ClassVar[bool]

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Why its extractor does not do for a dataset."""
        del n_fake
        extractor = registry.extractors[options.extractor]
        if not extractor.fits(dataset):
            return f"extractor '{options.extractor}' does not look at images of {dataset.name}"
        if cls.needs_logits and not extractor.classifies:
            able = sorted(name for name in registry.extractors if registry.extractors[name].classifies)
            return f"extractor '{options.extractor}' names no classes, which {cls.name} counts; able: {', '.join(able)}"
        return None

    @classmethod
    def shrunk(cls, options: Any, samples: int) -> Any:
        """Fewer real images, where it compares with any."""
        return (
            options.model_copy(update={"n_real": min(options.n_real or samples, samples)}) if cls.compares else options
        )

    @classmethod
    def summary(cls, options: Any, real: ReferenceFeatures, device: torch.device) -> dict[str, np.ndarray]:
        """What can be computed once of the real images, on a device, and is kept: such as their moments."""
        del options, real, device
        return {}

    @abstractmethod
    def __init__(self, options: Any, real: ReferenceFeatures | None, summary: Mapping[str, np.ndarray]) -> None:
        """`real`: None where it does not compare. `summary`: what the class method of that name gave."""

    @abstractmethod
    def add(self, batch: Features) -> None:
        """More generated images. What `value` says depends on all of them and not on the size of the batches."""

    @abstractmethod
    def value(self) -> dict[str, float]:
        """The outputs over all images so far. Raises ValueError when there are none, or too few."""

    def histogram(self) -> np.ndarray | None:
        """How many of all images so far are in each of its `bins`, as integers; None where it has none."""
        return None


class Discriminator(Protocol):
    """A discriminator as it is measured: with stored statistics, any number of uint8 (N, C, H, W) images at a time.

    Nothing of the training changes by it, and the results are on its device.
    """

    def judge(self, images: Tensor) -> DiscriminatorOutput:
        """Its view of N images."""

    def rotation_logits(self, images: Tensor) -> Tensor:
        """(N, 4), of a method that names rotations."""


class DiscriminatorMetric(Metric):
    """Looks at real images through the discriminator. An instance serves a whole trial: `value` at each measurement."""

    draws = False

    @classmethod
    @abstractmethod
    def lacking(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """Why the images of a dataset do not do, now that they can be read, or None."""

    @abstractmethod
    def __init__(self, options: Any, dataset: type[Dataset], prepared: PreparedData) -> None: ...

    @abstractmethod
    def value(self, discriminator: Discriminator) -> dict[str, float]:
        """The outputs; not finite where what the discriminator says is not."""


def output_title(name: str, extractor: str) -> str:
    """The name of a metric with its extractor's, unless that is the one that everybody means."""
    title = registry.extractors[extractor].title
    return f"{name} ({title})" if title else name


def output_key(key: str, plain: str, extractor: str) -> str:
    """`key` for Inception, else `plain` and the extractor, such as `fd_digits`: what is no FID is not called one."""
    return f"{plain}_{extractor}" if registry.extractors[extractor].title else key


def comparability_note(name: str, seen: str, extractor: str) -> str:
    """The sentence that what is measured through another network than Inception is not `name`; "" for Inception."""
    other = registry.extractors[extractor]
    if not other.title:
        return ""
    return f" It is not {name}: its {seen} are {other.about}, and it compares with {other.comparable}."
