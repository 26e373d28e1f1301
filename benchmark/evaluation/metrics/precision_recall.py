"""Improved precision and recall, computed as torch-fidelity does.

Source: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019,
eq. 1-3. The manifold of a set of images is the union of balls about each image, whose radius is the distance to its
k-th nearest neighbour in the set. Precision is the share of generated images inside the manifold of the real ones,
recall the share of real images inside the manifold of the generated ones.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core import registry
from benchmark.core.spec import PositiveInt
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    MetricOptions,
    Output,
    ReferenceFeatures,
    ReferenceOptions,
    RequiredImages,
    SampleMetric,
    Statistics,
    image_count,
)
from benchmark.evaluation.metrics.feature_buffer import FeatureBuffer, reference_features

CHUNK = 4096  # rows on either side of a block of distances: 128 MiB
NOISE = 1e-12  # squared distances below this share of the squared norms are rounding errors and count as 0
PUBLISHED_EXTRACTOR = "vgg16"


class PrecisionRecallOptions(ReferenceOptions):
    """The metric was published with VGG-16."""

    extractor: str = Field(
        default=PUBLISHED_EXTRACTOR, description="torch-fidelity's, and that of Kynkäänniemi et al. 2019"
    )
    neighbourhood: PositiveInt = Field(default=3, description="torch-fidelity's: a ball reaches its k-th neighbour")


class PrecisionRecall(SampleMetric):
    """How many generated images look like real ones, and how many real images the generator can produce."""

    name = "prc"
    about = "shares in [0, 1] of images inside the balls that reach to the k-th neighbour of the other images"
    Options: ClassVar[type[MetricOptions]] = PrecisionRecallOptions
    needs_reference = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """Precision and recall; their names carry the extractor's unless it is VGG-16."""
        key, words = f"_{options.extractor}", f" ({registry.extractors[options.extractor].title})"
        if options.extractor == PUBLISHED_EXTRACTOR:
            key, words = "", ""
        names = ("precision", "recall")
        return tuple(
            Output(key=name + key, title=name.capitalize() + words, better="higher", decimals=3, minimum=0, maximum=1)
            for name in names
        )

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What the shares are of, and what they compare with."""
        extractor, first = registry.extractors[options.extractor], cls.outputs(options)[0]
        note = (
            f"precision and recall are counted over {n_fake:,} generated and {image_count(options.n_real)}"
            f" {options.reference} images, with balls that reach to neighbour {options.neighbourhood}. They"
            " depend on both numbers of images: compare only values over the same numbers."
        )
        if options.extractor != PUBLISHED_EXTRACTOR:
            note += f" They were published with VGG-16; here the features are {extractor.about}."
            note += "" if extractor.is_standard else " That compares with nothing published."
        return {first.title: note}

    @classmethod
    def required_images(cls, options: Any) -> RequiredImages:
        """Every image needs k neighbours."""
        k = options.neighbourhood
        return RequiredImages(why=f"looks for neighbourhood={k:,} others of every image", generated=k + 1, real=k + 1)

    @classmethod
    def reference_statistics(cls, options: Any, reference: ReferenceFeatures, device: torch.device) -> Statistics:
        """`radii`, (n,): the squared distance of every real image to its k-th neighbour."""
        return {"radii": squared_radii(reference_features(reference).to(device), options.neighbourhood).cpu().numpy()}

    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Mapping[str, np.ndarray]) -> None:
        self.keys = [output.key for output in self.outputs(options)]
        self.neighbourhood = options.neighbourhood
        self.real, self.radii = reference_features(reference), torch.from_numpy(statistics["radii"])
        self.fake = FeatureBuffer()

    def update(self, features: Features) -> None:
        """Keep the features: 4 N D bytes on their device, where `compute` needs as much again for the real ones."""
        self.fake.append(features.features)

    def compute(self) -> dict[str, float]:
        """Both shares over all images so far."""
        fake = self.fake.all()
        shares = precision_and_recall(fake, self.real.to(fake.device), self.neighbourhood, self.radii.to(fake.device))
        return dict(zip(self.keys, shares, strict=True))


def precision_and_recall(fake: Tensor, real: Tensor, neighbourhood: int, real_radii: Tensor) -> tuple[float, float]:
    """Precision and recall of (N, D) generated and (M, D) real features, whose squared radii are (M,)."""
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
    """The squared distance of every point to its k-th neighbour, itself not counted: (N, D) -> (N,) float64.

    Raises:
        ValueError: there are at most k points.
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
    """(n, D), (m, D) -> (n, m) in float64; exactly 0 for points that are equal up to rounding."""
    x, y = x.double(), y.double()
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    squared = torch.addmm(norms, x, y.T, alpha=-2)
    return squared.where(squared > NOISE * norms, 0)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))
