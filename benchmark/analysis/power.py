"""How many seeds would decide a cell: the chance of a verdict other than `inconclusive`, by the number of seeds.

The chance is that of the rules in `benchmark.analysis.rules`, under these assumptions:

- Every seed finishes, and seeds are independent draws from one normal distribution with the given spread.
- The true difference is 0: the authors trained and measured as we do, and the published value differs from the truth
  by its own error alone, which no seeds of ours reduce. The most likely verdict is then `reproduced`.
- If the measured value lies outside the tolerance by more than its standard error, the true difference is instead the
  measured one, and the number is that for `better` or `worse`. The same holds if as many seeds as a difference of 0
  needs have left the cell undecided, usually because the measured value is close to the edge of the tolerance.

For intervals of Student's t the chance is exact up to quadrature: given the measured spread s, the half-widths h and h'
of the 90 % and the 95 % interval are known and the estimate is normal, so that

    P(reproduced | s) = P(|estimate| <= margin - h),    P(better or worse | s) = P(|estimate| > margin + h'),

and (n - 1) s^2 / sigma^2 is chi-squared with n - 1 degrees of freedom. For the best of k it is simulated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from benchmark.analysis.aggregate import Direction, Floats
from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult
from benchmark.analysis.rules.best_of import expected_best
from benchmark.analysis.rules.difference import (
    DIFFERENCE_CONFIDENCE,
    EQUIVALENCE_CONFIDENCE,
    InstrumentNoise,
    StandardisedDifference,
    published_half_width,
    standardise,
)
from benchmark.analysis.rules.uncertainty import PublishedUncertainty
from benchmark.analysis.sequential import error_share
from benchmark.analysis.verdicts import MIN_SEEDS, Verdict, verdicts_on
from benchmark.config.published import PublishedValue

POWER = 0.80
MOST_SEEDS = 1000  # that are searched
MOST_SEEDS_SIMULATED = 24  # of a best of k, whose intervals are simulated for every number of seeds
NODES = 128  # of the quadrature over the measured spread
SIMULATED = 4000  # cells of a best of k
SEED = 0

SpreadSource = Literal["measured", "published"]


@dataclass(frozen=True, kw_only=True)
class CellModel:
    """What the verdict on a metric depends on, besides the number of seeds; in the metric's unit.

    `spread`: the standard deviation between trainings. `margin`: the half-width of the tolerance. `difference`: the
    true one, measured - published.
    """

    spread: float
    margin: float
    uncertainty: PublishedUncertainty
    better: Direction
    instruments: InstrumentNoise | None = None
    difference: float = 0.0

    @property
    def fewest(self) -> int:
        """The fewest seeds with which a verdict is possible."""
        return max(MIN_SEEDS, self.uncertainty.best_of)

    @property
    def most(self) -> int:
        """The most seeds for which the chance is computed."""
        return MOST_SEEDS if self.uncertainty.best_of == 1 else MOST_SEEDS_SIMULATED

    @property
    def half_width(self) -> float:
        """The half-width of the 90 % interval that remains however many seeds are trained."""
        return published_half_width(self.uncertainty, self.spread, self.instruments)

    @property
    def towards(self) -> Verdict:
        """The verdict that enough seeds make likely."""
        if abs(self.difference) <= self.margin:
            return Verdict.REPRODUCED
        if self.uncertainty.is_theory:
            return Verdict.DIFFERENT
        return Verdict.BETTER if (self.difference > 0) == (self.better == "higher") else Verdict.WORSE

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the published value is too uncertain for the verdict `reproduced`, which its difference suggests."""
        return self.towards is Verdict.REPRODUCED and self.half_width > self.margin


@dataclass(frozen=True, kw_only=True)
class SeedsNeeded:
    """How many seeds would decide a metric of a cell.

    `cell`, `source`: the model, and whose trainings its spread is from; None if the spread is unknown. `seeds`: the
    number, in all, with which the probability of a decision is 80 %; None if `cell.most` seeds give a smaller one.
    `chance`: the probability with that number. `finished`: the seeds at hand. `has_gap`: one diverged or failed.
    """

    cell: CellModel | None = None
    source: SpreadSource | None = None
    seeds: int | None = None
    chance: float = 0.0
    finished: int = 0
    has_gap: bool = False

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the published value is too uncertain for `reproduced`, however many seeds are trained."""
        return self.cell is not None and self.cell.is_out_of_reach

    @property
    def more(self) -> int | None:
        """The seeds needed beyond those at hand; None if no number is known to decide the metric."""
        if self.seeds is None or self.is_out_of_reach or self.has_gap:
            return None
        return max(self.seeds - self.finished, 0)

    def as_json(self) -> dict[str, Any]:
        """The entries of `results.json` and `plan --json`; numbers in the metric's unit."""
        cell = self.cell
        return {
            "more": self.more,
            "in_all": self.seeds,
            "chance": cell and self.chance,
            "towards": cell and cell.towards.value,
            "assumed_difference": cell and cell.difference,
            "spread": cell and cell.spread,
            "spread_source": self.source,
            "published_half_width": cell and cell.half_width,
            "out_of_reach": self.is_out_of_reach,
        }


def seeds_needed(row: LeaderboardRow) -> dict[str, SeedsNeeded]:
    """Metric output -> how many seeds would decide it, for the judged metrics of a cell that are not decided.

    The spread is the measured one, from two seeds on, or else that which the source states over trainings. After looks,
    the next one decides, so the number is that for its share of the error rates.
    """
    next_share = error_share(len(row.cell.looks)) if row.cell.looks else 1.0
    has_gap = bool(row.counts.diverged or row.counts.failed)
    return {
        key: replace(_needed(result, next_share), finished=row.counts.finished, has_gap=has_gap)
        for key, result in row.results.items()
        if result.reference and result.reference.is_comparable and not result.verdict.is_decided
    }


def cell_model(result: MetricResult) -> CellModel | None:
    """What the verdict on a judged metric depends on; None without a known spread or a stated tolerance.

    The difference is the measured one if it lies outside the tolerance by more than its standard error, else 0.
    """
    reference, judged = result.reference, result.judged
    measured = judged.trainings.std if judged else None
    spread = measured if measured is not None else _published_spread(result.published)
    if spread is None or reference is None or reference.margin is None:
        return None
    cell = CellModel(
        spread=spread,
        margin=reference.margin,
        uncertainty=reference.uncertainty,
        better=result.output.better,
        instruments=judged.instruments if judged else None,
    )
    if measured is None or judged is None or result.difference is None:
        return cell
    scale = _with_spread(cell, judged.trainings.n, np.array([spread])).scale[0]
    is_clearly_off = abs(result.difference.estimate) > cell.margin + scale
    return replace(cell, difference=result.difference.estimate) if is_clearly_off else cell


def _needed(result: MetricResult, share: float) -> SeedsNeeded:
    cell, judged = cell_model(result), result.judged
    if cell is None:
        return SeedsNeeded()
    found = _search(cell, share)
    if judged is None or judged.trainings.std is None:
        return replace(found, source="published")
    if result.difference and (found.seeds or cell.most) <= judged.trainings.n:
        found = _search(replace(cell, difference=result.difference.estimate), share)
    return replace(found, source="measured")


@lru_cache(1 << 14)
def decision_chance(cell: CellModel, seeds: int, share: float = 1.0) -> float:
    """The probability that a complete cell with so many seeds gets a verdict other than `inconclusive`.

    `share`: of the error rates that this test may spend, as in `sequential`.
    """
    if seeds < cell.fewest:
        return 0.0
    confidences = 1 - share * (1 - DIFFERENCE_CONFIDENCE), 1 - share * (1 - EQUIVALENCE_CONFIDENCE)
    if cell.uncertainty.best_of > 1:
        return _simulated_chance(cell, seeds, *confidences)
    scale = float(_with_spread(cell, seeds, np.array([cell.spread])).scale[0])
    if scale == 0:
        return 1.0
    found = _with_spread(cell, seeds, cell.spread * _relative_spreads(seeds))
    beyond, within = (-found.interval(confidence)[0] for confidence in confidences)  # half-widths
    return float(np.mean(_between(cell, cell.margin - within, scale) + 1 - _between(cell, cell.margin + beyond, scale)))


def chances_undecided(cell: CellModel, looks: Sequence[int]) -> list[float]:
    """For each of the looks at growing numbers of seeds, an upper bound of the probability of no decision so far.

    It is the smallest of the probabilities that a single one of the looks decides nothing, with the share of the error
    rates that `sequential` gives it.
    """
    single = (1 - decision_chance(cell, seeds, error_share(look)) for look, seeds in enumerate(looks))
    return list(accumulate(single, min))


def _between(cell: CellModel, limit: Floats, scale: float) -> Floats:
    """The probability that the estimate lies within ± `limit`."""
    from scipy.special import ndtr  # importing scipy.stats takes a second

    reach = np.maximum(limit, 0.0)
    return np.asarray(ndtr((reach - cell.difference) / scale) - ndtr((-reach - cell.difference) / scale))


@lru_cache(256)
def _relative_spreads(seeds: int) -> Floats:
    """NODES equally likely values of s / sigma."""
    from scipy.special import chdtri  # importing scipy.stats takes a second

    upper_tails = (np.arange(NODES) + 0.5) / NODES
    return np.sqrt(np.asarray(chdtri(seeds - 1, upper_tails)) / (seeds - 1))


def _with_spread(cell: CellModel, seeds: int, spreads: Floats) -> StandardisedDifference:
    """The comparison of cells with a difference of 0 and these measured spreads."""
    pattern = np.linspace(-1.0, 1.0, seeds)
    values = spreads[:, None] * (pattern / pattern.std(ddof=1))
    return standardise(values, 0.0, cell.uncertainty, cell.better, cell.instruments)


def _simulated_chance(cell: CellModel, seeds: int, confidence: float, equivalence_confidence: float) -> float:
    k, rng = cell.uncertainty.best_of, np.random.default_rng([SEED, seeds])
    values = cell.difference + cell.spread * rng.normal(size=(SIMULATED, seeds))
    published = cell.spread * expected_best(rng.normal(size=(SIMULATED, k)), k, cell.better)
    found = standardise(values, published, cell.uncertainty, cell.better)
    intervals = found.interval(confidence), found.interval(equivalence_confidence)
    return float(np.mean(verdicts_on(*intervals, cell.margin, cell.better) != Verdict.INCONCLUSIVE.value))


@lru_cache(1 << 12)
def _search(cell: CellModel, share: float) -> SeedsNeeded:
    """The fewest seeds with which the probability of a decision is POWER."""
    low, high = cell.fewest - 1, cell.fewest
    while (chance := decision_chance(cell, high, share)) < POWER:
        if high == cell.most:
            return SeedsNeeded(cell=cell, chance=chance)
        low, high = high, min(2 * high, cell.most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decision_chance(cell, middle, share) >= POWER else (middle, high)
    return SeedsNeeded(cell=cell, seeds=high, chance=decision_chance(cell, high, share))


def _published_spread(value: PublishedValue | None) -> float | None:
    """The standard deviation over trainings that the source states; None without one."""
    if value is None or value.spread is None or value.spread_kind not in ("training_seeds", "standard_error"):
        return None
    if value.spread_kind == "training_seeds":
        return value.spread
    return value.spread * math.sqrt(value.n_seeds) if value.n_seeds else None
