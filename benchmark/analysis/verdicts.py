"""Verdicts on measured values compared with published ones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from benchmark.analysis.equivalence import FIXED, Difference, PublishedUncertainty
from benchmark.config.published import PublishedReference
from benchmark.core import registry
from benchmark.core.protocol import metric_of_output
from benchmark.core.spec import TrialSpec

MIN_SEEDS = 3

CHECKPOINT = "last"
AGGREGATION = "mean"  # over the trainings of a cell


class Verdict(StrEnum):
    """The verdicts of the leaderboard."""

    REPRODUCED = "reproduced"
    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    NO_REFERENCE = "no matched reference"
    REDUCED = "reduced scale"
    DIVERGED = "diverged"
    FAILED = "failed"
    NOT_RUN = "not run"


VERDICT_MEANINGS = {
    Verdict.REPRODUCED: "equivalent to the published value: the 90 % interval of the difference lies within the"
    " tolerance (two one-sided t-tests at 5 % each), and every seed finished",
    Verdict.BETTER: "the 95 % interval of the difference to the published value lies beyond the tolerance (where"
    " none is stated, beyond 0), on the better side, and every seed finished",
    Verdict.WORSE: "the 95 % interval of the difference to the published value lies beyond the tolerance (where"
    " none is stated, beyond 0), on the worse side",
    Verdict.INCONCLUSIVE: f"fewer than {MIN_SEEDS} seeds, an interval of the difference that contains the edge of"
    " the tolerance (where none is stated, 0), or a seed missing from a result that would otherwise be positive",
    Verdict.NO_REFERENCE: "no value was published for this cell, or only one that is unverified, that was measured"
    " under another protocol, or whose source does not state its protocol",
    Verdict.REDUCED: "a value was published, but these trials are smaller than the published recipe, so they"
    " are not compared with it",
    Verdict.DIVERGED: "every seed that was run diverged",
    Verdict.FAILED: "no seed finished, and at least one stopped with an error",
    Verdict.NOT_RUN: "no seed has run yet",
}


@dataclass(frozen=True)
class SeedCounts:
    """The number of seeds of a cell by how they ended."""

    finished: int = 0
    diverged: int = 0
    failed: int = 0
    not_run: int = 0

    @property
    def total(self) -> int:
        """The number of seeds of the suite."""
        return self.finished + self.diverged + self.failed + self.not_run

    @property
    def is_complete(self) -> bool:
        """Whether every seed finished."""
        return self.finished == self.total

    def __str__(self) -> str:
        if self.is_complete:
            return str(self.total)
        rest = ((self.diverged, "diverged"), (self.failed, "failed"), (self.not_run, "not run"))
        return "; ".join([f"{self.finished} of {self.total}", *(f"{count} {word}" for count, word in rest if count)])


@dataclass(frozen=True)
class Reference:
    """A published value, its uncertainty, and the reasons not to compare with it.

    `tolerance`: relative, stated by the suite before anything is measured; None: the suite states none.
    """

    value: float
    is_verified: bool
    mismatches: tuple[str, ...] = ()
    tolerance: float | None = None
    uncertainty: PublishedUncertainty = FIXED

    @property
    def is_comparable(self) -> bool:
        """Whether the value may be compared with the measured one: verified, and of the same protocol."""
        return self.is_verified and not self.mismatches

    @property
    def margin(self) -> float | None:
        """The half-width of the tolerance, in the metric's unit."""
        return None if self.tolerance is None else self.tolerance * abs(self.value)


def judge(
    counts: SeedCounts,
    difference: Difference | None,
    reference: Reference | None,
    better: Literal["higher", "lower"],
    is_reduced: bool,
) -> Verdict:
    """The verdict on one metric of one cell, with `difference` = measured - published. The first rule that applies:

    1. No seed ran: `not run`.
    2. No seed finished: `diverged` if all that ran diverged, else `failed`.
    3. Nothing was published: `no matched reference`.
    4. The trials are smaller than the published recipe: `reduced scale`.
    5. The published value is unverified, or its protocol differs or is unknown: `no matched reference`.
    6. Fewer than three seeds finished, or there is no interval: `inconclusive`.
    7. The 95 % interval of the difference lies beyond the tolerance on the worse side: `worse`.
    8. Some seed did not finish: `inconclusive`, because the missing seeds may be the worse ones.
    9. The 95 % interval lies beyond the tolerance on the better side: `better`.
    10. The suite states a tolerance, and the 90 % interval lies within it: `reproduced`.
    11. Otherwise: `inconclusive`.
    """
    if counts.not_run == counts.total:
        return Verdict.NOT_RUN
    if not counts.finished:
        return Verdict.FAILED if counts.failed else Verdict.DIVERGED
    if reference is None:
        return Verdict.NO_REFERENCE
    if is_reduced:
        return Verdict.REDUCED
    if not reference.is_comparable:
        return Verdict.NO_REFERENCE
    if counts.finished < MIN_SEEDS or difference is None:
        return Verdict.INCONCLUSIVE
    return _verdict_on(difference, better, counts.is_complete)


def _verdict_on(difference: Difference, better: Literal["higher", "lower"], is_complete: bool) -> Verdict:
    if difference.interval is None or difference.equivalence_interval is None:
        return Verdict.INCONCLUSIVE
    (low, high), margin = difference.interval, difference.margin or 0.0
    above, below = low > margin, high < -margin
    good, bad = (above, below) if better == "higher" else (below, above)
    if bad:
        return Verdict.WORSE
    if not is_complete:
        return Verdict.INCONCLUSIVE
    if good:
        return Verdict.BETTER
    if margin and -margin <= difference.equivalence_interval[0] and difference.equivalence_interval[1] <= margin:
        return Verdict.REPRODUCED
    return Verdict.INCONCLUSIVE


def mismatches(stated: Mapping[str, object], ours: Mapping[str, object], required: Collection[str]) -> tuple[str, ...]:
    """Differences between a source's protocol and ours, in words. None: not stated, or not fixed here.

    Fields that both state are compared. A `required` field that is fixed here must also be stated.
    """
    reasons = []
    for name, here in ours.items():
        theirs = stated.get(name)
        if here is None:
            continue
        if theirs is None and name in required:
            reasons.append(f"{name}: not stated by the source")
        elif theirs is not None and theirs != here:
            reasons.append(f"{name}: published {theirs}, here {here}")
    return tuple(reasons)


def protocol_mismatches(published: PublishedReference, spec: TrialSpec, key: str) -> tuple[str, ...]:
    """Differences between the protocol of a published value and that of the trial's metric output `key`, in words."""
    bound, dataset = metric_of_output(spec.protocol, key), registry.datasets[spec.dataset]
    measured = bound.protocol_fields
    if split := measured.get("reference_split"):
        measured["reference_split"] = dataset.split_names.get(str(split), split)
    ours = {
        "dataset": _normalised(spec.dataset),
        "images": dataset.preprocessing or None,
        "aggregation": None if published.protocol.aggregation == "single" else AGGREGATION,
        **measured,
        "batch_norm": spec.protocol.batch_norm,
        "checkpoint": CHECKPOINT,
    }
    stated = {**published.protocol.model_dump(), "dataset": _normalised(published.dataset)}
    return mismatches(stated, ours, bound.metric.required_fields)


def _normalised(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
