"""What differences are made of: how far a number moves when only one thing changes.

That thing is the seed of a training, the draw of samples, or one entry of a measure (its codec, its extractor). Values
of different rows are never pooled as they are: only what they do within a row, or within a trial.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from statistics import mean, stdev
from typing import TYPE_CHECKING

from benchmark.analysis.aggregate import around, deviation
from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.core.protocol import BoundMetric, bind_metrics
from benchmark.store.diff import Change, diff_values
from benchmark.store.records import TrialRecord

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import Output, ReferenceLine

Key = tuple[str, int]  # the label of a measure, and which of its outputs


@dataclass(frozen=True)
class PooledNoise:
    """Values that differ by chance alone within each of their groups: seeds of a row, or draws of a trial."""

    groups: tuple[tuple[float, ...], ...]

    @property
    def counted(self) -> list[tuple[float, ...]]:
        """The groups that tell anything: of two values at least, and all of them numbers."""
        return [group for group in self.groups if len(group) > 1 and all(map(math.isfinite, group))]

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the pooled deviation."""
        return sum(len(group) - 1 for group in self.counted)

    @cached_property
    def deviation(self) -> float | None:
        """The pooled sample standard deviation: the root of the groups' mean variance, each weighted by its degrees of
        freedom. None where no group tells anything.
        """
        if not self.degrees:
            return None
        weighted = (math.sqrt(len(group) - 1) * stdev(group) for group in self.counted)
        return math.hypot(*weighted) / math.sqrt(self.degrees)

    @property
    def most(self) -> int:
        """How many values the largest group has."""
        return max(map(len, self.groups), default=0)


@dataclass(frozen=True)
class PairedShift:
    """Differences between two measures of the same samples, one per trial; at least one."""

    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean paired difference."""
        return mean(self.differences)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation of the differences; None for one trial."""
        return deviation(list(self.differences))

    @property
    def size(self) -> float:
        """Root mean square: how far the change moves a number, whichever way."""
        return math.hypot(*self.differences) / math.sqrt(len(self.differences))


@dataclass(frozen=True)
class MeasureVariant:
    """Two measures of one metric that differ in one entry. `change`: from `first` to `second`."""

    first: BoundMetric
    second: BoundMetric
    change: Change


@dataclass(frozen=True)
class NoiseSources:
    """What one output's differences are made of, in its unit.

    `drawing`: None for a metric that looks at no samples. `means`: of the rows whose trials all gave numbers. `shifts`:
    position of a variant of its measure -> what it does to this output; None where no trial has both numbers.
    """

    output: "Output"
    training: PooledNoise
    drawing: PooledNoise | None
    landmark: "ReferenceLine | None"
    means: tuple[float, ...]
    shifts: dict[int, PairedShift | None]

    @property
    def known(self) -> bool:
        """Whether any noise was measured, or the effect of any variant."""
        drawn = self.drawing.deviation if self.drawing else None
        return any(self.shifts.values()) or self.training.deviation is not None or drawn is not None

    @property
    def seeds(self) -> int:
        """The fewest seeds of a row that tells of the noise of training; 0 without one."""
        return min(map(len, self.training.counted), default=0)

    @property
    def resolution(self) -> float | None:
        """How far the means of two rows must lie apart to be told apart.

        That is the half-width of the 95 % t-interval of the difference of two means over `seeds` trainings each, from
        the pooled deviation. None where that is not known or 0: seeds that agree by chance resolve nothing.
        """
        spread = self.training.deviation
        if not spread:
            return None
        return around(0.0, spread * math.sqrt(2 / self.seeds), self.training.degrees)[1]


@dataclass
class ProtocolGroup:
    """Rows of one table that were measured alike; `measures`: label -> each measure that some of them have."""

    rows: list[LeaderboardRow]
    measures: dict[str, BoundMetric] = field(default_factory=dict)

    def takes(self, row: LeaderboardRow) -> bool:
        """Whether the numbers of a row mean the same as those of its rows."""
        first, own = self.rows[0].spec, {one.label: one for one in bind_metrics(row.spec.protocol)}
        return (
            first.dataset == row.spec.dataset
            and first.protocol.sample_batch == row.spec.protocol.sample_batch
            and first.protocol.batch_norm == row.spec.protocol.batch_norm
            and all(self.measures.get(label, one) == one for label, one in own.items())
        )

    def add(self, row: LeaderboardRow) -> None:
        """One more row."""
        self.rows.append(row)
        for one in bind_metrics(row.spec.protocol):
            self.measures.setdefault(one.label, one)

    @property
    def variants(self) -> list[MeasureVariant]:
        """All pairs of measures of one metric that differ in exactly one entry."""
        pairs = combinations(self.measures.values(), 2)
        changed = ((one, other, _changes(one, other)) for one, other in pairs)
        return [MeasureVariant(one, other, found[0]) for one, other, found in changed if len(found) == 1]

    @property
    def records(self) -> list[list[TrialRecord]]:
        """The finished trials of each row, and of two rows of the same trials once."""
        alike = {tuple(trial.spec.trial_id for trial in row.trials): row for row in self.rows}
        return [[t.record for t in row.trials if t.record and t.status == "finished"] for row in alike.values()]

    @property
    def sources(self) -> list[NoiseSources]:
        """One for each output of the measures that are no variants of an earlier one."""
        records, variants = self.records, self.variants
        heads = _heads(self.measures, variants)
        return [
            _sources(one, place, records, [v if heads[v.first.label] == one.label else None for v in variants])
            for one in self.measures.values()
            if heads[one.label] == one.label
            for place in range(len(one.outputs))
        ]


def parts(members: Iterable[LeaderboardRow]) -> list[ProtocolGroup]:
    """The rows of a table by what their numbers mean: one part, unless rows have protocols of their own."""
    found: list[ProtocolGroup] = []
    for row in members:
        part = next((part for part in found if part.takes(row)), None)
        if part is None:
            part = ProtocolGroup([])
            found.append(part)
        part.add(row)
    return found


def _changes(one: BoundMetric, other: BoundMetric) -> list[Change]:
    if one.measure.metric != other.measure.metric or len(one.outputs) != len(other.outputs):
        return []
    return diff_values(one.measure.model_dump(mode="json"), other.measure.model_dump(mode="json"))


def _heads(labels: Iterable[str], variants: Iterable[MeasureVariant]) -> dict[str, str]:
    """Label -> the earliest measure that it is a variant of, or a variant of a variant of, or itself."""
    heads = {label: label for label in labels}
    for variant in variants:  # in the order of the protocol: the head of the first is known
        if heads[variant.second.label] == variant.second.label:
            heads[variant.second.label] = heads[variant.first.label]
    return heads


def _sources(
    one: BoundMetric, place: int, records: Sequence[Sequence[TrialRecord]], variants: Sequence[MeasureVariant | None]
) -> NoiseSources:
    """`records`: of each row. `variants`: None in the place of what is a variant of other measures."""
    output = one.outputs[place]
    every = [record for row in records for record in row]
    seeds = tuple(tuple(r.metrics[output.key] for r in row if output.key in r.metrics) for row in records)
    draws = tuple(_draws(record, output.key) for record in every)
    return NoiseSources(
        output=output,
        training=PooledNoise(seeds),
        drawing=PooledNoise(draws) if one.metric.draws else None,
        landmark=one.landmarks.get(output.key),
        means=tuple(mean(values) for values in seeds if values and all(map(math.isfinite, values))),
        shifts={number: _shift(variant, place, every) for number, variant in enumerate(variants) if variant},
    )


def _draws(record: TrialRecord, key: str) -> tuple[float, ...]:
    return tuple(draw[key] for draw in (record.metrics, *record.redraws) if key in draw)


def _shift(variant: MeasureVariant, place: int, records: Iterable[TrialRecord]) -> PairedShift | None:
    """What the change does to an output, over the trials that have both numbers."""
    first, second = (one.outputs[place].key for one in (variant.first, variant.second))
    found = tuple(_paired(records, first, second))
    return PairedShift(found) if found else None


def _paired(records: Iterable[TrialRecord], first: str, second: str) -> Iterator[float]:
    for record in records:
        difference = record.metrics.get(second, math.nan) - record.metrics.get(first, math.nan)
        if math.isfinite(difference):
            yield difference
