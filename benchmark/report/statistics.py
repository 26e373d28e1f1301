"""A metric over training seeds: mean, spread and the 95 % interval of the mean."""

import math
from dataclasses import dataclass
from statistics import mean, stdev

CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True)
class Aggregate:
    """One metric of one cell: `values` maps training seed -> result, at least one, in the metric's unit."""

    values: dict[int, float]

    @property
    def n(self) -> int:
        """How many seeds were measured."""
        return len(self.values)

    @property
    def finite(self) -> bool:
        """Whether every seed gave a number that can be averaged."""
        return all(math.isfinite(value) for value in self.values.values())

    @property
    def mean(self) -> float:
        """The mean over seeds; nan when a value is not finite."""
        return mean(self.values.values()) if self.finite else math.nan

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds (ddof = 1); None for fewer than two."""
        return _spread(list(self.values.values()))

    @property
    def interval(self) -> Interval | None:
        """The 95 % t-interval of the mean; None for fewer than two seeds."""
        return t_interval(list(self.values.values()))


def t_interval(values: list[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The two-sided Student t-interval of the mean; None for fewer than two values or one not finite.

    It takes the results of independent seeds for draws from one normal distribution.
    """
    spread = _spread(values)
    if spread is None:
        return None
    from scipy.special import stdtrit  # scipy.stats would take a second to import

    quantile = float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    centre, reach = mean(values), quantile * spread / math.sqrt(len(values))
    return centre - reach, centre + reach


def _spread(values: list[float]) -> float | None:
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return stdev(values)
