"""Frechet Inception Distance (Heusel et al. 2017), as torch-fidelity counts it, in float64.

The Frechet distance between Gaussians fitted to features of real and of generated images:
|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)). With S1 = F F^T the last trace is that of (F^T S2 F)^(1/2), which
is symmetric: its eigenvalues are real, and those that rounding makes negative are 0. F is found once, of the real
images.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from benchmark.core import registry
from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    MetricOptions,
    Output,
    ReferenceFeatures,
    ReferenceOptions,
    SampleMetric,
    comparability_note,
    output_key,
    output_title,
)
from benchmark.evaluation.metrics.moments import CHUNK, Gaussian, Moments

CPU = torch.device("cpu")


class FID(SampleMetric):
    """Compares mean and covariance of features."""

    name = "fid"
    about = "Fréchet distance between Gaussians fitted to features of generated and of real images"
    Options: ClassVar[type[MetricOptions]] = ReferenceOptions
    compares = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The distance. With another network than Inception it is not called FID."""
        extractor = options.extractor
        inception = not registry.extractors[extractor].title
        title = output_title("FID" if inception else "Fréchet distance", extractor)
        return (Output(output_key("fid", "fd", extractor), title, "lower", 2 if "inception" in extractor else 4, 0),)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """That it is biased, how much samples matter, and that another extractor compares with nothing published."""
        (output,) = cls.outputs(options)
        extractor = registry.extractors[options.extractor]
        real = f"{options.n_real:,}" if options.n_real else "all"
        note = (
            f"estimated from {n_fake:,} generated and {real} {options.reference} images. Fewer samples make it larger:"
            " compare values over the same number of samples only."
        )
        if extractor.width and n_fake <= extractor.width:
            note += (
                f" A covariance of {n_fake:,} samples in {extractor.width:,} dimensions does not have full rank:"
                " that biases the value up by far more."
            )
        return {output.title: note + comparability_note("FID", "features", options.extractor)}

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """A covariance needs two samples."""
        if min(n_fake, options.n_real or n_fake) < 2:
            return f"'{cls.name}' fits a covariance, which needs at least 2 generated and 2 real images"
        return super().problem(options, dataset, n_fake)

    @classmethod
    def summary(cls, options: Any, real: ReferenceFeatures, device: torch.device) -> dict[str, np.ndarray]:
        """`mean` (D,), `factor` (D, rank) with covariance = factor factor^T, `trace` and `count`."""
        del options
        fitted = gaussian(real.features, device)
        return {
            "mean": fitted.mean,
            "factor": factor(fitted),
            "trace": np.array(np.trace(fitted.covariance)),
            "count": np.array(fitted.count),
        }

    def __init__(self, options: Any, real: ReferenceFeatures | None, summary: Mapping[str, np.ndarray]) -> None:
        del real
        (self.output,) = self.outputs(options)
        self.real = summary
        self.moments = Moments(summary["mean"])

    def add(self, batch: Features) -> None:
        """Sums over the features."""
        self.moments.add(batch.features)

    def value(self) -> dict[str, float]:
        """The distance over all images."""
        mean, factor, trace = (self.real[key] for key in ("mean", "factor", "trace"))
        return {self.output.key: distance(mean, factor, float(trace), self.moments.fitted())}


def gaussian(features: np.ndarray, device: torch.device = CPU) -> Gaussian:
    """Of (N, D) features that may be mapped, read in parts, summed on a device. Raises ValueError when N < 2."""
    moments = Moments(features[:CHUNK].mean(0, dtype=np.float64) if len(features) else np.zeros(features.shape[1]))
    for start in range(0, len(features), CHUNK):
        moments.add(torch.from_numpy(features[start : start + CHUNK]).to(device))
    return moments.fitted()


def factor(fitted: Gaussian) -> np.ndarray:
    """F, (D, rank), with F F^T = covariance: eigenvectors times the roots of their eigenvalues, without the 0s."""
    values, vectors = np.linalg.eigh(fitted.covariance)
    noise = len(values) * np.finfo(np.float64).eps * np.abs(values).max(initial=0)
    kept = values > noise
    scaled: np.ndarray = vectors[:, kept] * np.sqrt(values[kept])
    return scaled


def distance(mean: np.ndarray, factor: np.ndarray, trace: float, other: Gaussian) -> float:
    """Between the Gaussian of this mean, factor and trace of the covariance, and another. Never below 0."""
    product = factor.T @ other.covariance @ factor
    values = np.linalg.eigvalsh((product + product.T) / 2)
    rank = min(len(values), other.count - 1)  # what is beyond the rank of a covariance is rounding
    shared = np.sqrt(np.clip(values[len(values) - rank :], 0, None)).sum()
    apart = np.square(mean - other.mean).sum()
    return max(float(apart + trace + np.trace(other.covariance) - 2 * shared), 0.0)
