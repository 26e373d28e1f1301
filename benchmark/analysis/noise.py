"""Sources of noise: how far a metric moves when only one thing changes.

The one thing is the training seed, the draw of samples, or a single entry of a measure, such as its codec or its
extractor. Values are pooled over rows as deviations within a row or within a trial, never as they are.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import mean, stdev
from typing import TYPE_CHECKING, NamedTuple

from benchmark.analysis.aggregate import sample_std, t_interval
from benchmark.analysis.leaderboard import LeaderboardRow, values_over_draws
from benchmark.core.protocol import BoundMetric, bind_metrics
from benchmark.store.diff import diff_values
from benchmark.store.records import TrialRecord

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import Output, ReferenceLine


@dataclass(frozen=True)
class PooledNoise:
    """Groups of values that differ by chance alone: the seeds of a row, or the draws of a trial."""

    groups: tuple[tuple[float, ...], ...]

    @property
    def usable_groups(self) -> list[tuple[float, ...]]:
        """The groups of at least two values, all of them finite."""
        return [group for group in self.groups if len(group) > 1 and all(map(math.isfinite, group))]

    @property
    def degrees_of_freedom(self) -> int:
        """Degrees of freedom of the pooled standard deviation: sum of (n_g - 1) over the usable groups g."""
        return sum(len(group) - 1 for group in self.usable_groups)

    @cached_property
    def std(self) -> float | None:
        """The pooled standard deviation, sqrt(sum (n_g - 1) s_g^2 / sum (n_g - 1)); None without a usable group."""
        if not self.degrees_of_freedom:
            return None
        weighted = (math.sqrt(len(group) - 1) * stdev(group) for group in self.usable_groups)
        return math.hypot(*weighted) / math.sqrt(self.degrees_of_freedom)


@dataclass(frozen=True)
class PairedShift:
    """Differences between two measures of the same samples, one per trial; at least one."""

    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean paired difference."""
        return mean(self.differences)

    @property
    def std(self) -> float | None:
        """The sample standard deviation of the differences; None for one trial."""
        return sample_std(self.differences)

    @property
    def rms(self) -> float:
        """Root mean square of the differences: the size of the shift, whatever its sign."""
        return math.hypot(*self.differences) / math.sqrt(len(self.differences))


class MeasureVariant(NamedTuple):
    """Two measures of one metric, by their labels, that differ in one entry: `key` has value `before`, then `after`."""

    first: str
    second: str
    key: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class NoiseSources:
    """The sources of noise of one metric output, in its unit.

    `sampling`: None for a metric that uses no samples. `row_means`: of the rows whose trials are all finite. `shifts`:
    the effect of each variant of the output's measure; None where no trial has both values.
    """

    output: "Output"
    training: PooledNoise
    sampling: PooledNoise | None = None
    reference_line: "ReferenceLine | None" = None
    row_means: tuple[float, ...] = ()
    shifts: Mapping[MeasureVariant, PairedShift | None]

    @property
    def sampling_std(self) -> float | None:
        """The pooled standard deviation over draws of samples; None where it is not known."""
        return self.sampling.std if self.sampling else None

    @property
    def is_known(self) -> bool:
        """Whether any noise, or the effect of any variant, was measured."""
        return any(self.shifts.values()) or self.training.std is not None or self.sampling_std is not None

    @property
    def seeds(self) -> int:
        """The fewest seeds of a row that counts in the noise of training; 0 without one."""
        return min(map(len, self.training.usable_groups), default=0)

    @property
    def minimum_detectable_difference(self) -> float | None:
        """The smallest difference between the means of two rows that is significant at 5 %, two-sided.

        t(df, 97.5 %) s sqrt(2 / n), with the pooled standard deviation s, its degrees of freedom df, and n = `seeds`
        trainings of each row: Fisher's least significant difference. None where s is unknown or 0.
        """
        if not self.training.std:
            return None
        standard_error = self.training.std * math.sqrt(2 / self.seeds)
        return t_interval(0.0, standard_error, self.training.degrees_of_freedom)[1]


@dataclass(frozen=True)
class NoiseGroup:
    """Rows of a table under one protocol, the variants among their measures, and the noise of each output."""

    rows: list[LeaderboardRow]
    variants: list[MeasureVariant]
    sources: list[NoiseSources]


def noise_groups(rows: Iterable[LeaderboardRow]) -> list[NoiseGroup]:
    """The noise of a table's rows: one group, unless rows differ in dataset, batch norm, or a shared measure."""
    groups: list[tuple[list[LeaderboardRow], dict[str, BoundMetric]]] = []
    for row in rows:
        own = {bound.label: bound for bound in bind_metrics(row.spec.protocol)}
        for members, measures in groups:
            shared = all(measures.get(label, bound) == bound for label, bound in own.items())
            if shared and _conditions(members[0]) == _conditions(row):
                members.append(row)
                measures |= own
                break
        else:
            groups.append(([row], own))
    return [_noise_group(members, measures) for members, measures in groups]


def _conditions(row: LeaderboardRow) -> tuple[object, ...]:
    """Settings that all rows of a group share."""
    return row.spec.dataset, row.spec.protocol.sample_batch, row.spec.protocol.batch_norm


def _noise_group(rows: list[LeaderboardRow], measures: dict[str, BoundMetric]) -> NoiseGroup:
    """Each measure that is no variant of an earlier one has its own sources; its variants are shifts of it."""
    variants = [v for a, b in combinations(measures.values(), 2) if (v := _variant(a, b))]
    base = {label: label for label in measures}  # label -> the earliest measure it is a variant of, directly or not
    for variant in variants:  # in the protocol's order, so that the base of `first` is final
        if base[variant.second] == variant.second:
            base[variant.second] = base[variant.first]
    rows_by_trials = {tuple(trial.spec.trial_id for trial in row.trials): row for row in rows}  # equal rows count once
    records = [[t.record for t in row.trials if t.record and t.status == "finished"] for row in rows_by_trials.values()]
    sources = [
        _sources(label, index, measures, records, [v for v in variants if base[v.first] == label])
        for label, bound in measures.items()
        if base[label] == label
        for index in range(len(bound.outputs))
    ]
    return NoiseGroup(rows, variants, sources)


def _variant(first: BoundMetric, second: BoundMetric) -> MeasureVariant | None:
    """The variant that two measures are, or None if they differ in more than one entry or are of two metrics."""
    if first.measure.metric != second.measure.metric or len(first.outputs) != len(second.outputs):
        return None
    changes = diff_values(first.measure.model_dump(mode="json"), second.measure.model_dump(mode="json"))
    return MeasureVariant(first.label, second.label, *changes[0]) if len(changes) == 1 else None


def _sources(
    label: str,
    index: int,
    measures: Mapping[str, BoundMetric],
    records: Sequence[Sequence[TrialRecord]],
    variants: Iterable[MeasureVariant],
) -> NoiseSources:
    """The noise of output number `index` of a measure; `records` are the finished trials of each row."""
    bound = measures[label]
    output = bound.outputs[index]
    trials = [record for row in records for record in row]
    by_row = tuple(tuple(r.metrics[output.key] for r in row if output.key in r.metrics) for row in records)
    by_trial = tuple(tuple(values_over_draws(record, output.key)) for record in trials)
    keys = {v: (measures[v.first].outputs[index].key, measures[v.second].outputs[index].key) for v in variants}
    return NoiseSources(
        output=output,
        training=PooledNoise(by_row),
        sampling=PooledNoise(by_trial) if bound.metric.needs_samples else None,
        reference_line=bound.reference_lines.get(output.key),
        row_means=tuple(mean(values) for values in by_row if values and all(map(math.isfinite, values))),
        shifts={variant: _shift(trials, *pair) for variant, pair in keys.items()},
    )


def _shift(records: Iterable[TrialRecord], first: str, second: str) -> PairedShift | None:
    """The paired differences over the trials that have both outputs, or None without any."""
    pairs = ((r.metrics.get(first, math.nan), r.metrics.get(second, math.nan)) for r in records)
    differences = tuple(b - a for a, b in pairs if math.isfinite(b - a))
    return PairedShift(differences) if differences else None
