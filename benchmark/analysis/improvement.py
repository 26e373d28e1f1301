"""Is one method better than another? The probability of improvement, its bootstrap interval and an exact rank test.

With few seeds the bootstrap is overconfident: when no seed of one method reaches a seed of the other, all resamples
agree and the interval is [1, 1], even for three seeds against three, which are separated by chance in one of ten cases.
An order therefore also requires the rank test, whose smallest two-sided p-value is 0.1 for three seeds against three,
0.029 for four and 0.008 for five.
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
NORMAL_FROM = 25  # seeds of both methods from which the rank test uses its normal approximation

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Improvement:
    """The first of two methods compared with the second.

    `probability`: that a training of the first beats one of the second, with ties counted as half (Mann-Whitney
    U / nm). `interval`: 95 %, by stratified bootstrap. `p_value`: two-sided, of equal distributions.
    """

    probability: float
    interval: Interval
    p_value: float


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> Improvement:
    """P(X > Y) + P(X = Y) / 2 for scores X of the first method's seeds and Y of the second's, at least one each.

    Higher scores are better; a training that diverged has -inf. The estimator and the bootstrap, which resamples seeds
    within each method, are those of rliable (Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice").
    The random stream is fixed: equal scores give equal intervals.
    """
    return _probability_of_improvement(tuple(first), tuple(second))


@lru_cache(1 << 14)  # Markdown and JSON compare the same pairs
def _probability_of_improvement(first: tuple[float, ...], second: tuple[float, ...]) -> Improvement:
    x, y = np.asarray(first, dtype=np.float64), np.sort(np.asarray(second, dtype=np.float64))
    below, not_above = np.searchsorted(y, x, "left"), np.searchsorted(y, x, "right")
    lowest = _cumulative_weights(second)
    resampled = (_resample_weights(len(x), 0) * (lowest[below] + lowest[not_above])).sum(axis=0) / 2
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    probability = float((below + not_above).mean() / (2 * len(y)))
    return Improvement(probability, (float(low), float(high)), rank_test(first, second))


@lru_cache(32)  # one method is compared with all others of its table
def _cumulative_weights(scores: tuple[float, ...]) -> Floats:
    """(n + 1, RESAMPLES): the weight of the k lowest of n scores in each resample, for k from 0 to n."""
    weights = _resample_weights(len(scores), 1)[np.argsort(scores, kind="stable")]
    return np.pad(weights, ((1, 0), (0, 0))).cumsum(axis=0)


@cache
def _resample_weights(n: int, stream: int) -> Floats:
    """(n, RESAMPLES): the weight of each of n seeds in each bootstrap resample."""
    counts = np.random.default_rng([SEED, stream]).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return np.ascontiguousarray(counts.T) / n


def rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of the Mann-Whitney test; exact, also with ties, below NORMAL_FROM seeds.

    Under the null hypothesis every choice of n of the pooled scores is equally likely to be the first method's. Adding
    one score at a time counts the choices by their rank sum, with midranks for ties (Streitberg & Roehmel 1986).
    `scipy.stats.mannwhitneyu` has no exact method for ties, which diverged trainings and bounded metrics produce.
    The count costs O(seeds^4); from NORMAL_FROM seeds of both methods on, the normal approximation with corrections for
    ties and continuity replaces it (Mann & Whitney 1947; Lehmann 1975), as in SciPy.
    """
    smaller, larger = sorted((first, second), key=len)
    if len({*smaller, *larger}) == 1:
        return 1.0
    pooled = np.asarray([*smaller, *larger], dtype=np.float64)
    ordered = np.sort(pooled)
    doubled_ranks = np.searchsorted(ordered, pooled, "left") + np.searchsorted(ordered, pooled, "right") + 1
    n, total = len(smaller), int(doubled_ranks.sum())
    if n >= NORMAL_FROM:
        ties = np.unique(pooled, return_counts=True)[1]
        return _normal_p_value(doubled_ranks[:n].sum() / 2, n, len(larger), ties)
    ways = np.zeros((n + 1, total + 1))  # [number of chosen scores, sum of their doubled midranks]
    ways[0, 0] = 1.0
    for rank in doubled_ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    expected = n * total / len(pooled)
    distance = np.abs(np.arange(total + 1) - expected)
    at_least_as_far = distance >= abs(doubled_ranks[:n].sum() - expected) - 1e-9
    return float(ways[n, at_least_as_far].sum() / ways[n].sum())


def _normal_p_value(rank_sum: float, n: int, m: int, ties: NDArray[np.int64]) -> float:
    """The normal approximation for n midranks with this sum among n + m; `ties`: the sizes of the groups of ties."""
    from scipy.special import ndtr  # importing scipy.stats takes a second

    size = n + m
    variance = n * m / 12 * (size + 1 - (ties**3 - ties).sum() / (size * (size - 1)))
    distance = abs(rank_sum - n * (size + 1) / 2) - 0.5
    return min(1.0, float(2 * ndtr(-distance / math.sqrt(variance))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down corrected p-values, in the same order (Holm 1979).

    The i-th smallest of m becomes max over j <= i of min(1, (m - j + 1) p_j). Rejecting those of at most 5 % bounds the
    probability of any false rejection by 5 %, whatever the dependence between the tests. SciPy has no Holm correction.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    scaled = (min(1.0, p_values[index] * (len(order) - place)) for place, index in enumerate(order))
    corrected = dict(zip(order, accumulate(scaled, max), strict=True))
    return [corrected[index] for index in range(len(order))]
