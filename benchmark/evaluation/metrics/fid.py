"""Fréchet Inception Distance, computed in float64 and validated against torch-fidelity.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", NeurIPS
2017, eq. 6: the Fréchet distance between Gaussians fitted to features of real and of generated images,
|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)). With S1 = F F^T the last trace is that of (F^T S2 F)^(1/2). That
matrix is symmetric: its eigenvalues are real, and those that rounding makes negative are set to 0. F depends on the
real images only and is computed once.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from benchmark.core import registry
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    MetricOptions,
    Output,
    ReferenceFeatures,
    ReferenceOptions,
    RequiredImages,
    SampleMetric,
    Statistics,
    comparability_note,
    image_count,
    output_name,
)
from benchmark.evaluation.metrics.moments import CHUNK, Gaussian, Moments

CPU = torch.device("cpu")


class FID(SampleMetric):
    """The distance between the means and covariances of real and generated features."""

    name = "fid"
    about = "Fréchet distance between Gaussians fitted to features of generated and of real images"
    Options: ClassVar[type[MetricOptions]] = ReferenceOptions
    needs_reference = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The distance; only through Inception is it called FID."""
        key, title = output_name(("fid", "FID"), ("fd", "Fréchet distance"), options.extractor)
        return (
            Output(
                key=key,
                title=title,
                better="lower",
                decimals=registry.extractors[options.extractor].distance_decimals,
                minimum=0,
            ),
        )

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """The bias of the estimate, and what the value compares with."""
        (output,) = cls.outputs(options)
        extractor = registry.extractors[options.extractor]
        note = (
            f"estimated from {n_fake:,} generated and {image_count(options.n_real)} {options.reference} images. Fewer"
            " samples make it larger: compare only values over the same number of samples."
        )
        if extractor.width and n_fake <= extractor.width:
            note += (
                f" A covariance of {n_fake:,} samples in {extractor.width:,} dimensions does not have full rank:"
                " this biases the value upwards by far more."
            )
        return {output.title: note + comparability_note("FID", "features", options.extractor)}

    @classmethod
    def required_images(cls, options: Any) -> RequiredImages:
        """A covariance needs two samples."""
        del options
        return RequiredImages(why="fits a covariance to the images of each kind", generated=2, real=2)

    @classmethod
    def reference_statistics(cls, options: Any, reference: ReferenceFeatures, device: torch.device) -> Statistics:
        """`mean` (D,), `factor` (D, rank) with covariance = factor factor^T, `trace` and `count`."""
        del options
        real = fit_gaussian(reference.features, device)
        return {
            "mean": real.mean,
            "factor": covariance_factor(real),
            "trace": np.array(np.trace(real.covariance)),
            "count": np.array(real.count),
        }

    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Mapping[str, np.ndarray]) -> None:
        del reference
        (self.output,) = self.outputs(options)
        self.statistics = statistics
        self.moments = Moments(statistics["mean"])

    def update(self, features: Features) -> None:
        """Add to the sums of the features and of their products."""
        self.moments.update(features.features)

    def compute(self) -> dict[str, float]:
        """The distance over all images so far."""
        mean, factor, trace = (self.statistics[key] for key in ("mean", "factor", "trace"))
        return {self.output.key: frechet_distance(mean, factor, float(trace), self.moments.gaussian())}


def fit_gaussian(features: np.ndarray, device: torch.device = CPU) -> Gaussian:
    """The Gaussian of (N, D) features, which may be memory-mapped; summed in chunks on `device`.

    Raises:
        ValueError: N < 2.
    """
    moments = Moments(features[:CHUNK].mean(0, dtype=np.float64) if len(features) else np.zeros(features.shape[1]))
    for start in range(0, len(features), CHUNK):
        moments.update(torch.from_numpy(features[start : start + CHUNK]).to(device))
    return moments.gaussian()


def covariance_factor(gaussian: Gaussian) -> np.ndarray:
    """F, (D, rank), with F F^T = covariance: the eigenvectors of non-zero eigenvalues, times their square roots."""
    values, vectors = np.linalg.eigh(gaussian.covariance)
    noise = len(values) * np.finfo(np.float64).eps * np.abs(values).max(initial=0)
    kept = values > noise
    scaled: np.ndarray = vectors[:, kept] * np.sqrt(values[kept])
    return scaled


def frechet_distance(mean: np.ndarray, factor: np.ndarray, trace: float, other: Gaussian) -> float:
    """The Fréchet distance between two Gaussians, at least 0.

    Args:
        mean: (D,) mean of the first.
        factor: (D, rank) factor of its covariance, from `covariance_factor`.
        trace: trace of its covariance.
        other: the second.
    """
    product = factor.T @ other.covariance @ factor
    values = np.linalg.eigvalsh((product + product.T) / 2)
    rank = min(len(values), other.count - 1)  # eigenvalues beyond the rank of the covariance are rounding errors
    shared = np.sqrt(np.clip(values[len(values) - rank :], 0, None)).sum()
    apart = np.square(mean - other.mean).sum()
    return max(float(apart + trace + np.trace(other.covariance) - 2 * shared), 0.0)
