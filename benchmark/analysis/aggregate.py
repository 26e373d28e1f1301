"""A metric over training seeds: mean, spread and the 95 % interval of the mean, and the noise of drawing samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True)
class Aggregate:
    """One metric of one cell: `values` maps training seed -> result, at least one, in the metric's unit.

    `sampling` maps training seed -> standard deviation of the metric over repeated draws of samples from that
    seed's one checkpoint, for the seeds where it was measured. It is never mixed into the spread over trainings.
    """

    values: dict[int, float]
    sampling: Mapping[int, float] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many seeds were measured."""
        return len(self.values)

    @property
    def is_finite(self) -> bool:
        """Whether every seed gave a number that can be averaged."""
        return all(math.isfinite(value) for value in self.values.values())

    @property
    def mean(self) -> float:
        """The mean over seeds; nan when a value is not finite."""
        return mean(self.values.values()) if self.is_finite else math.nan

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds (ddof = 1); None for fewer than two."""
        return sample_std(list(self.values.values()))

    @property
    def interval(self) -> Interval | None:
        """The 95 % t-interval of the mean; None for fewer than two seeds."""
        return mean_interval(list(self.values.values()))

    @property
    def sampling_std(self) -> float | None:
        """How far the samples alone move the metric: root mean square over seeds; None where it was not measured."""
        if not self.sampling:
            return None
        return math.sqrt(mean(deviation**2 for deviation in self.sampling.values()))


def mean_interval(values: list[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The two-sided Student t-interval of the mean; None for fewer than two values or one not finite.

    It takes the results of independent seeds for draws from one normal distribution.
    """
    std = sample_std(values)
    if std is None:
        return None
    return t_interval(mean(values), std / math.sqrt(len(values)), len(values) - 1, confidence)


def t_interval(centre: float, error: float, degrees: float, confidence: float = CONFIDENCE) -> Interval:
    """The two-sided Student interval around an estimate with this standard error and degrees of freedom."""
    from scipy.special import stdtrit  # scipy.stats would take a second to import

    reach = float(stdtrit(degrees, (1 + confidence) / 2)) * error
    return centre - reach, centre + reach


def welch_satterthwaite(error: float, degrees: float, other: float, other_degrees: float) -> tuple[float, float]:
    """Standard error and degrees of freedom of a difference of two means (Welch 1947, Satterthwaite 1946).

    Takes those of either mean; not both errors are 0.
    """
    total = math.hypot(error, other)
    share = (error / total) ** 2  # squares of tiny variances would be 0
    return total, 1 / (share**2 / degrees + (1 - share) ** 2 / other_degrees)


def sample_std(values: Sequence[float]) -> float | None:
    """The sample standard deviation (ddof = 1); None for fewer than two values or one that is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return stdev(values)
