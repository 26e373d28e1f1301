"""Kernel Inception Distance, computed in float64 over the random subsets of torch-fidelity.

Source: Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4: the squared maximum mean discrepancy for the
kernel (x.y / D + 1)^3, that is the mean kernel among generated images, plus the mean among real images, minus twice
the mean between them, without pairs of an image with itself. The estimate is unbiased and can be negative. It is
averaged over random subsets; these overlap, so their spread is no measure of error and not an output.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core.spec import PositiveInt
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    MetricOptions,
    Output,
    ReferenceFeatures,
    ReferenceOptions,
    RequiredImages,
    SampleMetric,
    comparability_note,
    output_name,
)
from benchmark.evaluation.metrics.feature_buffer import FeatureBuffer, reference_features

SEED = 2020  # torch-fidelity's
BLOCK = 128  # rows per kernel block: smaller blocks save more of the symmetric half, larger ones need fewer calls
REMEDY = "set a smaller subset_size, or take more images"


class KIDOptions(ReferenceOptions):
    """Conventions differ: mimicry takes ten subsets of 5,000 out of 50,000 images."""

    subsets: PositiveInt = Field(default=100, description="torch-fidelity's")
    subset_size: PositiveInt = Field(
        default=1000, ge=2, description="torch-fidelity's; images of each kind in a subset"
    )


class KID(SampleMetric):
    """The squared maximum mean discrepancy between real and generated features."""

    name = "kid"
    about = "mean over random subsets of the squared maximum mean discrepancy for a cubic kernel, unbiased"
    Options: ClassVar[type[MetricOptions]] = KIDOptions
    needs_reference = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The distance; only through Inception is it called KID."""
        key, title = output_name(("kid", "KID"), ("kd", "Kernel distance"), options.extractor)
        return (Output(key=key, title=title, better="lower", decimals=5),)

    @classmethod
    def protocol_fields(cls, options: Any) -> dict[str, object]:
        """The extractor, the real images and the number of subsets."""
        return super().protocol_fields(options) | {"splits": options.subsets}

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What the mean is over, and what the value compares with."""
        del n_fake
        (output,) = cls.outputs(options)
        note = (
            f"a mean over {options.subsets:,} random subsets of {options.subset_size:,} generated and as many"
            f" {options.reference} images. It is unbiased and can be negative. Papers that print KID × 10³ print it a"
            " thousand times larger."
        )
        return {output.title: note + comparability_note("KID", "features", options.extractor)}

    @classmethod
    def with_sample_cap(cls, options: Any, samples: int) -> Any:
        """The options with at most `samples` real images and subsets of at most that size."""
        capped = super().with_sample_cap(options, samples)
        return capped.model_copy(update={"subset_size": max(min(options.subset_size, samples), 2)})

    @classmethod
    def required_images(cls, options: Any) -> RequiredImages:
        """A subset is drawn without replacement, and the mean over pairs of its images needs two."""
        size = max(options.subset_size, 2)
        return RequiredImages(why=f"draws subsets of subset_size={options.subset_size:,}", generated=size, real=size)

    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Mapping[str, np.ndarray]) -> None:
        del statistics
        (self.output,) = self.outputs(options)
        self.subsets, self.subset_size = options.subsets, options.subset_size
        self.real = reference_features(reference)
        self._check_size(self.real, "real")
        self.fake = FeatureBuffer()

    def update(self, features: Features) -> None:
        """Keep the features: 4 N D bytes on their device."""
        self.fake.append(features.features)

    def compute(self) -> dict[str, float]:
        """The mean over all subsets."""
        fake = self.fake.all()
        self._check_size(fake, "generated")
        return {self.output.key: kernel_distance(fake, self.real, self.subsets, self.subset_size)}

    def _check_size(self, rows: Tensor, kind: str) -> None:
        if len(rows) < self.subset_size:
            raise ValueError(f"too few {kind} images, {len(rows):,}, for subsets of {self.subset_size:,}: {REMEDY}")


def kernel_distance(fake: Tensor, real: Tensor, subsets: int, size: int) -> float:
    """The mean of `mmd` over random subsets of (N, D) and (M, D) features, the subsets that torch-fidelity draws."""
    rng = np.random.RandomState(SEED)
    distances = []
    for _ in range(subsets):
        drawn = [
            rows[torch.from_numpy(rng.choice(len(rows), size, replace=False)).to(rows.device)] for rows in (fake, real)
        ]
        distances.append(mmd(*(rows.to(fake.device).double() for rows in drawn)))
    return float(torch.stack(distances).mean())


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared maximum mean discrepancy of two sets of n, (n, D) float64: a scalar."""
    return mean_kernel(x) + mean_kernel(y) - 2 * kernel(x, y).mean()


def mean_kernel(x: Tensor) -> Tensor:
    """The mean kernel over all pairs of two different rows of x, (n, D): a scalar.

    The kernel is symmetric: each block of rows is multiplied with itself and the rows behind it, which count twice.
    """
    n, total = len(x), -((x.square().sum(1) / x.shape[1] + 1) ** 3).sum()
    for start in range(0, n, BLOCK):
        products = kernel(x[start : start + BLOCK], x[start:])
        total += 2 * products.sum() - products[:, :BLOCK].sum()
    return total / (n * (n - 1))


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / D + 1)^3 for all pairs: (n, D), (m, D) -> (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3
