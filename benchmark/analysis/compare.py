"""Two stores or two suites side by side: per cell and metric the difference of the means, and what made it.

Pure: suites and records in, a comparison out. Neither side is the reference.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from benchmark.analysis.aggregate import CONFIDENCE, Interval, t_interval, welch_satterthwaite
from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, leaderboard_rows
from benchmark.analysis.verdicts import MIN_SEEDS
from benchmark.config.suite import Suite
from benchmark.core.protocol import measure_of
from benchmark.store.diff import Change, diff_values, summarise_environments
from benchmark.store.records import TrialRecord

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import Output


class ComparisonVerdict(StrEnum):
    """What may be said about one metric of two cells."""

    IDENTICAL = "same to the bit"
    NO_DIFFERENCE = "no difference seen"
    A_BETTER = "A better"
    B_BETTER = "B better"
    UNDECIDED = "undecided"
    TOO_FEW_SEEDS = "too few seeds"
    NOT_COMPARABLE = "measured differently"
    NO_VALUE = "nothing to compare"


COMPARISON_MEANINGS = {
    ComparisonVerdict.IDENTICAL: "the same seeds finished, and gave identical values",
    ComparisonVerdict.NO_DIFFERENCE: "the 95 % Welch interval of the difference of the means holds 0;"
    " a smaller difference may be there",
    ComparisonVerdict.A_BETTER: "the interval lies wholly on A's good side",
    ComparisonVerdict.B_BETTER: "the interval lies wholly on B's good side",
    ComparisonVerdict.UNDECIDED: "the interval excludes 0, but a seed of the better side diverged or failed",
    ComparisonVerdict.TOO_FEW_SEEDS: f"fewer than {MIN_SEEDS} seeds finished on a side",
    ComparisonVerdict.NOT_COMPARABLE: "dataset or protocol of the metric differ, so the values are not of one kind",
    ComparisonVerdict.NO_VALUE: "a side has no value",
}


@dataclass(frozen=True)
class ComparisonSide:
    """A suite with the records of one store; `name` as the user wrote it."""

    name: str
    suite: Suite
    records: Mapping[str, TrialRecord]


@dataclass(frozen=True)
class MetricComparison:
    """One metric of two cells. `difference`: mean of B minus mean of A; `interval`: its 95 % Welch interval."""

    output: "Output"
    a: MetricResult | None
    b: MetricResult | None
    difference: float | None
    interval: Interval | None
    verdict: ComparisonVerdict


@dataclass(frozen=True)
class MatchedCells:
    """A cell of A and the one of B that stands for the same; `recipe`: what differs in what they train."""

    a: LeaderboardRow
    b: LeaderboardRow
    metrics: dict[str, MetricComparison]
    recipe_changes: tuple[Change, ...]

    @property
    def label(self) -> str:
        """The row's name; both names where they differ."""
        return self.a.label if self.a.label == self.b.label else f"{self.a.label} / {self.b.label}"


@dataclass(frozen=True)
class Comparison:
    """Two sides, cell by cell; `only_a` and `only_b` are cells without a partner, as `table/row`."""

    a: ComparisonSide
    b: ComparisonSide
    pairs: tuple[MatchedCells, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    environment_changes: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        """For scripts: `report --compare A B --json`."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "cells": [
                {
                    "table": pair.a.table,
                    "row": pair.a.label,
                    "table_b": pair.b.table,
                    "row_b": pair.b.label,
                    "metrics": {key: _json(contrast) for key, contrast in pair.metrics.items()},
                    "recipe": [change._asdict() for change in pair.recipe_changes],
                }
                for pair in self.pairs
            ],
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "environment": [change._asdict() for change in self.environment_changes],
        }


def _json(contrast: MetricComparison) -> dict[str, Any]:
    return {
        "a": values_of(contrast.a),
        "b": values_of(contrast.b),
        "difference": contrast.difference,
        "interval": contrast.interval,
        "word": contrast.verdict.value,
    }


def compare_runs(a: ComparisonSide, b: ComparisonSide) -> Comparison:
    """Set two sides next to each other, in the order of A."""
    matched = list(_matched(leaderboard_rows(a.suite, a.records), leaderboard_rows(b.suite, b.records)))
    pairs = tuple(MatchedCells(one, other, _contrasts(one, other), _recipe(one, other)) for one, other in matched)
    return Comparison(
        a=a,
        b=b,
        pairs=pairs,
        only_a=_alone(a.suite, (pair.a for pair in pairs)),
        only_b=_alone(b.suite, (pair.b for pair in pairs)),
        environment_changes=tuple(
            diff_values(
                summarise_environments(record for pair in pairs for record in _records(pair.a)),
                summarise_environments(record for pair in pairs for record in _records(pair.b)),
            )
        ),
    )


def _matched(a: list[LeaderboardRow], b: list[LeaderboardRow]) -> Iterator[tuple[LeaderboardRow, LeaderboardRow]]:
    """Cells of the same table and row; when there are none, of the same row, else of the same method and dataset.

    A name that stands for several cells of a side matches none: which one is meant would be a guess.
    """
    names: tuple[Callable[[LeaderboardRow], Hashable], ...] = (
        lambda row: (row.table, row.label),
        lambda row: row.label,
        lambda row: (row.spec.method, row.spec.dataset),
    )
    for name in names:
        ours, theirs = _unique(a, name), _unique(b, name)
        if common := [key for key in ours if key in theirs]:
            yield from ((ours[key], theirs[key]) for key in common)
            return


def _unique(
    members: list[LeaderboardRow], name: Callable[[LeaderboardRow], Hashable]
) -> dict[Hashable, LeaderboardRow]:
    names = list(map(name, members))
    return {key: row for key, row in zip(names, members, strict=True) if names.count(key) == 1}


def _alone(suite: Suite, paired: Iterable[LeaderboardRow]) -> tuple[str, ...]:
    taken = {(row.table, row.label) for row in paired}
    return tuple(f"{cell.table}/{cell.row}" for cell in suite.cells if (cell.table, cell.row) not in taken)


def _recipe(a: LeaderboardRow, b: LeaderboardRow) -> tuple[Change, ...]:
    """What differs in the trials but for their seeds."""
    return tuple(diff_values(*(row.spec.model_dump(mode="json", exclude={"seed"}) for row in (a, b))))


def _records(row: LeaderboardRow) -> Iterator[TrialRecord]:
    return (trial.record for trial in row.trials if trial.record)


def _contrasts(a: LeaderboardRow, b: LeaderboardRow) -> dict[str, MetricComparison]:
    return {key: _contrast(key, a, b) for key in a.results | b.results}


def _contrast(key: str, a: LeaderboardRow, b: LeaderboardRow) -> MetricComparison:
    results = a.results.get(key), b.results.get(key)
    output = next(result.output for result in results if result)
    ours, theirs = (list(values_of(result).values()) for result in results)
    difference = mean(theirs) - mean(ours) if ours and theirs and all(map(math.isfinite, ours + theirs)) else None
    interval = welch_interval(ours, theirs)
    return MetricComparison(output, *results, difference, interval, _word(key, a, b, interval))


def values_of(result: MetricResult | None) -> dict[int, float]:
    """Seed -> value of the seeds that finished."""
    return result.aggregate.values if result and result.aggregate else {}


def _word(key: str, a: LeaderboardRow, b: LeaderboardRow, interval: Interval | None) -> ComparisonVerdict:
    ours, theirs = values_of(a.results.get(key)), values_of(b.results.get(key))
    if not ours or not theirs:
        return ComparisonVerdict.NO_VALUE
    if _measured(key, a) != _measured(key, b):
        return ComparisonVerdict.NOT_COMPARABLE
    if ours == theirs:
        return ComparisonVerdict.IDENTICAL
    if min(len(ours), len(theirs)) < MIN_SEEDS or interval is None:
        return ComparisonVerdict.TOO_FEW_SEEDS
    low, high = interval
    if low <= 0 <= high:
        return ComparisonVerdict.NO_DIFFERENCE
    b_wins = (low > 0) == (a.results[key].output.better == "higher")
    counts = (b if b_wins else a).counts
    if counts.diverged or counts.failed:
        return ComparisonVerdict.UNDECIDED
    return ComparisonVerdict.B_BETTER if b_wins else ComparisonVerdict.A_BETTER


def _measured(key: str, row: LeaderboardRow) -> tuple[object, ...]:
    """All that must be equal for two values to be of one kind."""
    protocol = row.spec.protocol
    return row.spec.dataset, measure_of(protocol, key).measure, protocol.batch_norm


def welch_interval(a: list[float], b: list[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The two-sided interval of mean(b) - mean(a) for unequal variances (Welch 1947).

    None for fewer than two values on a side or one not finite; a point when no value varies.
    """
    if min(len(a), len(b)) < 2 or not all(map(math.isfinite, a + b)):
        return None
    difference = mean(b) - mean(a)
    one, other = (stdev(values) / math.sqrt(len(values)) for values in (a, b))
    if one == other == 0:
        return difference, difference
    error, degrees = welch_satterthwaite(one, len(a) - 1, other, len(b) - 1)
    return t_interval(difference, error, degrees, confidence)
