"""Comparison of two stores or two suites: per cell and metric the difference of the means, and its possible causes.

Neither side is the reference.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from benchmark.analysis.aggregate import CONFIDENCE, Interval, satterthwaite, t_interval
from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, leaderboard_rows
from benchmark.analysis.verdicts import MIN_SEEDS
from benchmark.config.suite import Suite
from benchmark.core.protocol import metric_of_output
from benchmark.store.diff import Change, diff_values, summarise_environments
from benchmark.store.records import TrialRecord

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import Output


class ComparisonVerdict(StrEnum):
    """The verdicts on one metric of two cells."""

    IDENTICAL = "bit-identical"
    NO_DIFFERENCE = "no difference seen"
    A_BETTER = "A better"
    B_BETTER = "B better"
    DIFFERENT = "different"
    UNDECIDED = "undecided"
    TOO_FEW_SEEDS = "too few seeds"
    NOT_COMPARABLE = "measured differently"
    NO_VALUE = "nothing to compare"


COMPARISON_MEANINGS = {
    ComparisonVerdict.IDENTICAL: "the same seeds finished, and gave identical values",
    ComparisonVerdict.NO_DIFFERENCE: "the 95 % Welch interval of the difference of the means contains 0;"
    " a smaller difference may exist",
    ComparisonVerdict.A_BETTER: "the interval lies entirely on A's better side",
    ComparisonVerdict.B_BETTER: "the interval lies entirely on B's better side",
    ComparisonVerdict.DIFFERENT: "the interval excludes 0, and methods are not ranked by this metric",
    ComparisonVerdict.UNDECIDED: "the interval excludes 0, but a seed of the better side diverged or failed",
    ComparisonVerdict.TOO_FEW_SEEDS: f"fewer than {MIN_SEEDS} seeds finished on a side",
    ComparisonVerdict.NOT_COMPARABLE: "the datasets or the protocols of the metric differ",
    ComparisonVerdict.NO_VALUE: "a side has no value",
}


@dataclass(frozen=True)
class ComparisonSide:
    """A suite with the records of one store; `name` as the user wrote it."""

    name: str
    suite: Suite
    records: Mapping[str, TrialRecord]


@dataclass(frozen=True, kw_only=True)
class MetricComparison:
    """One metric of two cells. `difference`: mean of B - mean of A; `interval`: its 95 % Welch interval."""

    output: "Output"
    a: MetricResult | None
    b: MetricResult | None
    difference: float | None
    interval: Interval | None
    verdict: ComparisonVerdict


@dataclass(frozen=True)
class MatchedCells:
    """A cell of A and its counterpart in B; `recipe_changes`: differences between their trial specs."""

    a: LeaderboardRow
    b: LeaderboardRow
    metrics: dict[str, MetricComparison]
    recipe_changes: tuple[Change, ...]

    @property
    def label(self) -> str:
        """The row's name; both names where they differ."""
        return self.a.label if self.a.label == self.b.label else f"{self.a.label} / {self.b.label}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides, cell by cell; `only_a` and `only_b` are cells without a counterpart, as `table/row`."""

    a: ComparisonSide
    b: ComparisonSide
    pairs: tuple[MatchedCells, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    environment_changes: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        """The content of `report --compare A B --json`."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "cells": [
                {
                    "table": pair.a.table,
                    "row": pair.a.label,
                    "table_b": pair.b.table,
                    "row_b": pair.b.label,
                    "metrics": {
                        key: {
                            "a": values_by_seed(metric.a),
                            "b": values_by_seed(metric.b),
                            "difference": metric.difference,
                            "interval": metric.interval,
                            "word": metric.verdict.value,
                        }
                        for key, metric in pair.metrics.items()
                    },
                    "recipe": [change._asdict() for change in pair.recipe_changes],
                }
                for pair in self.pairs
            ],
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "environment": [change._asdict() for change in self.environment_changes],
        }


def compare_runs(a: ComparisonSide, b: ComparisonSide) -> Comparison:
    """Match the cells of two sides, in the order of A, and compare their metrics."""
    matches = _match(leaderboard_rows(a.suite, a.records), leaderboard_rows(b.suite, b.records))
    pairs = tuple(_compare_cells(ours, theirs) for ours, theirs in matches)
    environments = (summarise_environments(_records([getattr(pair, side) for pair in pairs])) for side in ("a", "b"))
    return Comparison(
        a=a,
        b=b,
        pairs=pairs,
        only_a=_unmatched(a.suite, [pair.a for pair in pairs]),
        only_b=_unmatched(b.suite, [pair.b for pair in pairs]),
        environment_changes=tuple(diff_values(*environments)),
    )


def _match(a: list[LeaderboardRow], b: list[LeaderboardRow]) -> list[tuple[LeaderboardRow, LeaderboardRow]]:
    """Cells of the same table and row; if there are none, of the same row; else of the same method and dataset.

    A key that several cells of a side share matches none of them.
    """
    keys: tuple[Callable[[LeaderboardRow], Hashable], ...] = (
        lambda row: (row.table, row.label),
        lambda row: row.label,
        lambda row: (row.spec.method, row.spec.dataset),
    )
    for key in keys:
        ours, theirs = _by_unique_key(a, key), _by_unique_key(b, key)
        if common := [(row, theirs[name]) for name, row in ours.items() if name in theirs]:
            return common
    return []


def _by_unique_key(
    rows: list[LeaderboardRow], key: Callable[[LeaderboardRow], Hashable]
) -> dict[Hashable, LeaderboardRow]:
    keys = list(map(key, rows))
    return {name: row for name, row in zip(keys, rows, strict=True) if keys.count(name) == 1}


def _unmatched(suite: Suite, matched: Iterable[LeaderboardRow]) -> tuple[str, ...]:
    names = {(row.table, row.label) for row in matched}
    return tuple(f"{cell.table}/{cell.row}" for cell in suite.cells if (cell.table, cell.row) not in names)


def _records(rows: Iterable[LeaderboardRow]) -> Iterator[TrialRecord]:
    return (trial.record for row in rows for trial in row.trials if trial.record)


def _compare_cells(a: LeaderboardRow, b: LeaderboardRow) -> MatchedCells:
    metrics = {key: _compare_metric(key, a, b) for key in a.results | b.results}
    recipes = (row.spec.model_dump(mode="json", exclude={"seed"}) for row in (a, b))
    return MatchedCells(a, b, metrics, tuple(diff_values(*recipes)))


def _compare_metric(key: str, a: LeaderboardRow, b: LeaderboardRow) -> MetricComparison:
    results = a.results.get(key), b.results.get(key)
    ours, theirs = (list(values_by_seed(result).values()) for result in results)
    is_finite = all(map(math.isfinite, ours + theirs))
    interval = welch_interval(ours, theirs)
    return MetricComparison(
        output=next(result.output for result in results if result),
        a=results[0],
        b=results[1],
        difference=mean(theirs) - mean(ours) if ours and theirs and is_finite else None,
        interval=interval,
        verdict=_verdict(key, a, b, interval),
    )


def values_by_seed(result: MetricResult | None) -> dict[int, float]:
    """Seed -> value, for the seeds that finished."""
    return result.aggregate.values if result and result.aggregate else {}


def _verdict(key: str, a: LeaderboardRow, b: LeaderboardRow, interval: Interval | None) -> ComparisonVerdict:
    ours, theirs = values_by_seed(a.results.get(key)), values_by_seed(b.results.get(key))
    if not ours or not theirs:
        return ComparisonVerdict.NO_VALUE
    if _conditions(key, a) != _conditions(key, b):
        return ComparisonVerdict.NOT_COMPARABLE
    if ours == theirs:
        return ComparisonVerdict.IDENTICAL
    if min(len(ours), len(theirs)) < MIN_SEEDS or interval is None:
        return ComparisonVerdict.TOO_FEW_SEEDS
    low, high = interval
    if low <= 0 <= high:
        return ComparisonVerdict.NO_DIFFERENCE
    output = a.results[key].output
    if not output.is_ranked:
        return ComparisonVerdict.DIFFERENT
    b_wins = (low > 0) == (output.better == "higher")
    counts = (b if b_wins else a).counts
    if counts.diverged or counts.failed:
        return ComparisonVerdict.UNDECIDED
    return ComparisonVerdict.B_BETTER if b_wins else ComparisonVerdict.A_BETTER


def _conditions(key: str, row: LeaderboardRow) -> tuple[object, ...]:
    """The settings that two comparable values share."""
    protocol = row.spec.protocol
    return row.spec.dataset, metric_of_output(protocol, key).measure, protocol.batch_norm


def welch_interval(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The two-sided t-interval of mean(b) - mean(a) for unequal variances (Welch 1947).

    None for fewer than two values on a side or one that is not finite; a single point if neither side varies.
    """
    if min(len(a), len(b)) < 2 or not all(map(math.isfinite, [*a, *b])):
        return None
    difference = mean(b) - mean(a)
    error_a, error_b = (stdev(values) / math.sqrt(len(values)) for values in (a, b))
    if error_a == error_b == 0:
        return difference, difference
    error, df = satterthwaite((error_a, len(a) - 1), (error_b, len(b) - 1))
    return t_interval(difference, float(error), float(df), confidence)
