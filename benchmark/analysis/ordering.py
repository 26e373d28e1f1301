"""Is the order of a table's methods as published?

The published order is that of the printed values, however close; the report notes where their ranges touch. Published
values that must not be compared with measured ones give an order without verdicts.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

import numpy as np

from benchmark.analysis.improvement import Improvement, holm, probability_of_improvement
from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.verdicts import MIN_SEEDS, Verdict

LEVEL = 0.05  # family-wise error rate: probability of any decided order in a table of equal methods


class OrderVerdict(StrEnum):
    """The verdicts on the published order of two methods."""

    REPRODUCED = "reproduced"
    REVERSED = "reversed"
    UNDECIDED = "undecided"


ORDER_MEANINGS = {
    OrderVerdict.REPRODUCED: "the method that was published as the better one is better: the 95 % bootstrap interval"
    " of its probability of improvement lies above 1/2, and the rank test agrees, at 5 % over all orders of the"
    " table (Holm)",
    OrderVerdict.REVERSED: "the opposite order holds, by the same criteria",
    OrderVerdict.UNDECIDED: f"neither, or fewer than {MIN_SEEDS} seeds of a method, or some that failed or were not"
    " run. Three seeds against three can never decide: chance alone separates them in one of ten cases",
}


@dataclass(frozen=True, kw_only=True)
class RankedMethod:
    """One row of a table in the comparison.

    `scores`: one per seed that finished or diverged; higher is better, -inf for a seed that diverged or gave no number.
    `is_complete`: no other seed is missing. `mean`: over finished seeds, in the metric's unit and direction; nan
    without one. `published`: the published value, if any; `published_spread`: its printed spread, 0 without one;
    `is_comparable`: the value may be compared with measured ones.
    """

    label: str
    scores: tuple[float, ...]
    is_complete: bool
    mean: float
    published: float | None
    published_spread: float = 0.0
    is_comparable: bool = True


@dataclass(frozen=True, kw_only=True)
class MethodPair:
    """Two methods of a table; `first` is the one published as better, if that is known.

    `improvement`: of the first over the second; None if either has no seed. `p_value`: of the rank test, corrected for
    all published orders of the table; None, as `verdict`, for a pair without a published order. `ranges_touch`: the
    published ranges, value ± spread, touch.
    """

    first: str
    second: str
    improvement: Improvement | None
    p_value: float | None = None
    verdict: OrderVerdict | None = None
    ranges_touch: bool = False


@dataclass(frozen=True)
class PublishedOrder:
    """The order of all methods with a published value, `methods` from the best to the worst, whether judged or not.

    `probability`: that one training of each, drawn from the recorded ones, is strictly in this order. `chance`: the
    same for methods that are all equal, 1 / n!.
    """

    methods: tuple[str, ...]
    probability: float
    chance: float


@dataclass(frozen=True)
class TableOrder:
    """All pairs of a table's methods in one metric.

    `kendall_tau`: tau-b between published and measured means, in [-1, 1]; None for fewer than two. `published_order`:
    None unless at least two methods have seeds and published values, and all of these values differ.
    """

    pairs: tuple[MethodPair, ...]
    kendall_tau: float | None
    published_order: PublishedOrder | None = None

    @property
    def counts(self) -> dict[OrderVerdict, int]:
        """The number of published orders by verdict."""
        verdicts = Counter(pair.verdict for pair in self.pairs)
        return {verdict: verdicts[verdict] for verdict in OrderVerdict}

    def __str__(self) -> str:
        """`5 of 6 published orderings reproduced, 1 undecided`; empty without a published order."""
        counts = self.counts
        total = sum(counts.values())
        if not total:
            return ""
        rest = [f"{counts[word]} {word}" for word in (OrderVerdict.REVERSED, OrderVerdict.UNDECIDED) if counts[word]]
        plural = "s" if total > 1 else ""
        return ", ".join([f"{counts[OrderVerdict.REPRODUCED]} of {total} published ordering{plural} reproduced", *rest])


def table_orders(rows: Sequence[LeaderboardRow], key: str) -> TableOrder | None:
    """Compare the rows of one table in the metric output `key`.

    None if fewer than two rows have seeds, or if methods are not ranked by this output.

    Published orders are judged under the conditions of published values: verified, of the same protocol, and not at a
    reduced scale.
    """
    measured = [row for row in rows if key in row.results and row.results[key].output.is_ranked]
    is_reduced = any(row.results[key].verdict is Verdict.REDUCED for row in measured)
    methods = [_ranked_method(row, key, is_reduced) for row in measured]
    if sum(bool(method.scores) for method in methods) < 2:
        return None
    return compare_methods(methods, measured[0].results[key].output.better == "higher")


def compare_methods(methods: Sequence[RankedMethod], higher_is_better: bool) -> TableOrder:
    """Compare all pairs of methods, with a verdict on every published order."""
    pairs = [_better_first(a, b, higher_is_better) for a, b in combinations(methods, 2)]
    improvements = [probability_of_improvement(a.scores, b.scores) if a.scores and b.scores else None for a, b in pairs]
    judged = [index for index, (a, b) in enumerate(pairs) if _has_published_order(a, b)]
    raw = [found.p_value if (found := improvements[index]) else 1.0 for index in judged]
    corrected = dict(zip(judged, holm(raw), strict=True))
    compared = []
    for index, ((a, b), gain) in enumerate(zip(pairs, improvements, strict=True)):
        pair = MethodPair(first=a.label, second=b.label, improvement=gain)
        if (p_value := corrected.get(index)) is not None:
            verdict, touch = _verdict(a, b, gain, p_value), _ranges_touch(a, b)
            pair = replace(pair, p_value=p_value, verdict=verdict, ranges_touch=touch)
        compared.append(pair)
    comparable = [method for method in methods if method.is_comparable and math.isfinite(method.mean)]
    means = [(method.published, method.mean) for method in comparable if method.published is not None]
    return TableOrder(tuple(compared), kendall_tau(means), _published_order(methods, higher_is_better))


def _published_order(methods: Sequence[RankedMethod], higher_is_better: bool) -> PublishedOrder | None:
    ranked = [(method.published, method) for method in methods if method.published is not None and method.scores]
    if len(ranked) < 2 or len({value for value, _ in ranked}) < len(ranked):
        return None
    best_first = [method for _, method in sorted(ranked, key=lambda pair: pair[0], reverse=higher_is_better)]
    probability = probability_in_order([method.scores for method in reversed(best_first)])
    return PublishedOrder(tuple(method.label for method in best_first), probability, 1 / math.factorial(len(ranked)))


def probability_in_order(groups: Sequence[Sequence[float]]) -> float:
    """The probability that numbers drawn uniformly, one from each group, are strictly increasing.

    Exact, by dynamic programming over the distinct values: the probability that the groups so far are in order and end
    below each value.
    """
    values = np.unique(np.concatenate([np.asarray(group, dtype=np.float64) for group in groups]))
    in_order_below = np.ones(len(values))
    for group in groups:
        counts = np.bincount(np.searchsorted(values, group), minlength=len(values))
        ends_at = counts / len(group) * in_order_below
        in_order_below = np.cumsum(ends_at) - ends_at
    return float(ends_at.sum())


def kendall_tau(points: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's tau-b of pairs of numbers, in [-1, 1]; None if all numbers of either side are equal (Kendall 1945).

    (C - D) / sqrt((P - Tx) (P - Ty)): concordant and discordant pairs, all pairs, pairs tied in x and in y.
    `scipy.stats.kendalltau` gives the same value, but takes a second to import.
    """
    signs = [(_sign(a[0] - b[0]), _sign(a[1] - b[1])) for a, b in combinations(points, 2)]
    untied = sum(abs(x) for x, _ in signs) * sum(abs(y) for _, y in signs)
    return sum(x * y for x, y in signs) / math.sqrt(untied) if untied else None


def _ranked_method(row: LeaderboardRow, key: str, is_reduced: bool) -> RankedMethod:
    result, reference = row.results[key], row.results[key].reference
    trainings = result.judged.trainings if result.judged else None
    values = list(trainings.values.values()) if trainings else []
    sign = 1.0 if result.output.better == "higher" else -1.0
    scores = [sign * value if math.isfinite(value) else -math.inf for value in values]
    return RankedMethod(
        label=row.label,
        scores=(*scores, *[-math.inf] * row.counts.diverged),
        is_complete=len(values) + row.counts.diverged == row.counts.total,
        mean=trainings.mean if trainings else math.nan,
        published=reference.value if reference and not reference.uncertainty.is_theory else None,
        published_spread=(result.published.spread if result.published else None) or 0.0,
        is_comparable=reference is not None and reference.is_comparable and not is_reduced,
    )


def _has_published_order(a: RankedMethod, b: RankedMethod) -> bool:
    return a.is_comparable and b.is_comparable and None not in (a.published, b.published) and a.published != b.published


def _ranges_touch(a: RankedMethod, b: RankedMethod) -> bool:
    distance = abs((a.published or 0.0) - (b.published or 0.0))
    return distance <= a.published_spread + b.published_spread


def _better_first(a: RankedMethod, b: RankedMethod, higher_is_better: bool) -> tuple[RankedMethod, RankedMethod]:
    """The method with the better published value first, whether it may be compared or not."""
    if a.published is None or b.published is None or a.published == b.published:
        return a, b
    return (a, b) if (a.published > b.published) == higher_is_better else (b, a)


def _verdict(a: RankedMethod, b: RankedMethod, gain: Improvement | None, p_value: float) -> OrderVerdict:
    enough = min(len(a.scores), len(b.scores)) >= MIN_SEEDS and a.is_complete and b.is_complete
    if gain is None or not enough or p_value > LEVEL:
        return OrderVerdict.UNDECIDED
    low, high = gain.interval
    if low > 0.5:
        return OrderVerdict.REPRODUCED
    return OrderVerdict.REVERSED if high < 0.5 else OrderVerdict.UNDECIDED


def _sign(number: float) -> int:
    return int(number > 0) - int(number < 0)
