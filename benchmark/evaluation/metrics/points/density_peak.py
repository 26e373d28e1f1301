"""The highest value of a kernel density estimate of points on a line.

The published figure of SSGAN-LA in one dimension (houliangict/ssgan-la@43c307e MoG/SSGANs.ipynb, imgs/1d.png) shows a
Gaussian kernel density of 10,000 samples. The bandwidth follows Scott's rule, the default of
`scipy.stats.gaussian_kde`: n^(-1/5) times the standard deviation (divided by n - 1) of the n points. Smoothing lowers a
peak: that of n points from N(0, 1) is about 0.3989 / sqrt(1 + n^(-2/5)), 1.2 % lower for n = 10,000.
"""

import math
from typing import Any

import numpy as np

from benchmark.evaluation.metrics.base import Output
from benchmark.evaluation.metrics.points.base import PointMetric

QUANTILES = 501  # the density is evaluated at so many quantiles of the points: densest where they are


class DensityPeak(PointMetric):
    """Maximum of a Gaussian kernel density estimate by Scott's rule."""

    name = "density_peak"
    about = "peak of a Gaussian kernel density estimate by Scott's rule"
    dimension = 1
    fewest = 2

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The peak. A generator that covers too little has too high a peak."""
        del options
        return (Output(key="density_peak", title="peak of the density", better="lower", decimals=3, minimum=0),)

    def values(self, points: np.ndarray) -> dict[str, float]:
        """Of (N, 1) points; NaN if they are all the same, because these have no density."""
        from scipy.stats import gaussian_kde  # imported here: it takes a second, which `plan` need not spend

        line = points[:, 0]
        if np.ptp(line) == 0 or not np.isfinite(line).all():
            return {"density_peak": math.nan}
        density = gaussian_kde(line, bw_method="scott")
        return {"density_peak": float(density(np.quantile(line, np.linspace(0, 1, QUANTILES))).max())}
