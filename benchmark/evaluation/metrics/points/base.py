"""What the metrics of points share: they read coordinates, and keep all points until the value is computed."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    MetricOptions,
    ReferenceFeatures,
    RequiredImages,
    SampleMetric,
    SampleOptions,
    image_count,
)

CoordinatesOnly = Literal["coordinates"]


class PointOptions(SampleOptions):
    """Points have no extractor but `coordinates`."""

    extractor: CoordinatesOnly = Field(default="coordinates", description="the only extractor of points")


class PointMetric(SampleMetric):
    """A metric of (N, D) points, which are kept until `compute`: 8 N D bytes.

    Attributes:
        dimension: the only D that it is defined for; None for any.
        fewest: the fewest generated points that it can be computed from.
    """

    Options: ClassVar[type[MetricOptions]] = PointOptions
    needs_reference = False
    required_fields = frozenset({"n_fake"})
    dimension: ClassVar[int | None] = None
    fewest: ClassVar[int] = 1

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """What is measured, and the numbers of generated and real points."""
        phrase = f"{cls.about}, over {n_fake:,} generated points"
        if cls.needs_reference:
            phrase += f", against {image_count(options.n_real)} real points of the {options.reference} split"
        return phrase

    @classmethod
    def required_images(cls, options: Any) -> RequiredImages:
        """`fewest` generated points, and as many real ones if it compares with real ones."""
        del options
        return RequiredImages(why="is computed from points", generated=cls.fewest, real=cls.fewest)

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Why the dataset does not suit the metric, or why there are too few points, or None."""
        if not dataset.is_points:
            return f"'{cls.name}' measures points, and {dataset.name} holds images; use 'fid' or 'kid'"
        (dimension,) = dataset.shape
        if cls.dimension not in (None, dimension):
            return (
                f"'{cls.name}' measures points in {cls.dimension} dimension{'s' * (cls.dimension != 1)},"
                f" and those of {dataset.name} have {dimension}"
            )
        return super().check_config(options, dataset, n_fake)

    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Mapping[str, np.ndarray]) -> None:
        self.options, self.reference, self.statistics = options, reference, statistics
        self.batches: list[np.ndarray] = []

    def update(self, features: Features) -> None:
        """Keep the points."""
        self.batches.append(features.features.double().cpu().numpy())

    def compute(self) -> dict[str, float]:
        """The values over all points so far.

        Raises:
            ValueError: there are fewer points than the metric needs.
        """
        n = sum(map(len, self.batches))
        if n < self.fewest:
            raise ValueError(f"'{self.name}' needs at least {self.fewest} samples, and there are {n or 'no samples'}")
        return self.values(np.concatenate(self.batches))

    @abstractmethod
    def values(self, points: np.ndarray) -> dict[str, float]:
        """Output key -> value over float64 (N, D) points, of which there are enough."""
