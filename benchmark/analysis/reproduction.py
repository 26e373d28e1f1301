"""Does a second training of a trial give the numbers of the first? Two records in, a verdict out."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import stdev
from typing import Any, NamedTuple

from benchmark.analysis.aggregate import t_interval
from benchmark.core.protocol import metric_outputs
from benchmark.data.manifest import data_unchanged
from benchmark.store.diff import Change, diff_values, environment_values
from benchmark.store.records import TrialRecord

MIN_VALUES = 3  # for an estimate of the noise; the bound from two is so wide that it excludes hardly any difference


class ReproductionVerdict(StrEnum):
    """The verdicts of `reproduce`."""

    IDENTICAL = "bit-identical"
    WITHIN_NOISE = "within noise"
    DIFFERENT = "different"
    FAILED = "failed"


class NoiseEstimate(NamedTuple):
    """The bound on the difference of two trainings of one recipe, in the metric's unit, from n values of `source`."""

    bound: float
    source: str
    n: int


@dataclass(frozen=True)
class MetricDifference:
    """One metric of the last evaluation; None where a side has no value, or where the noise is not known."""

    key: str
    recorded: float | None
    again: float | None
    noise: NoiseEstimate | None

    @property
    def difference(self) -> float | None:
        """The new value minus the recorded one."""
        return None if self.recorded is None or self.again is None else self.again - self.recorded

    @property
    def is_within_noise(self) -> bool:
        """Whether chance explains the difference."""
        if self.recorded == self.again:
            return True
        return self.difference is not None and self.noise is not None and abs(self.difference) <= self.noise.bound


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A recorded trial and the same trial trained again.

    Of `n_compared` groups of numbers (the losses and the metrics of every evaluation, and every redraw) `n_identical`
    are bit-identical; `first_divergence` describes the first that is not. `environment_changes`: differences in
    environment, data and evaluation networks. `caveats`: what the records cannot show. `n_other_seeds`: other seeds in
    the store, from which the noise is estimated.
    """

    recorded: TrialRecord
    again: TrialRecord
    verdict: ReproductionVerdict
    metrics: tuple[MetricDifference, ...]
    n_identical: int
    n_compared: int
    first_divergence: str
    environment_changes: tuple[Change, ...]
    caveats: tuple[str, ...]
    n_other_seeds: int

    @property
    def reason(self) -> str:
        """The reason for the verdict, in a sentence."""
        if self.verdict is ReproductionVerdict.IDENTICAL:
            return "every evaluation, every loss and every redraw"
        if self.verdict is ReproductionVerdict.FAILED:
            return self.again.error
        if self.recorded.status != self.again.status:
            return f"recorded: {_ending(self.recorded)}; again: {_ending(self.again)}"
        if self.verdict is ReproductionVerdict.WITHIN_NOISE:
            sources = dict.fromkeys(f"{m.noise.source} ({m.noise.n})" for m in self.metrics if m.noise)
            return f"chance explains the difference in every metric, by {' and '.join(sources) or 'no difference'}"
        beyond = [metric for metric in self.metrics if not metric.is_within_noise]
        if not beyond:
            return "the trainings diverge, and there is no result to compare"
        names = ", ".join(metric.key for metric in beyond)
        if all(metric.noise for metric in beyond):
            return f"{names}: further apart than chance explains"
        return (
            f"{names}: the noise is not known: an estimate needs {MIN_VALUES} other seeds of the trial, and the store"
            f" has {self.n_other_seeds}; `run --seeds N` trains more"
        )

    def as_json(self) -> dict[str, Any]:
        """The content of `reproduce --json`."""
        return {
            "trial_id": self.recorded.trial_id,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "departure": self.first_divergence,
            "same": self.n_identical,
            "compared": self.n_compared,
            "metrics": {
                m.key: {
                    "recorded": m.recorded,
                    "again": m.again,
                    "difference": m.difference,
                    "within": m.is_within_noise,
                    "noise": m.noise and {"reach": m.noise.bound, "source": m.noise.source, "n": m.noise.n},
                }
                for m in self.metrics
            },
            "environment": [change._asdict() for change in self.environment_changes],
            "doubts": list(self.caveats),
        }


def judge_reproduction(recorded: TrialRecord, again: TrialRecord, store: Iterable[TrialRecord]) -> Reproduction:
    """Compare two trainings of one trial; the other seeds of the trial in `store` give the noise."""
    others = [record for record in store if is_other_seed(record, recorded)]
    metrics = tuple(
        MetricDifference(key, recorded.metrics.get(key), again.metrics.get(key), estimate_noise(key, again, others))
        for key in metric_outputs(recorded.spec.protocol)
    )
    ours, theirs = _numbers(recorded), _numbers(again)
    compared = ours | theirs
    divergences = [place for place in compared if ours.get(place) != theirs.get(place)]
    return Reproduction(
        recorded=recorded,
        again=again,
        verdict=_verdict(recorded, again, metrics, is_identical=not divergences),
        metrics=metrics,
        n_identical=len(compared) - len(divergences),
        n_compared=len(compared),
        first_divergence=_describe(divergences[0], ours, theirs) if divergences else "",
        environment_changes=tuple(diff_values(environment_values(recorded), environment_values(again))),
        caveats=tuple(_caveats(recorded, again)),
        n_other_seeds=len(others),
    )


def is_other_seed(record: TrialRecord, of: TrialRecord) -> bool:
    """Whether a record is of the same trial with another seed: finished, with the same data and evaluation networks."""
    return (
        record.status == "finished"
        and record.spec.seed != of.spec.seed
        and record.spec.cell_id == of.spec.cell_id
        and data_unchanged(record.data, of.data)
        and record.instruments == of.instruments
    )


def estimate_noise(key: str, again: TrialRecord, others: Iterable[TrialRecord]) -> NoiseEstimate | None:
    """The 95 % bound on the difference of two trainings in one metric; None with too few seeds and redraws.

    The difference of two independent trainings is normal with variance 2 sigma^2. With the sample standard deviation s
    of n other trainings, |difference| <= t(n - 1, 97.5 %) s sqrt(2) in 95 % of cases. Neither of the two compared
    trainings is among the n: a wrong record would widen the interval that is meant to expose it. Redraws are the second
    choice: they show only the sampling part of the noise.
    """
    trained = [record.metrics[key] for record in others if key in record.metrics]
    redrawn = [draw[key] for draw in again.redraws if key in draw]
    for values, source in ((trained, "other seeds"), (redrawn, "redraws of the samples")):
        if len(values) >= MIN_VALUES:
            bound = t_interval(0.0, stdev(values) * math.sqrt(2), len(values) - 1)[1]
            return NoiseEstimate(bound, source, len(values))
    return None


def _numbers(record: TrialRecord) -> dict[str, dict[str, float]]:
    """Place -> the numbers there, in the order of their computation."""
    numbers = {}
    for entry in record.history:
        numbers[f"losses before step {entry.step}"] = entry.losses
        numbers[f"metrics at step {entry.step}"] = entry.metrics
    return numbers | {f"redraw {draw}": values for draw, values in enumerate(record.redraws, 1)}


def _describe(place: str, ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> str:
    """The place of a divergence, with the numbers that differ there."""
    if place not in ours or place not in theirs:
        return f"{place}: only {'the new' if place in theirs else 'the recorded'} training got there"
    return f"{place}: {', '.join(map(str, diff_values(ours[place], theirs[place])))}"


def _verdict(
    recorded: TrialRecord, again: TrialRecord, metrics: Sequence[MetricDifference], is_identical: bool
) -> ReproductionVerdict:
    if again.status == "failed":
        return ReproductionVerdict.FAILED
    if recorded.status != again.status:
        return ReproductionVerdict.DIFFERENT
    if is_identical:
        return ReproductionVerdict.IDENTICAL
    is_within_noise = again.status == "finished" and all(metric.is_within_noise for metric in metrics)
    return ReproductionVerdict.WITHIN_NOISE if is_within_noise else ReproductionVerdict.DIFFERENT


def _ending(record: TrialRecord) -> str:
    return f"{record.status} ({record.error})" if record.error else record.status


def _caveats(recorded: TrialRecord, again: TrialRecord) -> Iterator[str]:
    """Limits of what the list of changes can explain."""
    sources = {str(record.environment.get("source", "unknown")) for record in (recorded, again)}
    if any(source.endswith("+changes") or source == "unknown" for source in sources):
        yield "source: with uncommitted changes, or outside git, the revision does not identify the code that ran"
    if recorded.instruments != again.instruments:
        yield "instruments: the evaluation networks differ, so metrics may differ although the trainings do not"
    threads, cores = (int(again.environment.get(name, 0)) for name in ("threads", "cores"))
    if threads > cores:
        yield f"threads: {threads}, as recorded, on {cores} cores here: slower, with no other effect"
