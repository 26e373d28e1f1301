"""The order of the methods of one table: is it as published?

The published order is taken as printed, however close two of its values are; where the ranges that are printed for them
touch, it is said. Where published values may not be judged against, the order gets no verdict and is compared all the
same.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np

from benchmark.analysis.improvement import Improvement, holm, improvement
from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.verdicts import MIN_SEEDS, Verdict

LEVEL = 0.05  # chance that a table whose methods are all alike gets any order called


class OrderVerdict(StrEnum):
    """What became of a published order of two methods."""

    REPRODUCED = "reproduced"
    REVERSED = "reversed"
    UNDECIDED = "undecided"


ORDER_MEANINGS = {
    OrderVerdict.REPRODUCED: "the method that was published as the better one is better: the 95 % bootstrap interval"
    " of its probability of improvement lies above 1/2, and the rank test agrees, at 5 % over all orders of the"
    " table (Holm)",
    OrderVerdict.REVERSED: "the same, the other way round",
    OrderVerdict.UNDECIDED: f"neither, or fewer than {MIN_SEEDS} seeds of a method, or some that failed or were not"
    " run. Three seeds against three can never decide: chance alone separates them in one of ten cases",
}


@dataclass(frozen=True)
class RankedMethod:
    """One row's part in the comparison.

    `scores`: one per seed that finished or diverged, more is better, -inf for what diverged or gave no number.
    `complete`: no other seed is missing. `mean`: over the seeds that finished, in the metric's unit and direction; nan
    without one. `published`: None when there is no value, or none that may be judged against; `published_spread`: what
    is printed behind its ±, 0 for nothing. `printed`: one that may not be judged against.
    """

    label: str
    scores: tuple[float, ...]
    complete: bool
    mean: float
    published: float | None
    published_spread: float = 0.0
    printed: float | None = None

    @property
    def place(self) -> float | None:
        """The published value, whether it may be judged against or not."""
        return self.printed if self.published is None else self.published


@dataclass(frozen=True)
class MethodPair:
    """Two methods of a table; `first` is the one that was published as the better one, if that is known.

    `improvement`: of the first over the second; None when either has no seed. `p_value`: that of the rank test,
    corrected for all published orders of the table; it and `verdict` are None for a pair without a published order.
    `ranges_touch`: the published ranges, value ± spread, touch.
    """

    first: str
    second: str
    improvement: Improvement | None
    p_value: float | None = None
    verdict: OrderVerdict | None = None
    ranges_touch: bool = False


@dataclass(frozen=True)
class PublishedOrder:
    """The whole order as printed, `methods` from the best to the worst, judged or not.

    `probability`: that one training of each, drawn from those at hand, is strictly in this order. `chance`: that of
    methods that are all alike, 1 / n!.
    """

    methods: tuple[str, ...]
    probability: float
    chance: float


@dataclass(frozen=True)
class TableOrder:
    """All pairs of a table's methods in one metric.

    `kendall_tau`: tau-b between published and measured means, in [-1, 1]; None for fewer than two. `published_order`:
    None unless at least two methods have seeds and printed values, and no two of these values are alike.
    """

    pairs: tuple[MethodPair, ...]
    kendall_tau: float | None
    published_order: PublishedOrder | None = None

    @property
    def counts(self) -> dict[OrderVerdict, int]:
        """How many published orders met which end."""
        found = Counter(pair.verdict for pair in self.pairs)
        return {word: found[word] for word in OrderVerdict}

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
    """Compare the rows of one table in the metric output `key`; None when fewer than two rows were measured.

    Published orders are judged where published values are: verified, of the same protocol, and not at a reduced scale.
    """
    members = [row for row in rows if key in row.results]
    if not members:
        return None
    reduced = any(row.results[key].verdict is Verdict.REDUCED for row in members)
    entries = [_entry(row, key, reduced) for row in members]
    if sum(bool(entry.scores) for entry in entries) < 2:
        return None
    return compare(entries, members[0].results[key].output.better == "higher")


def compare(entries: Sequence[RankedMethod], higher: bool) -> TableOrder:
    """All pairs of some methods, with a verdict on every published order. `higher`: more is better as published."""
    pairs = [_ordered(a, b, higher) for a, b in combinations(entries, 2)]
    gains = [improvement(a.scores, b.scores) if a.scores and b.scores else None for a, b in pairs]
    judged = [index for index, (a, b) in enumerate(pairs) if _published_order(a, b)]
    raw = [gain.p_value if (gain := gains[index]) else 1.0 for index in judged]
    corrected = dict(zip(judged, holm(raw), strict=True))
    found = []
    for index, ((a, b), gain) in enumerate(zip(pairs, gains, strict=True)):
        p_value = corrected.get(index)
        verdict = None if p_value is None else _verdict(a, b, gain, p_value)
        found.append(MethodPair(a.label, b.label, gain, p_value, verdict, verdict is not None and _touching(a, b)))
    known = [(e.published, e.mean) for e in entries if e.published is not None and math.isfinite(e.mean)]
    return TableOrder(tuple(found), kendall_tau(known), _chain(entries, higher))


def _chain(entries: Sequence[RankedMethod], higher: bool) -> PublishedOrder | None:
    placed = [(entry.place, entry) for entry in entries if entry.place is not None and entry.scores]
    if len(placed) < 2 or len({value for value, _ in placed}) < len(placed):
        return None
    best_first = [entry for _, entry in sorted(placed, key=lambda pair: pair[0], reverse=higher)]
    probability = probability_in_order([entry.scores for entry in reversed(best_first)])
    return PublishedOrder(tuple(entry.label for entry in best_first), probability, 1 / math.factorial(len(placed)))


def probability_in_order(groups: Sequence[Sequence[float]]) -> float:
    """The probability that one number of each group, all of its equally likely, is greater than that of the one before.

    Exact: over every value that a group has, the probability that those so far are in order and end below it.
    """
    values = np.unique(np.concatenate([np.asarray(group, dtype=np.float64) for group in groups]))
    below = np.ones(len(values))  # of the groups so far: in order, and all below each value
    for group in groups:
        here = np.bincount(np.searchsorted(values, group), minlength=len(values)) / len(group) * below
        below = np.cumsum(here) - here
    return float(here.sum())


def kendall_tau(points: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's tau-b of pairs of numbers, in [-1, 1]; None when either side has no two different values."""
    signs = [(_sign(a[0] - b[0]), _sign(a[1] - b[1])) for a, b in combinations(points, 2)]
    untied = sum(abs(x) for x, _ in signs) * sum(abs(y) for _, y in signs)
    return sum(x * y for x, y in signs) / math.sqrt(untied) if untied else None


def _entry(row: LeaderboardRow, key: str, reduced: bool) -> RankedMethod:
    result, reference = row.results[key], row.results[key].reference
    values = list(result.aggregate.values.values()) if result.aggregate else []
    sign = 1.0 if result.output.better == "higher" else -1.0
    scores = [sign * value if math.isfinite(value) else -math.inf for value in values]
    usable = reference is not None and reference.verified and not reference.mismatches and not reduced
    return RankedMethod(
        label=row.label,
        scores=(*scores, *[-math.inf] * row.counts.diverged),
        complete=len(values) + row.counts.diverged == row.counts.total,
        mean=result.aggregate.mean if result.aggregate else math.nan,
        published=reference.value if reference and usable else None,
        printed=reference.value if reference else None,
        published_spread=(result.published.spread if result.published else None) or 0.0,
    )


def _published_order(a: RankedMethod, b: RankedMethod) -> bool:
    return a.published is not None and b.published is not None and a.published != b.published


def _touching(a: RankedMethod, b: RankedMethod) -> bool:
    apart = abs((a.published or 0.0) - (b.published or 0.0))
    return apart <= a.published_spread + b.published_spread


def _ordered(a: RankedMethod, b: RankedMethod, higher: bool) -> tuple[RankedMethod, RankedMethod]:
    """The one with the better published value first, be it one that may be judged against or not."""
    if a.place is None or b.place is None or a.place == b.place:
        return a, b
    return (a, b) if (a.place > b.place) == higher else (b, a)


def _verdict(a: RankedMethod, b: RankedMethod, gain: Improvement | None, p_value: float) -> OrderVerdict:
    enough = min(len(a.scores), len(b.scores)) >= MIN_SEEDS and a.complete and b.complete
    if gain is None or not enough or p_value > LEVEL:
        return OrderVerdict.UNDECIDED
    low, high = gain.interval
    if low > 0.5:
        return OrderVerdict.REPRODUCED
    return OrderVerdict.REVERSED if high < 0.5 else OrderVerdict.UNDECIDED


def _sign(number: float) -> int:
    return int(number > 0) - int(number < 0)
