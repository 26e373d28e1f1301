"""The values of the trainings of a cell that a published value is compared with."""

import math
from collections.abc import Mapping
from statistics import mean, stdev
from typing import Literal, NamedTuple

from benchmark.analysis.aggregate import Direction
from benchmark.analysis.rules.difference import InstrumentNoise
from benchmark.core import registry
from benchmark.core.protocol import BoundMetric, bind_metrics, metric_of_output
from benchmark.core.spec import Protocol
from benchmark.store.records import Measurement, TrialRecord

Checkpoint = Literal["last", "best"]

MIN_INSTRUMENTS = 3  # whose spread stands for that of their population


class InstrumentSet(NamedTuple):
    """Outputs of a protocol that measure the same with one network each of a population, `title` in the plural."""

    title: str
    outputs: tuple[str, ...]

    @property
    def words(self) -> str:
        """`3 digit classifiers`."""
        return f"{len(self.outputs)} {self.title}"


def instruments_of(protocol: Protocol, key: str) -> InstrumentSet | None:
    """The instruments of output `key`, itself first; None for fewer than three.

    They are the measures that differ from that of `key` in their extractor alone, another of the same population.
    """
    bound = metric_of_output(protocol, key)
    title = _population(bound)
    if not title:
        return None
    index = [output.key for output in bound.outputs].index(key)
    alike = [other for other in bind_metrics(protocol) if _population(other) == title and _same(other, bound)]
    by_network = {other.options.extractor: other.outputs[index].key for other in (*alike, bound)}
    outputs = tuple(dict.fromkeys([key, *by_network.values()]))
    return InstrumentSet(title, outputs) if len(outputs) >= MIN_INSTRUMENTS else None


def _population(bound: BoundMetric) -> str:
    extractor = getattr(bound.options, "extractor", None)
    return registry.extractors[extractor].population if extractor else ""


def _same(a: BoundMetric, b: BoundMetric) -> bool:
    """Whether two measures agree in everything but the extractor."""
    options = [bound.options.model_dump(exclude={"extractor"}) for bound in (a, b)]
    return (
        a.metric is b.metric and options[0] == options[1] and (a.n_fake, a.measure.codec) == (b.n_fake, b.measure.codec)
    )


def training_values(
    records: Mapping[int, TrialRecord], outputs: tuple[str, ...], checkpoint: Checkpoint, better: Direction
) -> dict[int, float]:
    """Seed -> the value of its training: the last evaluation, or the best of all, each the mean over `outputs`.

    Trainings without one of the outputs are left out.
    """
    values = {}
    for seed, record in records.items():
        curve = [_mean_over(entry, outputs) for entry in record.history if entry.metrics.keys() >= {*outputs}]
        if not curve or not record.metrics.keys() >= {*outputs}:
            continue
        values[seed] = curve[-1] if checkpoint == "last" else best_of_curve(curve, better)
    return values


def best_of_curve(curve: list[float], better: Direction) -> float:
    """The best finite value; nan without one."""
    finite = list(filter(math.isfinite, curve))
    return (max(finite) if better == "higher" else min(finite)) if finite else math.nan


def instrument_noise(records: Mapping[int, TrialRecord], instruments: InstrumentSet | None) -> InstrumentNoise | None:
    """The spread between instruments of the same trainings, by their means of the last evaluations."""
    if instruments is None:
        return None
    last = [record.metrics for record in records.values() if record.metrics.keys() >= {*instruments.outputs}]
    if not last:
        return None
    means = [mean(metrics[key] for metrics in last) for key in instruments.outputs]
    return InstrumentNoise(stdev(means), len(means)) if all(map(math.isfinite, means)) else None


def _mean_over(entry: Measurement, outputs: tuple[str, ...]) -> float:
    values = [entry.metrics[key] for key in outputs]
    return values[0] if len(values) == 1 else mean(values)
