"""Kernel Inception Distance (Binkowski et al. 2018), as torch-fidelity counts it, in float64.

The squared maximum mean discrepancy for the kernel (x.y / D + 1)^3: mean kernel value among generated images, plus
among real ones, minus twice the mean between them, pairs of an image with itself left out. That estimate has no bias,
and can be below 0. It is averaged over random subsets; they overlap, so their spread says little and is no output.
"""

from collections.abc import Mapping
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
    comparability_note,
    output_key,
    output_title,
)
from benchmark.evaluation.metrics.feature_buffer import FeatureBuffer, reference_features

SEED = 2020  # torch-fidelity's
BLOCK = 128  # rows whose kernel is taken together: of less work is saved more, and more calls cost more


class KIDOptions(ReferenceOptions):
    """Conventions differ: mimicry takes ten subsets of 5,000 out of 50,000 images."""

    subsets: Count = Field(default=100, description="torch-fidelity's")
    subset_size: Count = Field(default=1000, ge=2, description="torch-fidelity's; images of each kind in a subset")


class KID(SampleMetric):
    """Compares features by a polynomial kernel."""

    name = "kid"
    about = "mean over random subsets of the squared maximum mean discrepancy for a cubic kernel, unbiased"
    Options: ClassVar[type[MetricOptions]] = KIDOptions
    compares = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The distance. With another network than Inception it is not called KID."""
        extractor = options.extractor
        title = output_title("Kernel distance" if registry.extractors[extractor].title else "KID", extractor)
        return (Output(output_key("kid", "kd", extractor), title, "lower", 5),)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """Over what it is a mean, and that another extractor compares with nothing published."""
        del n_fake
        (output,) = cls.outputs(options)
        note = (
            f"a mean over {options.subsets:,} random subsets of {options.subset_size:,} generated and as many"
            f" {options.reference} images. It has no bias and can be below 0. Papers that print KID × 10³ print it a"
            " thousand times larger."
        )
        return {output.title: note + comparability_note("KID", "features", options.extractor)}

    @classmethod
    def shrunk(cls, options: Any, samples: int) -> Any:
        """Smaller subsets, too."""
        fewer = super().shrunk(options, samples)
        return fewer.model_copy(update={"subset_size": min(options.subset_size, samples)})

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """A subset is drawn without replacement."""
        for kind, n in (("generated", n_fake), ("real", options.n_real)):
            if n is not None and n < options.subset_size:
                return f"'{cls.name}' draws subsets of {options.subset_size:,} from {n:,} {kind} images: {REMEDY}"
        return super().problem(options, dataset, n_fake)

    def __init__(self, options: Any, real: ReferenceFeatures | None, summary: Mapping[str, np.ndarray]) -> None:
        del summary
        (self.output,) = self.outputs(options)
        self.options = options
        self.real = _enough(reference_features(real), options.subset_size, "real")
        self.fake = FeatureBuffer()

    def add(self, batch: Features) -> None:
        """The features are kept: 4 N D bytes on their device."""
        self.fake.add(batch.features)

    def value(self) -> dict[str, float]:
        """The mean over all subsets."""
        fake = _enough(self.fake.all(), self.options.subset_size, "generated")
        return {self.output.key: kernel_distance(fake, self.real, self.options.subsets, self.options.subset_size)}


REMEDY = "set a smaller subset_size, or take more images"


def _enough(rows: Tensor, subset_size: int, kind: str) -> Tensor:
    if len(rows) < subset_size:
        raise ValueError(f"too few {kind} images, {len(rows):,}, for subsets of {subset_size:,}: {REMEDY}")
    return rows


def kernel_distance(fake: Tensor, real: Tensor, subsets: int, size: int) -> float:
    """Mean of `discrepancy` over random subsets of (N, D) and (M, D), the same ones that torch-fidelity draws."""
    rng = np.random.RandomState(SEED)
    found = []
    for _ in range(subsets):
        drawn = [
            rows[torch.from_numpy(rng.choice(len(rows), size, replace=False)).to(rows.device)] for rows in (fake, real)
        ]
        found.append(mmd(*(rows.to(fake.device).double() for rows in drawn)))
    return float(torch.stack(found).mean())


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two sets of n, (n, D) float64, without bias: a scalar."""
    return among(x) + among(y) - 2 * kernel(x, y).mean()


def among(x: Tensor) -> Tensor:
    """Mean kernel of all pairs of two different rows, (n, D): a scalar.

    The kernel is symmetric: a block of rows meets the rows behind it once, and they count twice.
    """
    n, total = len(x), -((x.square().sum(1) / x.shape[1] + 1) ** 3).sum()
    for start in range(0, n, BLOCK):
        products = kernel(x[start : start + BLOCK], x[start:])
        total += 2 * products.sum() - products[:, :BLOCK].sum()
    return total / (n * (n - 1))


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / D + 1)^3 for all pairs: (n, D), (m, D) -> (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3
