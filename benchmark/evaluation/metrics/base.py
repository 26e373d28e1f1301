"""The contract of a metric: features -> statistics -> value. Each metric is one file and one name in the registry.

A `SampleMetric` compares features of generated images with those of real images, or counts their classes. A
`DiscriminatorMetric` evaluates the discriminator on real images. An instance of either takes one measurement: `update`
collects what the value depends on, `compute` returns the value. All that the harness, the report and the verdicts need
to know about a metric is in its class attributes and class methods, which load no weights and read no images.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from baselines.networks.base import DiscriminatorOutput
from benchmark.core import registry
from benchmark.core.spec import FrozenModel, PositiveInt
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Features

if TYPE_CHECKING:
    from baselines.common.method import Method
    from baselines.networks.base import Network


@dataclass(frozen=True, kw_only=True)
class Output:
    """One number of a metric.

    Attributes:
        key: its name in records and tables, such as `fid`.
        title: its name in the report, such as `FID`.
        better: which direction is better.
        decimals: how many decimals the report shows.
        minimum: the smallest possible value.
        maximum: the largest possible value.
        is_ranked: whether methods are ranked by it. If not, as for a mean, `better` means nothing: reports show no
            arrow, no best value and no order of methods.
    """

    key: str
    title: str
    better: Literal["higher", "lower"]
    decimals: int
    minimum: float = -math.inf
    maximum: float = math.inf
    is_ranked: bool = True

    @classmethod
    def percentage(cls, key: str, name: str) -> "Output":
        """An accuracy or share in [0, 100], with one decimal; higher is better."""
        return cls(key=key, title=f"{name}, %", better="higher", decimals=1, minimum=0, maximum=100)


@dataclass(frozen=True)
class ReferenceLine:
    """The best value that an output can reach, and a short label for figures."""

    value: float
    label: str


@dataclass(frozen=True)
class HistogramSpec:
    """The bins of a metric's histogram: the cells of a grid, which a uniform generator fills equally.

    Attributes:
        axes: name and length of each axis; the last axis varies fastest.
        position: what a position on an axis is called, such as `digit`.
    """

    axes: tuple[tuple[str, int], ...]
    position: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(length for _, length in self.axes)

    @property
    def num_bins(self) -> int:
        """The number of cells."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class RequiredImages:
    """The fewest images from which a metric can be computed.

    Attributes:
        why: what the metric does that needs them, a phrase whose subject is the metric.
        generated: how many generated images it needs.
        real: how many real images it needs.
    """

    why: str
    generated: int = 1
    real: int = 1


Statistics = dict[str, np.ndarray]  # of the real images, by name; see `SampleMetric.reference_statistics`


class MetricOptions(FrozenModel):
    """The options of a metric; every field is part of the trial's identity."""


class SampleOptions(MetricOptions):
    """Options of a metric of generated images."""

    extractor: str = Field(default="inception", description="torch-fidelity's; a plain FID means nothing else")


class ReferenceOptions(SampleOptions):
    """Options of a metric that compares with real images: the first `n_real` of a fixed shuffle of a split, or all."""

    reference: Literal["train", "test"] = Field(default="train", description="ours: the images that the GAN learns")
    n_real: PositiveInt | None = Field(default=None, description="ours: all images of the split")


class ReferenceFeatures(NamedTuple):
    """Features (n, D) and logits (n, K) of n real images, float32; the arrays may be memory-mapped."""

    features: np.ndarray
    logits: np.ndarray


class Metric(ABC):
    """What all metrics share.

    In all methods `options` is a validated instance of the metric's own `Options`, and `n_fake` is the number of
    generated images, 0 for a metric that needs none.

    Attributes:
        name: the metric's key in the registry.
        about: what the metric measures, a noun phrase for the report.
        needs_samples: whether it measures generated images, so that a protocol states `n_fake` and a codec.
        needs_logits: whether it needs an extractor with class logits.
        required_fields: fields of a published protocol without which a published value is not comparable.
        Options: the schema of its options.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    needs_samples: ClassVar[bool]
    needs_logits: ClassVar[bool] = False
    required_fields: ClassVar[frozenset[str]] = frozenset()
    Options: ClassVar[type[MetricOptions]] = MetricOptions

    @classmethod
    @abstractmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The numbers that `compute` returns, in its order."""

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """The protocol in words, a phrase for the report: what is measured, on how many images of which kind."""
        del options, n_fake
        return cls.about

    @classmethod
    def protocol_fields(cls, options: Any) -> dict[str, object]:
        """The fields of a published protocol (`PublishedProtocol`) that the options determine."""
        del options
        return {}

    @classmethod
    def reference_lines(cls, options: Any, n_fake: int) -> dict[str, ReferenceLine]:
        """Output key -> the best value that `n_fake` samples can reach, for the outputs where it is known."""
        del options, n_fake
        return {}

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What a reader of the report must know to interpret the outputs: title -> sentences."""
        del options, n_fake
        return {}

    @classmethod
    def histogram_spec(cls, options: Any) -> HistogramSpec | None:
        """The bins of the metric's histogram; None if it has no histogram."""
        del options
        return None

    @classmethod
    def next_task_outputs(cls) -> dict[str, str]:
        """Of a method that is trained on tasks in turn: output key -> the key of the same output on the next task."""
        return {}

    @classmethod
    def class_outputs(cls, options: Any) -> dict[str, tuple[str, ...]]:
        """Key of an output of all images -> the keys of the same output of the images of each class alone."""
        del options
        return {}

    @classmethod
    def covered_modes(
        cls, options: Any, dataset: type[Dataset], points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The (K, D) modes of a mixture and, bool (K,), whether (n, D) points cover them; None without such a rule."""
        del options, dataset, points
        return None

    @classmethod
    def with_sample_cap(cls, options: Any, samples: int) -> Any:
        """The options with at most `samples` images of each kind, for a reduced scale."""
        del samples
        return options

    @classmethod
    def supports(cls, method: "type[Method]") -> bool:
        """Whether the metric is defined for a method; if not, the method's row of a table leaves it out."""
        del method
        return True

    @classmethod
    @abstractmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Why the metric cannot be measured on a dataset with these options, or None. Reads no images."""

    @classmethod
    def check_network(cls, options: Any, network: "Network") -> str | None:
        """Why the metric cannot be measured on a network of the family with these options, or None."""
        del options, network
        return None

    @classmethod
    def check_data(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """Why the prepared images do not suffice, or None. Called once, before any trial of a run starts."""
        del options, dataset, prepared
        return None

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Output key -> value over everything that `update` has seen; a value may be NaN.

        Raises:
            ValueError: `update` has seen nothing, or fewer images than the metric needs.
        """


class SampleMetric(Metric):
    """A metric of features of generated images.

    Args:
        options: the validated options.
        reference: features of the real images; None if `needs_reference` is False.
        statistics: what `reference_statistics` returned for them, if `needs_reference`, and `dataset_statistics`.

    Attributes:
        needs_reference: whether it compares with real images; its Options then extend `ReferenceOptions`.
    """

    needs_samples = True
    needs_reference: ClassVar[bool]
    required_fields = frozenset({"n_fake", "n_real", "reference_split", "feature_extractor"})
    Options: ClassVar[type[MetricOptions]] = SampleOptions

    @abstractmethod
    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Statistics) -> None: ...

    @classmethod
    def supports(cls, method: "type[Method]") -> bool:
        """The method needs a generator."""
        return method.has_generator

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """What is measured, the extractor, and the numbers of generated and real images."""
        extractor = registry.extractors[options.extractor]
        phrase = f"{cls.about}, through {extractor.about}, over {n_fake:,} generated images"
        if cls.needs_reference:
            phrase += f", against {image_count(options.n_real)} real images of the {options.reference} split"
        return phrase

    @classmethod
    def required_images(cls, options: Any) -> RequiredImages:
        """The fewest images of each kind that the metric needs; of real ones only if `needs_reference`."""
        del options
        return RequiredImages(why="is computed from images")

    @classmethod
    def protocol_fields(cls, options: Any) -> dict[str, object]:
        """The extractor, and the split and number of the real images."""
        fields: dict[str, object] = {"feature_extractor": options.extractor}
        if cls.needs_reference:
            fields |= {"reference_split": options.reference, "n_real": options.n_real or "all of the split"}
        return fields

    @classmethod
    def with_sample_cap(cls, options: Any, samples: int) -> Any:
        """The options with at most `samples` real images."""
        if not cls.needs_reference:
            return options
        return options.model_copy(update={"n_real": min(options.n_real or samples, samples)})

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Why the extractor does not suit the dataset or the metric, or why there are too few images, or None."""
        required = cls.required_images(options)
        if n_fake < required.generated:
            return f"n_fake is {n_fake:,}, but '{cls.name}' {required.why}: it needs at least {required.generated:,}"
        if cls.needs_reference and options.n_real is not None and options.n_real < required.real:
            return f"n_real is {options.n_real:,}, but '{cls.name}' {required.why}: it needs at least {required.real:,}"
        extractor = registry.extractors[options.extractor]
        if not extractor.supports(dataset):
            remedy = "; points have the extractor 'coordinates'" if dataset.is_points else ""
            kind = dataset.describe_samples()
            return f"extractor '{options.extractor}' does not take {kind} of {dataset.name}{remedy}"
        if cls.needs_logits and not extractor.has_logits:
            able = sorted(name for name in registry.extractors if registry.extractors[name].has_logits)
            return (
                f"extractor '{options.extractor}' has no class logits, which '{cls.name}' needs;"
                f" extractors that have: {', '.join(able)}"
            )
        return None

    @classmethod
    def check_data(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """There must be `n_real` images in the reference split, and as many as the metric needs."""
        if not cls.needs_reference:
            return None
        available, required = len(getattr(prepared, options.reference).labels), cls.required_images(options)
        has = f"the {options.reference} split of {dataset.name} has {available:,} image{'s' * (available != 1)}"
        if dataset.stacked > 1:  # any number of stacks can be made
            return None if available else has
        if (options.n_real or 1) > available:
            return f"n_real is {options.n_real or 1:,}, and {has}; ask for fewer, or add images"
        if available < required.real:
            return (
                f"'{cls.name}' {required.why}: it needs at least {required.real:,} real images, and {has}; add images,"
                " or compare with the other split (options.reference)"
            )
        return None

    @classmethod
    def reference_statistics(cls, options: Any, reference: ReferenceFeatures, device: torch.device) -> Statistics:
        """Statistics of the real images, computed once on `device` and cached: for FID, their mean and covariance.

        Args:
            options: the validated options.
            reference: features of the real images.
            device: where to compute.

        Returns:
            Arrays by name, which `__init__` gets as `statistics`.
        """
        del options, reference, device
        return {}

    @classmethod
    def dataset_statistics(cls, options: Any, dataset: type[Dataset]) -> Statistics:
        """What the metric knows of the dataset itself, such as the centres of a mixture; by default nothing.

        Returns:
            Arrays by name, which `__init__` gets as part of `statistics`.
        """
        del options, dataset
        return {}

    @abstractmethod
    def update(self, features: Features) -> None:
        """Add a batch of features of generated images. The value does not depend on how images are batched."""

    def histogram(self) -> np.ndarray | None:
        """How many of the images seen fall into each bin of `histogram_spec`, int64; None without a histogram."""
        return None


class EvaluatedDiscriminator(Protocol):
    """A discriminator under evaluation: in evaluation mode, on any number of uint8 (N, C, H, W) images at a time."""

    def discriminate(self, images: Tensor) -> DiscriminatorOutput:
        """Its output for N images, on its device."""

    def rotation_logits(self, images: Tensor) -> Tensor:
        """(N, 4) logits of the rotations by 0, 90, 180 and 270 degrees, for a method with a rotation head."""

    def sequential_tasks(self) -> tuple[int, int]:
        """The classes of the tasks of the last update and of the next, for a method with sequential tasks."""

    def block_maps(self, images: Tensor, block: int) -> Tensor:
        """The (N, C', H', W') feature maps after residual block `block`, counted from 0."""


class DiscriminatorMetric(Metric):
    """A metric of the discriminator, evaluated on real images.

    Args:
        options: the validated options.
        dataset: the dataset that the method is trained on.
        prepared: its images.
    """

    needs_samples = False

    @abstractmethod
    def __init__(self, options: Any, dataset: type[Dataset], prepared: PreparedData) -> None: ...

    @abstractmethod
    def update(self, discriminator: EvaluatedDiscriminator) -> None:
        """Evaluate the discriminator on the metric's real images."""


class HeldOutMetric(DiscriminatorMetric):
    """A metric of the discriminator on held-out images, of which its option `n_test` takes so many; None for all."""

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """What is measured, and on how many images."""
        del n_fake
        return f"{cls.about}, on {image_count(options.n_test)} held-out images"

    @classmethod
    def with_sample_cap(cls, options: Any, samples: int) -> Any:
        """The options with at most `samples` held-out images."""
        return options.model_copy(update={"n_test": min(options.n_test or samples, samples)})


def image_count(n: int | None) -> str:
    """A number of images in words: `all` for None."""
    return "all" if n is None else f"{n:,}"


def output_name(inception: tuple[str, str], other: tuple[str, str], extractor: str) -> tuple[str, str]:
    """Key and title of an output: `fid` and `FID` through Inception, `fd_pixels` and `Fréchet distance (8x8 pixels)`
    through another extractor, whose values are not comparable.

    Args:
        inception: key and title through the Inception network that defines the metric.
        other: prefix of the key, and title, through any other extractor.
        extractor: the extractor's name.
    """
    if registry.extractors[extractor].is_standard:
        return inception
    return f"{other[0]}_{extractor}", f"{other[1]} ({registry.extractors[extractor].title})"


def comparability_note(name: str, features: str, extractor: str) -> str:
    """The sentence that a value through another extractor than Inception is not `name`; "" for Inception."""
    network = registry.extractors[extractor]
    if network.is_standard:
        return ""
    return f" It is not {name}: its {features} are {network.about}, and it compares with {network.comparable_to}."
