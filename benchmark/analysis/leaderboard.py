"""The rows of the leaderboard: measured and published values, verdict and cost of every cell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.analysis.aggregate import CONFIDENCE, Aggregate, Direction, Floats, Interval, sample_std
from benchmark.analysis.rules.best_of import expected_best, expected_best_interval
from benchmark.analysis.rules.difference import Difference, InstrumentNoise, difference_to_published
from benchmark.analysis.rules.selection import instrument_noise, training_values
from benchmark.analysis.rules.uncertainty import EXACT, published_uncertainty
from benchmark.analysis.sequential import Look, looks_taken
from benchmark.analysis.verdicts import (
    Reference,
    SeedCounts,
    Verdict,
    judge,
    judging_instruments,
    protocol_mismatches,
)
from benchmark.config.cells import Cell
from benchmark.config.published import PublishedValue
from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics, metric_outputs
from benchmark.core.spec import TrialSpec
from benchmark.store.records import Cost, TrialRecord

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import Output


class TrialOutcome(NamedTuple):
    """A trial of the suite, and its record if there is one."""

    spec: TrialSpec
    record: TrialRecord | None

    @property
    def status(self) -> str:
        """`finished`, `diverged`, `failed` or `not run`."""
        return self.record.status if self.record else Verdict.NOT_RUN.value


@dataclass(frozen=True, kw_only=True)
class JudgedValue:
    """The measured side by the rule of the published value.

    `trainings`: what each seed counts with. `best_of`: 1, or the k of an expected best of k, which `estimate` then is
    and otherwise the mean. None for fewer than k seeds or a value that is not finite. `instruments`: the spread between
    the instruments over which `trainings` are means.
    """

    trainings: Aggregate
    better: Direction
    best_of: int = 1
    instruments: InstrumentNoise | None = None

    @property
    def estimate(self) -> float | None:
        """The value that is compared with the published one."""
        if not self.trainings.is_finite or self.trainings.n < self.best_of:
            return None
        return (
            self.trainings.mean if self.best_of == 1 else float(expected_best(self._values, self.best_of, self.better))
        )

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of `estimate`; None without one, or for fewer than two seeds."""
        if self.best_of == 1 or self.estimate is None:
            return self.trainings.interval
        low, high = expected_best_interval(self._values, self.best_of, self.better, CONFIDENCE)
        return float(low), float(high)

    @property
    def _values(self) -> Floats:
        return np.array(list(self.trainings.values.values()))


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """One metric of one cell. `aggregate`: the last evaluations of all seeds; None without results.

    `judged`: the value that is compared with the published one, by its rule; None without results. `rule`: that rule in
    words; "" without a published value, or at a reduced scale, where `judged` is the mean of the last evaluations.
    `look`: the one that decided, or the last one, if seeds are added until a cell is decided; then `aggregate` is over
    all seeds and everything else over those of the look.
    `difference`: judged - published; None without a published value or without a judged one. It does not imply that the
    two may be compared: only `verdict` decides that.
    """

    output: "Output"
    aggregate: Aggregate | None
    published: PublishedValue | None
    reference: Reference | None
    verdict: Verdict
    judged: JudgedValue | None = None
    rule: str = ""
    difference: Difference | None = None
    look: Look | None = None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the judged value, clipped to the metric's range; None for too few seeds."""
        return self.clipped(self.judged.interval) if self.judged else None

    def clipped(self, interval: Interval | None) -> Interval | None:
        """An interval within the metric's range."""
        return interval and (max(interval[0], self.output.minimum), min(interval[1], self.output.maximum))

    @property
    def is_plain(self) -> bool:
        """Whether the judged value is the mean of the last evaluations."""
        return not self.rule or (self.reference is not None and self.reference.is_plain)


@dataclass(frozen=True, kw_only=True)
class TotalCost:
    """The cost of all recorded trials of a cell, including failed ones.

    Seconds of wall time; `core_seconds`: cores x seconds of trials without a GPU; `gpu_seconds`: GPU share x seconds.
    `images_per_second`: mean over trials. `peak_memory_mib`: maximum over trials.
    """

    train_seconds: float
    evaluation_seconds: float
    core_seconds: float
    gpu_seconds: float
    images_per_second: float
    peak_memory_mib: float


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """One cell of the suite with everything that the report shows of it; `results` is keyed by metric output."""

    cell: Cell
    trials: tuple[TrialOutcome, ...]
    counts: SeedCounts
    results: dict[str, MetricResult]
    cost: TotalCost | None

    @property
    def table(self) -> str:
        """The title of the suite's table."""
        return self.cell.table

    @property
    def label(self) -> str:
        """The row's name in the suite."""
        return self.cell.row

    @property
    def spec(self) -> TrialSpec:
        """The trial of the first seed."""
        return self.cell.specs[0]

    @property
    def is_derived(self) -> bool:
        """Whether the method is implemented without code or full text of its paper."""
        return registry.methods[self.spec.method].basis == "derived-from-abstract"

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Metric output -> verdict."""
        return {key: result.verdict for key, result in self.results.items()}


def leaderboard_rows(suite: Suite, records: Mapping[str, TrialRecord]) -> list[LeaderboardRow]:
    """The rows in the suite's order. `records` maps trial id -> record; trials without one count as not run."""
    return [_row(suite, cell, records) for cell in suite.cells]


def rows_by_table(suite: Suite, rows: Iterable[LeaderboardRow]) -> dict[str, list[LeaderboardRow]]:
    """Table title -> its rows, in the suite's order; without the tables that have no rows."""
    grouped: dict[str, list[LeaderboardRow]] = {title: [] for title in suite.tables}
    for row in rows:
        grouped[row.table].append(row)
    return {title: members for title, members in grouped.items() if members}


def outputs_of(rows: Iterable[LeaderboardRow]) -> list["Output"]:
    """The metric outputs of some rows, each once, in the order of their first appearance."""
    return list({key: result.output for row in rows for key, result in row.results.items()}.values())


def headline_outputs(rows: Iterable[LeaderboardRow]) -> list["Output"]:
    """The outputs of some rows without details that have no published value: of the next task, or of single classes."""
    rows = list(rows)
    details = {key for row in rows for bound in bind_metrics(row.spec.protocol) for key in bound.detail_outputs}
    published = {key for row in rows for key, result in row.results.items() if result.published}
    return [output for output in outputs_of(rows) if output.key not in details - published]


def best_results(rows: Iterable[LeaderboardRow]) -> set[tuple[str, str]]:
    """(row label, metric output) of the best means of a table, compared as printed; all of several equal ones.

    Outputs that fewer than two rows have a value of, or by which methods are not ranked, have no best.
    """
    best: set[tuple[str, str]] = set()
    rows = list(rows)
    for output in (output for output in outputs_of(rows) if output.is_ranked):
        means = {
            row.label: round(result.aggregate.mean, output.decimals)
            for row in rows
            if (result := row.results.get(output.key)) and result.aggregate and result.aggregate.is_finite
        }
        if len(means) > 1:
            winner = max(means.values()) if output.better == "higher" else min(means.values())
            best |= {(label, output.key) for label, value in means.items() if value == winner}
    return best


def _row(suite: Suite, cell: Cell, records: Mapping[str, TrialRecord]) -> LeaderboardRow:
    trials = tuple(TrialOutcome(spec, records.get(spec.trial_id)) for spec in cell.specs)
    counts = _counts(trials)
    outputs = metric_outputs(cell.specs[0].protocol).values()
    return LeaderboardRow(
        cell=cell,
        trials=trials,
        counts=counts,
        results={output.key: _result(suite, cell, output, trials, counts) for output in outputs},
        cost=_total_cost([t.record.cost for t in trials if t.record and t.record.cost]),
    )


def _counts(trials: Iterable[TrialOutcome]) -> SeedCounts:
    statuses = [trial.status for trial in trials]
    return SeedCounts(*(statuses.count(status) for status in ("finished", "diverged", "failed", "not run")))


def _result(
    suite: Suite, cell: Cell, output: "Output", trials: tuple[TrialOutcome, ...], counts: SeedCounts
) -> MetricResult:
    """One metric of a cell, judged on all seeds or, if it has looks, by the first of them that decides."""
    if not cell.looks:
        return _judged_result(suite, cell, output, trials, counts)
    ended = sum(1 for _ in takewhile(lambda trial: trial.record, trials))
    for look in looks_taken(cell.looks, ended):
        size = look.seeds[-1]
        seen = trials[:size] + tuple(trial for trial in trials[size:] if trial.record)  # also those that diverged since
        result = _judged_result(suite, cell, output, trials[:size], _counts(seen), look)
        if result.verdict.is_decided:
            break
    return replace(result, aggregate=_last_evaluations(output.key, _finished(trials)))


def _judged_result(
    suite: Suite,
    cell: Cell,
    output: "Output",
    trials: tuple[TrialOutcome, ...],
    counts: SeedCounts,
    look: Look | None = None,
) -> MetricResult:
    records = _finished(trials)
    published = cell.published.value(output.key) if cell.published else None
    reference = _reference(suite, cell, output.key, published)
    rule = None if suite.is_reduced else reference
    judged, difference = _judged_value(output, records, rule), None
    if judged and reference:
        difference = difference_to_published(
            list(judged.trainings.values.values()),
            reference.value,
            reference.margin,
            reference.uncertainty if rule else EXACT,
            output.better,
            judged.instruments,
            look.share if look else 1.0,
        )
    verdict = judge(counts, difference, reference, output.better, suite.is_reduced)
    if look and not look.is_complete and verdict.is_decided:
        verdict = Verdict.INCONCLUSIVE
    return MetricResult(
        output=output,
        aggregate=_last_evaluations(output.key, records),
        published=published,
        reference=reference,
        verdict=verdict,
        judged=judged,
        rule=rule.rule if rule else "",
        difference=difference,
        look=look if rule else None,
    )


def _finished(trials: Iterable[TrialOutcome]) -> dict[int, TrialRecord]:
    """Seed -> record, for the trials that finished."""
    return {trial.spec.seed: trial.record for trial in trials if trial.record and trial.status == "finished"}


def _last_evaluations(key: str, records: Mapping[int, TrialRecord]) -> Aggregate | None:
    measured = {seed: record for seed, record in records.items() if key in record.metrics}
    values = {seed: record.metrics[key] for seed, record in measured.items()}
    draws = {seed: sample_std(values_over_draws(record, key)) for seed, record in measured.items()}
    return Aggregate(values, {seed: std for seed, std in draws.items() if std is not None}) if values else None


def _judged_value(output: "Output", records: Mapping[int, TrialRecord], rule: Reference | None) -> JudgedValue | None:
    """The measured side by a rule; without one, the mean of the last evaluations."""
    instruments = rule.instruments if rule else None
    outputs = instruments.outputs if instruments else (output.key,)
    values = training_values(records, outputs, rule.checkpoint if rule else "last", output.better)
    if not values:
        return None
    return JudgedValue(
        trainings=Aggregate(values),
        better=output.better,
        best_of=rule.uncertainty.best_of if rule else 1,
        instruments=instrument_noise(records, instruments),
    )


def values_over_draws(record: TrialRecord, key: str) -> list[float]:
    """The values of a metric over the draws of samples from the last checkpoint, the counted draw first."""
    return [draw[key] for draw in (record.metrics, *record.redraws) if key in draw]


def _reference(suite: Suite, cell: Cell, key: str, published: PublishedValue | None) -> Reference | None:
    if cell.published is None or published is None:
        return None
    protocol, spec = cell.published.protocol, cell.specs[0]
    return Reference(
        value=published.value,
        is_verified=published.status == "verified",
        mismatches=protocol_mismatches(cell.published, spec, key),
        tolerance=suite.tolerance.get(key),
        uncertainty=published_uncertainty(
            published.spread_kind, published.spread, published.n_seeds, protocol.aggregation
        ),
        checkpoint="best" if protocol.checkpoint == "best" else "last",
        evaluate_every=protocol.evaluate_every,
        instruments=judging_instruments(cell.published, spec, key),
    )


def _total_cost(costs: list[Cost]) -> TotalCost | None:
    if not costs:
        return None
    speeds = [cost.images_per_second for cost in costs if cost.images_per_second > 0]
    spent = [(cost, cost.train_seconds + cost.evaluation_seconds) for cost in costs]
    return TotalCost(
        train_seconds=sum(cost.train_seconds for cost in costs),
        evaluation_seconds=sum(cost.evaluation_seconds for cost in costs),
        core_seconds=sum(seconds * cost.cpus for cost, seconds in spent if not cost.gpus),
        gpu_seconds=sum(seconds * cost.gpus for cost, seconds in spent),
        images_per_second=sum(speeds) / len(speeds) if speeds else 0.0,
        peak_memory_mib=max(cost.peak_memory_mib for cost in costs),
    )
