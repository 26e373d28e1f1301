"""Is one method better than another? The probability of improvement, its interval and an exact test.

With few seeds the bootstrap is too sure of itself: whenever no seed of one method reaches a seed of the other, all
resamples agree and the interval is [1, 1], even of three seeds against three, which chance alone separates in one of
ten cases. So an order also needs the rank test, which knows how many ways there are to deal out the seeds: its
smallest two-sided p is 0.1 for three against three, 0.029 for four, 0.008 for five.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.aggregate import CONFIDENCE, Interval

RESAMPLES = 2000
SEED = 0
MANY = 25  # seeds of both methods from which on the normal approximation of the rank test stands in for counting

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Improvement:
    """Of two methods, the first against the second.

    `probability`: that a training of the first beats one of the second, ties counting half (Mann-Whitney U / nm).
    `interval`: 95 %, by stratified bootstrap. `p_value`: two-sided, that both methods give the same distribution.
    """

    probability: float
    interval: Interval
    p_value: float


def improvement(first: Sequence[float], second: Sequence[float]) -> Improvement:
    """Compare the scores of two methods' seeds, at least one each; more is better, -inf for a training that diverged.

    The bootstrap resamples seeds within each method (Agarwal et al. 2021, "Deep RL at the edge of the statistical
    precipice"), from a fixed random stream: the same scores give the same interval.
    """
    return _improvement(tuple(first), tuple(second))


@lru_cache(1 << 14)  # Markdown and JSON ask the same
def _improvement(first: tuple[float, ...], second: tuple[float, ...]) -> Improvement:
    x, y = np.asarray(first, dtype=np.float64), np.sort(np.asarray(second, dtype=np.float64))
    beaten, reached = np.searchsorted(y, x, "left"), np.searchsorted(y, x, "right")
    lowest = _lowest(second)
    resampled = (_shares(len(x), 0) * (lowest[beaten] + lowest[reached])).sum(axis=0) / 2
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    mean = float((beaten + reached).mean() / (2 * len(y)))
    return Improvement(mean, (float(low), float(high)), rank_test(first, second))


@lru_cache(32)  # one method is compared with all others of its table
def _lowest(scores: tuple[float, ...]) -> Floats:
    """(n + 1, RESAMPLES): the share of a resample that the k lowest of n scores make up, for k from 0 to n."""
    shares = _shares(len(scores), 1)[np.argsort(scores, kind="stable")]
    return np.pad(shares, ((1, 0), (0, 0))).cumsum(axis=0)


def rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of the Mann-Whitney test, ties included; exact unless both methods have MANY seeds.

    Under the hypothesis every choice of n of the pooled scores was equally likely to be the first method's. The sums
    of their midranks are counted by adding one score at a time (Streitberg & Roehmel 1986). SciPy's exact method
    does not hold with ties, which diverged trainings and metrics with a ceiling do give. Counting takes a time like
    the fourth power of the number of seeds, so that of many is the normal approximation, corrected for ties and
    continuity (Mann & Whitney 1947; Lehmann 1975), as SciPy has it.
    """
    few, many = sorted((first, second), key=len)
    if len({*few, *many}) == 1:
        return 1.0
    pooled = np.asarray([*few, *many], dtype=np.float64)
    ordered = np.sort(pooled)
    below, ties = np.searchsorted(ordered, pooled, "left"), np.unique(pooled, return_counts=True)[1]
    doubled = below + np.searchsorted(ordered, pooled, "right") + 1  # 2 x midrank
    n, total = len(few), int(doubled.sum())
    if n >= MANY:
        return _normal(doubled[:n].sum() / 2, n, len(many), ties)
    ways = np.zeros((n + 1, total + 1))  # [how many chosen, sum of doubled midranks]
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    expected = n * total / len(pooled)
    distance = np.abs(np.arange(total + 1) - expected)
    as_far = distance >= abs(doubled[:n].sum() - expected) - 1e-9
    return float(ways[n, as_far].sum() / ways[n].sum())


def _normal(rank_sum: float, n: int, m: int, ties: NDArray[np.int64]) -> float:
    """The same from the normal distribution, for n midranks of this sum among n + m. `ties`: how many share each."""
    from scipy.special import ndtr  # scipy.stats would take a second to import

    size = n + m
    variance = n * m / 12 * (size + 1 - (ties**3 - ties).sum() / (size * (size - 1)))
    distance = abs(rank_sum - n * (size + 1) / 2) - 0.5
    return min(1.0, float(2 * ndtr(-distance / math.sqrt(variance))))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the same order (Holm 1979).

    Calling those that stay at or below 5 % keeps the chance of any false call at or below 5 %, however they depend on
    one another.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    scaled = (min(1.0, p_values[index] * (len(order) - place)) for place, index in enumerate(order))
    corrected = dict(zip(order, accumulate(scaled, max), strict=True))
    return [corrected[index] for index in range(len(order))]


@cache
def _shares(n: int, side: int) -> Floats:
    """(n, RESAMPLES): how often each of n seeds is drawn in a resample, as a share."""
    drawn = np.random.default_rng([SEED, side]).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return np.ascontiguousarray(drawn.T) / n
