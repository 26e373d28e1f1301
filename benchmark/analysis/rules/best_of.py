"""The best of k trainings: its expectation from n measured ones, and a prediction interval for a published one.

A published best of k is compared with the expected best of k of our own trainings. A plain bootstrap of three to ten
values is too narrow, and its best cannot be better than the best measured value. The interval is therefore a parametric
bootstrap: for values from one normal distribution, (estimate - published) / s has a distribution that depends on n and
k only. It is simulated once. For k = 1 it is Student's t.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmark.analysis.aggregate import Direction, Floats

DRAWS = 200_000  # of a simulated distribution: the standard error of a tail probability of 2.5 % is 0.035 %
FEWEST_DRAWS = 20_000  # of one for many seeds
NUMBERS = 5_000_000  # of one simulation, so that it fits into 100 MB
SEED = 0


def expected_best(values: Floats, k: int, better: Direction) -> Floats:
    """The mean of the best value over all subsets of k of the last axis, (..., n) -> (...).

    Of the C(n, k) subsets, the i-th best value, i = 1..n, is the best of C(n - i, k - 1): a weighted mean of the sorted
    values. Raises ValueError if k > n.
    """
    n = values.shape[-1]
    if k > n:
        raise ValueError(f"the best of {k} trainings needs at least {k} values; there are {n}")
    weights = np.array([math.comb(n - i, k - 1) for i in range(1, n + 1)]) / math.comb(n, k)
    ordered = np.sort(values, axis=-1)
    return np.asarray((ordered if better == "lower" else ordered[..., ::-1]) @ weights)


@dataclass(frozen=True)
class SimulatedPivot:
    """A simulated distribution; `draws` are sorted."""

    draws: Floats

    def quantile(self, probability: float) -> float:
        """The value below which a draw lies with this probability."""
        return float(self.draws[round(probability * (len(self.draws) - 1))])

    def cdf(self, value: float | Floats) -> Floats:
        """The share of draws that are at most `value`."""
        return np.asarray(np.searchsorted(self.draws, value, "right") / len(self.draws))


@cache
def prediction_pivot(n: int, k: int, better: Direction) -> SimulatedPivot:
    """The distribution of (expected best of k from n values - best of k other values) / s, all standard normal."""
    estimates, spreads = _estimates(n, k, better)
    rng = np.random.default_rng([SEED, n, k])
    published = expected_best(rng.normal(size=(len(estimates), k)), k, better)
    return SimulatedPivot(np.sort((estimates - published) / spreads))


@cache
def _estimates(n: int, k: int, better: Direction) -> tuple[Floats, Floats]:
    """The expected best of k, and the sample standard deviation, of n standard normal values, many times."""
    draws = max(FEWEST_DRAWS, min(DRAWS, NUMBERS // n))
    values = np.random.default_rng([SEED, n]).normal(size=(draws, n))
    return expected_best(values, k, better), values.std(axis=1, ddof=1)


@cache
def _estimation_pivot(n: int, k: int, better: Direction) -> SimulatedPivot:
    """The distribution of (expected best of k from n values - true expected best of k) / s."""
    estimates, spreads = _estimates(n, k, better)
    truth = normal_best(k) * (1 if better == "higher" else -1)
    return SimulatedPivot(np.sort((estimates - truth) / spreads))


def expected_best_interval(values: Floats, k: int, better: Direction, confidence: float) -> tuple[Floats, Floats]:
    """The interval of the expected best of k from (..., n) values, n >= 2: a parametric bootstrap."""
    pivot, spread = _estimation_pivot(values.shape[-1], k, better), values.std(axis=-1, ddof=1)
    estimate, tail = expected_best(values, k, better), (1 - confidence) / 2
    return estimate - pivot.quantile(1 - tail) * spread, estimate - pivot.quantile(tail) * spread


@cache
def normal_best(k: int) -> float:
    """The expected maximum of k standard normal values: 0, 0.564, 0.846, ... for k = 1, 2, 3, ..."""
    from scipy.special import ndtr  # importing scipy.stats takes a second

    z = np.linspace(-12, 12, 4801)
    density = np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)
    return float(np.trapezoid(z * k * density * ndtr(z) ** (k - 1), z))


def best_half_width(k: int, confidence: float) -> float:
    """Half the distance between the quantiles of the best of k standard normal values: 1.645 for k = 1 and 90 %."""
    from scipy.special import ndtri  # importing scipy.stats takes a second

    low, high = (ndtri(probability ** (1 / k)) for probability in ((1 - confidence) / 2, (1 + confidence) / 2))
    return float((high - low) / 2)
