"""A metric over training seeds: mean, sample standard deviation, 95 % t-interval of the mean, and sampling noise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from statistics import mean, stdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95

Interval = tuple[float, float]
Floats = NDArray[np.float64]
Direction = Literal["higher", "lower"]  # which values of a metric are better


@dataclass(frozen=True)
class Aggregate:
    """One metric of one cell: `values` maps training seed -> value, at least one, in the metric's unit.

    `sampling` maps training seed -> standard deviation of the metric over repeated draws of samples from that seed's
    checkpoint, for the seeds where it was measured. It never enters the standard deviation over seeds.
    """

    values: dict[int, float]
    sampling: Mapping[int, float] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.values)

    @property
    def is_finite(self) -> bool:
        """Whether every value is finite."""
        return all(map(math.isfinite, self.values.values()))

    @property
    def mean(self) -> float:
        """The mean over seeds; nan if a value is not finite."""
        return mean(self.values.values()) if self.is_finite else math.nan

    @property
    def std(self) -> float | None:
        """The sample standard deviation over seeds (ddof = 1); None for fewer than two or a non-finite value."""
        return sample_std(list(self.values.values()))

    @property
    def coefficient_of_variation(self) -> float | None:
        """The standard deviation over seeds as a share of the mean; None without one, or if the mean is 0."""
        return self.std / abs(self.mean) if self.std is not None and self.mean else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % t-interval of the mean; None for fewer than two seeds or a value that is not finite."""
        return mean_interval(list(self.values.values()))

    @property
    def sampling_std(self) -> float | None:
        """The standard deviation due to the draw of samples: root mean square over seeds; None if not measured."""
        if not self.sampling:
            return None
        return math.sqrt(mean(std**2 for std in self.sampling.values()))


def sample_std(values: Sequence[float]) -> float | None:
    """The sample standard deviation (ddof = 1); None for fewer than two values or one that is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return stdev(values)


def mean_interval(values: list[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The two-sided t-interval of the mean, mean ± t(n - 1) s / sqrt(n); None where `sample_std` is None.

    Assumes independent draws from one normal distribution (Student 1908).
    """
    std = sample_std(values)
    if std is None:
        return None
    return t_interval(mean(values), std / math.sqrt(len(values)), len(values) - 1, confidence)


def t_interval(estimate: float, standard_error: float, df: float, confidence: float = CONFIDENCE) -> Interval:
    """The two-sided t-interval of an estimate, estimate ± t(df) standard_error."""
    from scipy.special import stdtrit  # importing scipy.stats takes a second

    half_width = float(stdtrit(df, (1 + confidence) / 2)) * standard_error
    return estimate - half_width, estimate + half_width


def satterthwaite(*terms: tuple[float | Floats, float | Floats]) -> tuple[Floats, Floats]:
    """Standard error and degrees of freedom of a sum of independent terms (Satterthwaite 1946, Welch 1947).

    SE^2 = sum e_i^2 and df = SE^4 / sum (e_i^4 / df_i), from the standard error e_i and the degrees of freedom df_i of
    every term, which may be infinite; arrays broadcast. If all errors are 0, df is that of the first term.
    """
    errors, degrees = zip(*terms, strict=True)
    total = np.asarray(reduce(np.hypot, errors, 0.0))
    divisor = np.where(total > 0, total, 1.0)
    shares = [np.square(error / divisor) for error in errors]  # the fourth powers of tiny errors would underflow to 0
    inverse = np.asarray(sum(np.square(share) / df for share, df in zip(shares, degrees, strict=True)))
    return total, np.where(inverse > 0, 1 / np.where(inverse > 0, inverse, 1.0), degrees[0])
