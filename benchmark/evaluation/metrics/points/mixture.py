"""Modes covered, share of high-quality points and reverse KL on mixtures of Gaussians.

The components of a mixture are its modes, those with the same centre one mode together. All have the same standard
deviation in every direction. A point belongs to the nearest centre, and is of high quality if it is close enough to it.
Two published rules differ in what is enough:

`pacgan` (Lin et al. 2018; fjxmlzn/PacGAN@b331f4f synthetic_data_experiments/PacGAN/pacgan/extensions.py, MetricLogger):
a point is of high quality if its Mahalanobis distance is below 3, and a mode is covered if at least one such point
belongs to it. They draw 2,500 points. VEEGAN (Srivastava et al. 2017) has the same rule.

`dist_gan` (Tran et al. 2018; tntrung/gan@a0f1691 distgan_toy2d/distgan_toy2d.py, and normalize_toydata and
evaluate_toydata in utils_toy2d.py): the distance is at most 0.1 sqrt(2) = 0.141 where the standard deviation is 0.05,
which are 2 sqrt(2) deviations, and a mode with fewer than 20 such points is missed. They draw 2,000 points.

The reverse KL is KL(q ‖ p) in nats, with q the shares of the modes among the *high-quality* points and p the modes'
weights: log K - H(q) if the K modes weigh the same. PacGAN's code logs H(q) ("entropy of coverage") and no reverse KL;
that the paper's value follows from it is our reading (X-14). Without any high-quality point q is undefined, and the
value is the largest that the KL can have, log K, so that a trial may begin with a generator that covers nothing.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from benchmark.data.base import Dataset
from benchmark.evaluation.metrics.base import MetricOptions, Output, ReferenceFeatures, Statistics
from benchmark.evaluation.metrics.points.base import PointMetric, PointOptions


class Rule(NamedTuple):
    """What counts: points nearer than `radius` standard deviations, and modes with at least `points` of them.

    `closed`: whether a distance of exactly `radius` counts.
    """

    radius: float
    closed: bool
    points: int
    words: str


RULES = {
    "pacgan": Rule(3.0, False, 1, "within 3 standard deviations of the nearest centre; a mode needs one such point"),
    "dist_gan": Rule(
        2 * math.sqrt(2), True, 20, "within 2√2 standard deviations of the nearest centre; a mode needs 20 such points"
    ),
}


class MixtureOptions(PointOptions):
    """`rule`: whose definition of a covered mode."""

    rule: Literal["pacgan", "dist_gan"] = Field(
        default="pacgan", description="fjxmlzn/PacGAN@b331f4f pacgan/extensions.py, MetricLogger; VEEGAN has the same"
    )


class Mixture(PointMetric):
    """How many modes of a Gaussian mixture the generator covers, how well, and how evenly."""

    name = "mixture"
    about = "modes covered, share of high-quality points and KL(generated ‖ real) over the modes"
    Options: ClassVar[type[MetricOptions]] = MixtureOptions

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The number of modes, the share in % and the reverse KL in nats."""
        del options
        return (
            Output(key="modes_covered", title="modes covered", better="higher", decimals=1, minimum=0),
            Output.percentage("high_quality", "high-quality points"),
            Output(key="reverse_kl", title="reverse KL, nats", better="lower", decimals=3, minimum=0),
        )

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """What is measured, the rule, and the number of points."""
        return f"{super().describe(options, n_fake)}; a point is of high quality {RULES[options.rule].words}"

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Only a mixture has modes at known places."""
        problem = super().check_config(options, dataset, n_fake)
        if problem is None and dataset.mixture is None:
            return f"'{cls.name}' counts the modes of a mixture, and {dataset.name} is none; use 'polynomial_mmd'"
        return problem

    @classmethod
    def dataset_statistics(cls, options: Any, dataset: type[Dataset]) -> Statistics:
        """The different centres (K, D), their weights (K,) and the standard deviation, a scalar."""
        del options
        assert dataset.mixture is not None, "check_config refuses other datasets"
        components, std = dataset.mixture
        centres, counts = np.unique(np.round(components, 12), axis=0, return_counts=True)
        return {"centres": centres, "weights": counts / counts.sum(), "std": np.asarray(std, dtype=np.float64)}

    @classmethod
    def covered_modes(
        cls, options: Any, dataset: type[Dataset], points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The (K, D) different centres, and which of them (n, D) points cover; None if the dataset is no mixture."""
        if dataset.mixture is None:
            return None
        metric = cls(options, None, cls.dataset_statistics(options, dataset))
        return metric.statistics["centres"], metric.counts(points) >= metric.rule.points

    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Mapping[str, np.ndarray]) -> None:
        super().__init__(options, reference, statistics)
        self.rule = RULES[options.rule]

    def values(self, points: np.ndarray) -> dict[str, float]:
        """Of (N, D) points."""
        counts = self.counts(points)
        return {
            "modes_covered": float((counts >= self.rule.points).sum()),
            "high_quality": float(100 * counts.sum() / len(points)),
            "reverse_kl": reverse_kl(counts, self.statistics["weights"]),
        }

    def counts(self, points: np.ndarray) -> np.ndarray:
        """How many of the (N, D) points are of high quality and nearest to each centre, int64 (K,)."""
        return count_high_quality(points, self.statistics["centres"], float(self.statistics["std"]), self.rule)


def count_high_quality(points: np.ndarray, centres: np.ndarray, std: float, rule: Rule) -> np.ndarray:
    """How many of the (N, D) points are of high quality and nearest to each of the (K, D) centres, int64 (K,)."""
    from scipy.spatial import cKDTree  # imported here: it takes a third of a second, which `plan` need not spend

    finite = points[np.isfinite(points).all(1)]  # a point that is no number is near nothing
    distances, nearest = cKDTree(centres).query(finite)
    limit = rule.radius * std
    is_good = distances <= limit if rule.closed else distances < limit
    return np.bincount(nearest[is_good], minlength=len(centres))


def reverse_kl(counts: np.ndarray, weights: np.ndarray) -> float:
    """KL in nats from the shares of (K,) counts to the modes' weights; its largest value if all counts are 0."""
    from scipy.special import rel_entr

    if not counts.any():
        return -math.log(weights.min())
    return float(rel_entr(counts / counts.sum(), weights).sum())
