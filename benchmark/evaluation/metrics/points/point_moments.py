"""Mean and standard deviation of points on a line."""

from typing import Any

import numpy as np

from benchmark.evaluation.metrics.base import Output
from benchmark.evaluation.metrics.points.base import PointMetric


class PointMoments(PointMetric):
    """Sample mean, and standard deviation with the sum of squares divided by n - 1."""

    name = "point_moments"
    about = "mean and standard deviation (divided by n - 1)"
    dimension = 1
    fewest = 2

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """Mean and standard deviation. Collapse makes the deviation smaller; no mean is better than another."""
        del options
        return (
            Output(key="mean", title="mean", better="lower", decimals=3, is_ranked=False),
            Output(key="std", title="standard deviation", better="higher", decimals=3, minimum=0),
        )

    def values(self, points: np.ndarray) -> dict[str, float]:
        """Of (N, 1) points."""
        return {"mean": float(points.mean()), "std": float(points.std(ddof=1))}
