"""Squared maximum mean discrepancy of points for the kernel (x.y + 1)^2, unbiased.

Degree 2, gamma 1 and coef0 1 are those of houliangict/ssgan-la@43c307e MoG/mmd_metric.py; Gretton et al., "A Kernel
Two-Sample Test", JMLR 2012, eq. 3, is the unbiased estimate. The kernel is the scalar product of (1, sqrt(2) x, x x^T),
so that sums over all pairs follow from sums over points. For two distributions the population value is
2 |m - m'|^2 + |S - S'|_F^2 with means m and second moments S = E[x x^T]: it sees nothing but these two.
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from benchmark.evaluation.metrics.base import MetricOptions, Output, ReferenceOptions
from benchmark.evaluation.metrics.points.base import CoordinatesOnly, PointMetric


class PolynomialMMDOptions(ReferenceOptions):
    """Which real points the generated ones are compared with."""

    extractor: CoordinatesOnly = Field(default="coordinates", description="the only extractor of points")


class PolynomialMMD(PointMetric):
    """The discrepancy between generated and real points in mean and second moments."""

    name = "polynomial_mmd"
    about = "squared maximum mean discrepancy for the kernel (x.y + 1)^2, unbiased"
    Options: ClassVar[type[MetricOptions]] = PolynomialMMDOptions
    needs_reference = True
    required_fields = frozenset({"n_fake", "n_real", "reference_split"})
    fewest = 2

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The estimate, which can be negative."""
        del options
        return (Output(key="mmd2", title="MMD², polynomial kernel", better="lower", decimals=5),)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What the discrepancy can see."""
        del options, n_fake
        return {
            "MMD², polynomial kernel": "unbiased, so that it can be negative. With a kernel of degree 2 it compares"
            " means and second moments, and nothing else."
        }

    def values(self, points: np.ndarray) -> dict[str, float]:
        """Against the real points."""
        real = self.reference.features if self.reference else np.empty((0, points.shape[1]))
        if len(real) < self.fewest:
            raise ValueError(f"'{self.name}' needs at least {self.fewest} real samples, and there are {len(real)}")
        return {"mmd2": polynomial_mmd(points, real.astype(np.float64))}


def polynomial_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of MMD^2 from float64 points (N, D) and (M, D), N and M at least 2."""
    within, sums = 0.0, []
    for points in (x, y):
        features = kernel_features(points)
        total = features.sum(0)
        n = len(points)
        within += (total @ total - np.square(features).sum()) / (n * (n - 1))
        sums.append(total / n)
    return float(within - 2 * sums[0] @ sums[1])


def kernel_features(points: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 1 + D + D^2) features whose scalar product is (x.y + 1)^2."""
    ones = np.ones((len(points), 1))
    products = (points[:, :, None] * points[:, None, :]).reshape(len(points), -1)
    return np.hstack([ones, np.sqrt(2) * points, products])
