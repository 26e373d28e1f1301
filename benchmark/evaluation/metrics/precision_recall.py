"""Improved precision and recall (Kynkaanniemi et al. 2019), as torch-fidelity counts them.

A set of images covers a point when the point is in one of its balls: about each image, as far as its k-th neighbour
among the others. Precision is the share of generated images that the real ones cover, recall the share of real images
that the generated ones cover.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core import registry
from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    Count,
    MetricOptions,
    Output,
    ReferenceFeatures,
    ReferenceOptions,
    SampleMetric,
)
from benchmark.evaluation.metrics.feature_buffer import FeatureBuffer, reference_features

CHUNK = 4096  # rows on either side of a block of distances: 128 MiB
NOISE = 1e-12  # squared distances below this share of the squared lengths are rounding: they count as 0
PUBLISHED = "vgg16"  # the extractor that the metric was published with


class PrecisionRecallOptions(ReferenceOptions):
    """The metric was published with VGG-16."""

    extractor: str = Field(default=PUBLISHED, description="torch-fidelity's, and that of Kynkäänniemi et al. 2019")
    neighbourhood: Count = Field(default=3, description="torch-fidelity's: a ball reaches its k-th neighbour")


class PrecisionRecall(SampleMetric):
    """How many generated images are like real ones, and how many real images are like generated ones."""

    name = "prc"
    about = "by balls as far as the k-th neighbour: shares in [0, 1]"
    Options: ClassVar[type[MetricOptions]] = PrecisionRecallOptions
    compares = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """Two shares. With another network than VGG-16 they carry its name."""
        extractor = options.extractor
        other = f"_{extractor}", f" ({registry.extractors[extractor].title or 'Inception'})"
        key, words = ("", "") if extractor == PUBLISHED else other
        names = ("precision", "recall")
        return tuple(Output(name + key, name.capitalize() + words, "higher", 3, 0, 1) for name in names)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """Over what they are counted, and with which extractor they compare with published values."""
        extractor, first = registry.extractors[options.extractor], cls.outputs(options)[0]
        real = f"{options.n_real:,}" if options.n_real else "all"
        note = (
            f"precision and recall are counted over {n_fake:,} generated and {real} {options.reference} images, with"
            f" balls as far as neighbour {options.neighbourhood}. They depend on both numbers: compare values over the"
            " same numbers only."
        )
        if options.extractor != PUBLISHED:
            note += f" They were published with VGG-16; here the features are {extractor.about}."
            note += " That compares with nothing published." if extractor.title else ""
        return {first.title: note}

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Every image needs so many neighbours."""
        for kind, n in (("generated", n_fake), ("real", options.n_real)):
            if n is not None and n <= options.neighbourhood:
                return f"'{cls.name}' looks for neighbour {options.neighbourhood} among {n:,} {kind} images"
        return super().problem(options, dataset, n_fake)

    @classmethod
    def summary(cls, options: Any, real: ReferenceFeatures, device: torch.device) -> dict[str, np.ndarray]:
        """`radii`, (n,): squared distance of every real image to its k-th neighbour."""
        return {"radii": squared_radii(reference_features(real).to(device), options.neighbourhood).cpu().numpy()}

    def __init__(self, options: Any, real: ReferenceFeatures | None, summary: Mapping[str, np.ndarray]) -> None:
        self.keys = [output.key for output in self.outputs(options)]
        self.neighbourhood = options.neighbourhood
        self.real, self.radii = reference_features(real), torch.from_numpy(summary["radii"])
        self.fake = FeatureBuffer()

    def add(self, batch: Features) -> None:
        """The features are kept: 4 N D bytes on their device, where `value` needs as much for the real ones."""
        self.fake.add(batch.features)

    def value(self) -> dict[str, float]:
        """Both shares over all images."""
        fake = self.fake.all()
        shares = fraction_inside(fake, self.real.to(fake.device), self.neighbourhood, self.radii.to(fake.device))
        return dict(zip(self.keys, shares, strict=True))


def fraction_inside(fake: Tensor, real: Tensor, neighbourhood: int, real_radii: Tensor) -> tuple[float, float]:
    """Precision and recall of (N, D) generated and (M, D) real features, from (M,) squared radii."""
    fake_radii = squared_radii(fake, neighbourhood)
    precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    recalled = torch.zeros(len(real), dtype=torch.bool, device=fake.device)
    for rows in _chunks(len(fake)):
        for columns in _chunks(len(real)):
            distances = squared_distances(fake[rows], real[columns])
            precise[rows] |= (distances <= real_radii[columns]).any(1)
            recalled[columns] |= (distances <= fake_radii[rows, None]).any(0)
    return float(precise.double().mean()), float(recalled.double().mean())


def squared_radii(points: Tensor, neighbourhood: int) -> Tensor:
    """(N,): squared distance of every point to its k-th neighbour, itself not counted.

    Raises ValueError when there are too few points.
    """
    if len(points) <= neighbourhood:
        raise ValueError(f"too few samples, {len(points):,}, to have {neighbourhood:,} neighbours each")
    radii = []
    for rows in _chunks(len(points)):
        nearest = points.new_empty((len(points[rows]), 0), dtype=torch.float64)
        for columns in _chunks(len(points)):
            candidates = torch.cat([nearest, squared_distances(points[rows], points[columns])], 1)
            nearest = candidates.topk(min(neighbourhood + 1, candidates.shape[1]), 1, largest=False).values
        radii.append(nearest[:, -1])  # the nearest of all is the point itself
    return torch.cat(radii)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(n, D), (m, D) -> (n, m) in float64; exactly 0 where two points are the same but for rounding."""
    x, y = x.double(), y.double()
    lengths = x.square().sum(1)[:, None] + y.square().sum(1)
    squared = torch.addmm(lengths, x, y.T, alpha=-2)
    return squared.where(squared > NOISE * lengths, 0)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))
