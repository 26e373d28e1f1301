"""The claims of a suite, measured and judged."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np

from benchmark.analysis.aggregate import Aggregate, Floats, Interval, mean_interval
from benchmark.analysis.claims.paired_tests import LEVEL, p_values
from benchmark.analysis.claims.quantifiers import combine
from benchmark.analysis.claims.verdicts import ClaimVerdict, judge_claim
from benchmark.analysis.improvement import holm
from benchmark.analysis.leaderboard import LeaderboardRow, TrialOutcome
from benchmark.analysis.verdicts import SeedCounts
from benchmark.config.claims import Claim, PairedQuantities, Quantity
from benchmark.config.suite import Suite

CONFIDENCE = 0.90  # of the interval that leaves 5 % on each side, as the two one-sided tests do


@dataclass(frozen=True, kw_only=True)
class SideResult:
    """Two quantities of a claim, paired by seed.

    `left`, `right` and `difference` (left - right) are over the same seeds. `p_for`, `p_against`: of this side alone;
    None for fewer than two seeds.
    """

    pair: PairedQuantities
    left: Aggregate
    right: Aggregate
    difference: Aggregate
    p_for: float | None = None
    p_against: float | None = None

    @property
    def interval(self) -> Interval | None:
        """The 90 % t-interval of the mean difference; None for fewer than two seeds or a value that is not finite."""
        return mean_interval(list(self.difference.values.values()), CONFIDENCE)


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """A claim with its verdict. `sides`: those with values; empty before the first seed finished on all rows.

    `p_for`, `p_against`: of the claim and of its opposite, combined over the sides; None for fewer than two seeds.
    """

    claim: Claim
    counts: SeedCounts
    sides: tuple[SideResult, ...]
    p_for: float | None
    p_against: float | None
    verdict: ClaimVerdict

    @property
    def as_predicted(self) -> tuple[SideResult, ...]:
        """The sides that are significantly as predicted, corrected by Holm over all sides."""
        significant = _significant([side.p_for for side in self.sides])
        return tuple(side for side, shows in zip(self.sides, significant, strict=True) if shows)

    @property
    def opposed(self) -> tuple[SideResult, ...]:
        """The sides that are significantly the opposite, corrected by Holm over all sides."""
        significant = _significant([side.p_against for side in self.sides])
        return tuple(side for side, shows in zip(self.sides, significant, strict=True) if shows)


def claim_results(suite: Suite, rows: Iterable[LeaderboardRow]) -> list[ClaimResult]:
    """The results of all claims, in the order of the suite.

    A claim is judged on the seeds of the suite's list, also if more are added until published values are decided.
    """
    trials = {
        (row.table, row.label): {trial.spec.seed: trial for trial in row.trials if trial.spec.seed in suite.seeds}
        for row in rows
    }
    return [_result(claim, {row: trials[claim.table, row] for row in claim.rows}) for claim in suite.claims]


def results_by_table(results: Iterable[ClaimResult]) -> dict[str, list[ClaimResult]]:
    """Table title -> the results of its claims."""
    grouped: dict[str, list[ClaimResult]] = {}
    for result in results:
        grouped.setdefault(result.claim.table, []).append(result)
    return grouped


def _result(claim: Claim, trials: Mapping[str, Mapping[int, TrialOutcome]]) -> ClaimResult:
    paired = [[of_row[seed] for of_row in trials.values()] for seed in _common_seeds(trials.values())]
    counts = _counts(paired)
    measured = [_measure(pair, trials) for pair in claim.comparisons]
    sides, p_for, p_against = _tested(claim, [side for side in measured if side], counts.finished)
    return ClaimResult(
        claim=claim,
        counts=counts,
        sides=sides,
        p_for=p_for,
        p_against=p_against,
        verdict=judge_claim(
            counts,
            math.nan if p_for is None else p_for,
            math.nan if p_against is None else p_against,
            is_verified=claim.published.status == "verified",
            is_full_scale=claim.is_judged,
        ),
    )


def _common_seeds(trials: Iterable[Mapping[int, TrialOutcome]]) -> list[int]:
    first, *others = trials
    return [seed for seed in first if all(seed in other for other in others)]


def _counts(paired: Sequence[Sequence[TrialOutcome]]) -> SeedCounts:
    """Seeds by how they ended; of several trainings of a seed, the one that hinders most counts."""
    statuses = [{trial.status for trial in trials} for trials in paired]
    order = ("not run", "failed", "diverged", "finished")
    worst = [next(status for status in order if status in seen) for seen in statuses]
    return SeedCounts(*(worst.count(status) for status in reversed(order)))


def _measure(pair: PairedQuantities, trials: Mapping[str, Mapping[int, TrialOutcome]]) -> SideResult | None:
    """Both quantities over the seeds that have them; None without any."""
    left, right = (_values(quantity, trials[quantity.row]) for quantity in (pair.left, pair.right))
    seeds = [seed for seed in left if seed in right]
    if not seeds:
        return None
    return SideResult(
        pair=pair,
        left=Aggregate({seed: left[seed] for seed in seeds}),
        right=Aggregate({seed: right[seed] for seed in seeds}),
        difference=Aggregate({seed: left[seed] - right[seed] for seed in seeds}),
    )


def _values(quantity: Quantity, trials: Mapping[int, TrialOutcome]) -> dict[int, float]:
    """Seed -> the mean over the evaluations of the quantity, for the trials that finished and have them all."""
    values = {}
    for seed, trial in trials.items():
        if trial.record is None or trial.status != "finished":
            continue
        by_step = {entry.step: entry.metrics for entry in trial.record.history}
        measured = [by_step.get(step, {}).get(quantity.output.key) for step in quantity.steps]
        known = [value for value in measured if value is not None]
        if known and len(known) == len(measured):
            values[seed] = mean(known)
    return values


def _tested(
    claim: Claim, sides: Sequence[SideResult], finished: int
) -> tuple[tuple[SideResult, ...], float | None, float | None]:
    """The sides with their p-values, and those of the claim, over the seeds that all sides have.

    None of them if there are fewer than two such seeds, or if a side lacks one of the `finished` seeds.
    """
    if len(sides) < len(claim.comparisons):
        return tuple(sides), None, None
    differences = common_differences(sides)
    if differences.shape[1] < max(2, finished):
        return tuple(sides), None, None
    p_for, p_against = p_values(differences, claim.edge, claim.relation, claim.test)
    pairs = zip(sides, p_for.tolist(), p_against.tolist(), strict=True)
    combined = combine(p_for, p_against, claim.quantifier)
    return tuple(replace(side, p_for=p, p_against=q) for side, p, q in pairs), float(combined[0]), float(combined[1])


def common_differences(sides: Sequence[SideResult]) -> Floats:
    """(sides, n): left - right of every side, at the n seeds that all sides have."""
    first, *others = (side.difference.values for side in sides)
    seeds = [seed for seed in first if all(seed in other for other in others)]
    return np.array([[side.difference.values[seed] for seed in seeds] for side in sides])


def _significant(p: Sequence[float | None]) -> list[bool]:
    """Which sides are significant, corrected by Holm."""
    known = [value for value in p if value is not None and not math.isnan(value)]
    return [corrected <= LEVEL for corrected in holm(known)] if len(known) == len(p) else [False] * len(p)
