"""Verdicts: what may be said about a measured value beside a published one. Pure functions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from benchmark.analysis.equivalence import FIXED, Difference, PublishedUncertainty
from benchmark.config.published import PublishedReference
from benchmark.core import registry
from benchmark.core.protocol import measure_of
from benchmark.core.spec import TrialSpec

MIN_SEEDS = 3

CHECKPOINT = "last"
AGGREGATION = "mean"  # over the trainings of a cell

# Where a source is silent about one of these, its number could be of quite another scale.
REQUIRED = frozenset({"n_fake", "n_real", "reference_split", "feature_extractor"})


class Verdict(StrEnum):
    """The words of the leaderboard."""

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
    " none is stated, beyond 0), on the good side, and every seed finished",
    Verdict.WORSE: "the 95 % interval of the difference to the published value lies beyond the tolerance (where"
    " none is stated, beyond 0), on the bad side",
    Verdict.INCONCLUSIVE: f"fewer than {MIN_SEEDS} seeds, an interval of the difference that reaches across the edge"
    " of the tolerance (where none is stated, across 0), or a seed that is missing from a result that would otherwise"
    " be good",
    Verdict.NO_REFERENCE: "no value was published for this cell, or only one that is unverified, or that was measured"
    " under another protocol, or under one that its source does not state",
    Verdict.REDUCED: "a value was published, but these trials are smaller than the published recipe, so they"
    " are not judged against it",
    Verdict.DIVERGED: "every seed that was run diverged",
    Verdict.FAILED: "no seed finished, and at least one stopped with an error",
    Verdict.NOT_RUN: "no seed has been run yet",
}


@dataclass(frozen=True)
class Counts:
    """How the seeds of a cell ended."""

    finished: int = 0
    diverged: int = 0
    failed: int = 0
    not_run: int = 0

    @property
    def total(self) -> int:
        """All seeds that the suite asks for."""
        return self.finished + self.diverged + self.failed + self.not_run

    @property
    def complete(self) -> bool:
        """Whether every seed finished."""
        return self.finished == self.total

    def __str__(self) -> str:
        if self.complete:
            return str(self.total)
        rest = ((self.diverged, "diverged"), (self.failed, "failed"), (self.not_run, "not run"))
        return "; ".join([f"{self.finished} of {self.total}", *(f"{count} {word}" for count, word in rest if count)])


@dataclass(frozen=True)
class Reference:
    """A published value, how well it is known, and what speaks against comparing with it.

    `tolerance` is relative, and stated by the suite before anything is measured; None: it states none.
    """

    value: float
    verified: bool
    mismatches: tuple[str, ...] = ()
    tolerance: float | None = None
    uncertainty: PublishedUncertainty = FIXED

    @property
    def margin(self) -> float | None:
        """How far from the published value still counts as it, in the metric's unit."""
        return None if self.tolerance is None else self.tolerance * abs(self.value)


def judge(
    counts: Counts,
    difference: Difference | None,
    reference: Reference | None,
    better: Literal["higher", "lower"],
    reduced: bool,
) -> Verdict:
    """The verdict on one metric of one cell, `difference` being measured - published. The first line decides.

    1. No seed was run: `not run`.
    2. No seed finished: `diverged` when all that ran diverged, else `failed`.
    3. Nothing was published: `no matched reference`.
    4. The trials are smaller than the published recipe: `reduced scale`.
    5. The published value is unverified, or its protocol differs or is not stated: `no matched reference`.
    6. Fewer than three seeds finished, or they gave no interval: `inconclusive`.
    7. The 95 % interval of the difference lies wholly beyond the tolerance on the bad side: `worse`.
    8. Some seed did not finish: `inconclusive`, because the seeds that are missing may be the bad ones.
    9. The 95 % interval lies wholly beyond the tolerance on the good side: `better`.
    10. The suite states a tolerance, and the 90 % interval lies wholly within it: `reproduced`.
    11. Else: `inconclusive`.
    """
    if counts.not_run == counts.total:
        return Verdict.NOT_RUN
    if not counts.finished:
        return Verdict.FAILED if counts.failed else Verdict.DIVERGED
    if reference is None:
        return Verdict.NO_REFERENCE
    if reduced:
        return Verdict.REDUCED
    if not reference.verified or reference.mismatches:
        return Verdict.NO_REFERENCE
    if counts.finished < MIN_SEEDS or difference is None:
        return Verdict.INCONCLUSIVE
    return _compared(difference, better, counts.complete)


def _compared(difference: Difference, better: Literal["higher", "lower"], complete: bool) -> Verdict:
    if difference.interval is None or difference.equivalence_interval is None:
        return Verdict.INCONCLUSIVE
    (low, high), margin = difference.interval, difference.margin or 0.0
    above, below = low > margin, high < -margin
    good, bad = (above, below) if better == "higher" else (below, above)
    if bad:
        return Verdict.WORSE
    if not complete:
        return Verdict.INCONCLUSIVE
    if good:
        return Verdict.BETTER
    if margin and -margin <= difference.equivalence_interval[0] and difference.equivalence_interval[1] <= margin:
        return Verdict.REPRODUCED
    return Verdict.INCONCLUSIVE


def mismatches(stated: Mapping[str, object], ours: Mapping[str, object], required: Collection[str]) -> tuple[str, ...]:
    """Where a source's protocol cannot be taken for ours, in words. None: not stated, or not fixed here.

    Every field that both state is compared. Of a `required` field that has a value here, silence counts as well.
    """
    found = []
    for name, here in ours.items():
        theirs = stated.get(name)
        if here is None:
            continue
        if theirs is None and name in required:
            found.append(f"{name}: not stated by the source")
        elif theirs is not None and theirs != here:
            found.append(f"{name}: published {theirs}, here {here}")
    return tuple(found)


def protocol_mismatches(published: PublishedReference, spec: TrialSpec, key: str) -> tuple[str, ...]:
    """Where the protocol of a published value cannot be taken for that of the trial's number `key`, in words."""
    measured = measure_of(spec.protocol, key).stated
    split, dataset = measured["reference_split"], registry.datasets[spec.dataset]
    ours = {
        "dataset": _folded(spec.dataset),
        "images": dataset.preprocessing or None,
        "aggregation": AGGREGATION,
        **measured,
        "reference_split": dataset.split_names.get(str(split), split),
        "batch_norm": spec.protocol.batch_norm,
        "checkpoint": CHECKPOINT,
    }
    if ours["reference_split"] and not ours["n_real"]:
        ours["n_real"] = "all of the split"  # how many that is, only the data could tell
    stated = {**published.protocol.model_dump(), "dataset": _folded(published.dataset)}
    return mismatches(stated, ours, REQUIRED)


def _folded(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
