"""Whether a second training of one trial gave the numbers of the first. Pure: two records in, a verdict out."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from statistics import stdev
from typing import Any, NamedTuple

from benchmark.analysis.aggregate import t_interval
from benchmark.core.protocol import metric_outputs
from benchmark.data.manifest import data_unchanged
from benchmark.store.diff import Change, diff_values, environment_values
from benchmark.store.records import TrialRecord

MIN_VALUES = 3  # a spread over fewer allows almost any difference


class ReproductionVerdict(StrEnum):
    """The words of `reproduce`."""

    IDENTICAL = "the same to the bit"
    WITHIN_NOISE = "within noise"
    DIFFERENT = "different"
    FAILED = "failed"


class NoiseEstimate(NamedTuple):
    """How far two trainings of one recipe may lie apart by chance, in the metric's unit; from n values of `source`."""

    bound: float
    source: str
    n: int


@dataclass(frozen=True)
class MetricDifference:
    """One metric of the last measurement; None where a side does not have it, or the noise is not known."""

    key: str
    recorded: float | None
    again: float | None
    noise: NoiseEstimate | None

    @property
    def difference(self) -> float | None:
        """Again minus recorded."""
        return None if self.recorded is None or self.again is None else self.again - self.recorded

    @property
    def is_within_noise(self) -> bool:
        """Whether chance explains the difference."""
        if self.recorded == self.again:
            return True
        return self.difference is not None and self.noise is not None and abs(self.difference) <= self.noise.bound


@dataclass(frozen=True)
class Reproduction:
    """A recorded trial beside the same trial trained again.

    Of `n_compared` groups of numbers (the losses and the metrics of every measurement, and every redraw) `n_identical`
    are bit-identical; `first_divergence` describes the first that is not. `environment_changes`: differences in
    environment, data and evaluation networks. `caveats`: what the records cannot show. `n_other_seeds`: number of other
    seeds that the store has for an estimate of the noise.
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
        """Why the verdict is what it is, in a sentence."""
        if self.verdict is ReproductionVerdict.IDENTICAL:
            return "every measurement, every loss and every redraw"
        if self.verdict is ReproductionVerdict.FAILED:
            return self.again.error
        if self.recorded.status != self.again.status:
            return f"recorded: {_ended(self.recorded)}; again: {_ended(self.again)}"
        if self.verdict is ReproductionVerdict.WITHIN_NOISE:
            sources = dict.fromkeys(f"{f.noise.source} ({f.noise.n})" for f in self.metrics if f.noise)
            return (
                f"every metric is as near as chance brings two trainings, by {' and '.join(sources) or 'no difference'}"
            )
        beyond = [f for f in self.metrics if not f.is_within_noise]
        if not beyond:
            return "the trainings part, and there is no result to compare"
        names = ", ".join(f.key for f in beyond)
        if all(f.noise for f in beyond):
            return f"{names}: further apart than chance brings two trainings"
        return (
            f"{names}: how much noise there is is not known: of other seeds of it {self.n_other_seeds} are in the"
            f" store, and {MIN_VALUES} are needed; `run --seeds N` trains more"
        )

    def as_json(self) -> dict[str, Any]:
        """For scripts: `reproduce --json`."""
        return {
            "trial_id": self.recorded.trial_id,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "departure": self.first_divergence,
            "same": self.n_identical,
            "compared": self.n_compared,
            "metrics": {
                f.key: {
                    "recorded": f.recorded,
                    "again": f.again,
                    "difference": f.difference,
                    "within": f.is_within_noise,
                    "noise": {"reach": f.noise.bound, "source": f.noise.source, "n": f.noise.n} if f.noise else None,
                }
                for f in self.metrics
            },
            "environment": [change._asdict() for change in self.environment_changes],
            "doubts": list(self.caveats),
        }


def judge_reproduction(recorded: TrialRecord, again: TrialRecord, store: Iterable[TrialRecord]) -> Reproduction:
    """Set two trainings of one trial side by side; `store` is searched for other seeds of it."""
    others = [record for record in store if is_other_seed(record, recorded)]
    findings = tuple(
        MetricDifference(key, recorded.metrics.get(key), again.metrics.get(key), noise(key, again, others))
        for key in metric_outputs(recorded.spec.protocol)
    )
    ours, theirs = _numbers(recorded), _numbers(again)
    both = ours | theirs
    parted = [where for where in both if ours.get(where) != theirs.get(where)]
    return Reproduction(
        recorded=recorded,
        again=again,
        verdict=_verdict(recorded, again, findings, bool(parted)),
        metrics=findings,
        n_identical=len(both) - len(parted),
        n_compared=len(both),
        first_divergence=_told(parted[0], ours, theirs) if parted else "",
        environment_changes=tuple(diff_values(environment_values(recorded), environment_values(again))),
        caveats=tuple(_caveats(recorded, again)),
        n_other_seeds=len(others),
    )


def is_other_seed(record: TrialRecord, of: TrialRecord) -> bool:
    """Whether a record is of the same trial with another seed: finished, on the same data, by the same instruments."""
    return (
        record.status == "finished"
        and record.spec.seed != of.spec.seed
        and record.spec.cell_id == of.spec.cell_id
        and data_unchanged(record.data, of.data)
        and record.instruments == of.instruments
    )


def noise(key: str, again: TrialRecord, others: Iterable[TrialRecord]) -> NoiseEstimate | None:
    """How far chance may bring two trainings apart in one metric; None when neither seeds nor redraws tell.

    Two independent trainings differ by a normal variable of variance 2 sigma^2. With s, the sample standard deviation
    of n other trainings, as sigma, |difference| <= t(n - 1, 97.5 %) s sqrt(2) holds in 95 % of all cases. Neither of
    the two compared trainings is among the n: a wrong record would widen the very interval that is to find it out.
    Redraws show the noise of drawing samples alone, which is less.
    """
    trained = [record.metrics[key] for record in others if key in record.metrics]
    drawn = [draw[key] for draw in again.redraws if key in draw]
    for values, source in ((trained, "other seeds"), (drawn, "redraws of the samples")):
        if len(values) >= MIN_VALUES:
            return NoiseEstimate(_bound(values), source, len(values))
    return None


def _bound(values: list[float]) -> float:
    return t_interval(0.0, stdev(values) * math.sqrt(2), len(values) - 1)[1]


def _numbers(record: TrialRecord) -> dict[str, dict[str, float]]:
    """Place -> the numbers there, in the order in which they were made."""
    found = {}
    for entry in record.history:
        found[f"losses before step {entry.step}"] = entry.losses
        found[f"metrics at step {entry.step}"] = entry.metrics
    return found | {f"redraw {draw}": values for draw, values in enumerate(record.redraws, 1)}


def _told(where: str, ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> str:
    """Where the trainings part first, with the numbers that differ there."""
    if where not in ours or where not in theirs:
        return f"{where}: only {'the new' if where in theirs else 'the recorded'} training got there"
    return f"{where}: {', '.join(map(str, diff_values(ours[where], theirs[where])))}"


def _verdict(
    recorded: TrialRecord, again: TrialRecord, findings: tuple[MetricDifference, ...], parted: bool
) -> ReproductionVerdict:
    if again.status == "failed":
        return ReproductionVerdict.FAILED
    if recorded.status != again.status:
        return ReproductionVerdict.DIFFERENT
    if not parted:
        return ReproductionVerdict.IDENTICAL
    near = again.status == "finished" and all(finding.is_within_noise for finding in findings)
    return ReproductionVerdict.WITHIN_NOISE if near else ReproductionVerdict.DIFFERENT


def _ended(record: TrialRecord) -> str:
    return f"{record.status} ({record.error})" if record.error else record.status


def _caveats(recorded: TrialRecord, again: TrialRecord) -> Iterator[str]:
    """What a reader must know before blaming anything in the list of changes."""
    sources = {str(record.environment.get("source", "unknown")) for record in (recorded, again)}
    if any(source.endswith("+changes") or source == "unknown" for source in sources):
        yield "source: with uncommitted changes, or outside git, the revision does not tell which code ran"
    if recorded.instruments != again.instruments:
        yield "instruments: not the same ones measured, so the metrics may differ though the training does not"
    threads, cores = (int(again.environment.get(name, 0)) for name in ("threads", "cores"))
    if threads > cores:
        yield f"threads: {threads}, as recorded, on {cores} cores here: slower, and otherwise no difference"
