"""Verdicts: what may be said about a measured value beside a published one. Pure functions."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from benchmark.measures import measure_of
from benchmark.papers import Published
from benchmark.report.statistics import Interval
from benchmark.spec import TrialSpec

MIN_SEEDS = 3

CHECKPOINT = "last"


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


MEANINGS = {
    Verdict.REPRODUCED: "the 95 % t-interval of the measured mean lies within the tolerance around the"
    " published value, and every seed finished",
    Verdict.BETTER: "the 95 % t-interval of the measured mean lies beyond the tolerance around the published"
    " value, on the good side, and every seed finished",
    Verdict.WORSE: "the 95 % t-interval of the measured mean lies beyond the tolerance around the published"
    " value, on the bad side",
    Verdict.INCONCLUSIVE: f"fewer than {MIN_SEEDS} seeds, an interval that reaches across the edge of the"
    " tolerance, no stated tolerance, or a seed that is missing from a result that would otherwise be good",
    Verdict.NO_REFERENCE: "no value was published for this cell, or only one that is unverified or was"
    " measured under another protocol",
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
    """A published value, and what speaks against comparing with it. `tolerance` is relative, if stated."""

    value: float
    verified: bool
    mismatches: tuple[str, ...] = ()
    tolerance: float | None = None

    @property
    def band(self) -> Interval:
        """What still counts as the published value."""
        reach = abs(self.value) * (self.tolerance or 0.0)
        return self.value - reach, self.value + reach


def judge(
    counts: Counts,
    interval: Interval | None,
    reference: Reference | None,
    better: Literal["higher", "lower"],
    reduced: bool,
) -> Verdict:
    """The verdict on one metric of one cell. The first line that applies decides.

    1. No seed was run: `not run`.
    2. No seed finished: `diverged` when all that ran diverged, else `failed`.
    3. Nothing was published: `no matched reference`.
    4. The trials are smaller than the published recipe: `reduced scale`.
    5. The published value is unverified, or its protocol differs: `no matched reference`.
    6. Fewer than three seeds finished, or they gave no interval: `inconclusive`.
    7. The 95 % interval lies wholly beyond the tolerance on the bad side: `worse`.
    8. Some seed did not finish: `inconclusive`, because the seeds that are missing may be the bad ones.
    9. The interval lies wholly beyond the tolerance on the good side: `better`.
    10. The suite states a tolerance, and the interval lies wholly within it: `reproduced`.
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
    if counts.finished < MIN_SEEDS or interval is None:
        return Verdict.INCONCLUSIVE
    return _compared(interval, reference, better, counts.complete)


def _compared(interval: Interval, reference: Reference, better: Literal["higher", "lower"], complete: bool) -> Verdict:
    (low, high), (floor, ceiling) = interval, reference.band
    above, below = low > ceiling, high < floor
    good, bad = (above, below) if better == "higher" else (below, above)
    if bad:
        return Verdict.WORSE
    if not complete:
        return Verdict.INCONCLUSIVE
    if good:
        return Verdict.BETTER
    if reference.tolerance and floor <= low and high <= ceiling:
        return Verdict.REPRODUCED
    return Verdict.INCONCLUSIVE


def protocol_mismatches(published: Published, spec: TrialSpec, key: str) -> tuple[str, ...]:
    """Where the protocol that the source states differs from that of a number, in words; silence never differs."""
    stated, ours = published.protocol, measure_of(spec.protocol, key).stated
    pairs: tuple[tuple[str, object, object], ...] = (
        ("dataset", _folded(published.dataset), _folded(spec.dataset)),
        ("n_fake", stated.n_fake, ours["n_fake"]),
        ("codec", stated.codec, ours["codec"]),
        ("batch_norm", stated.batch_norm, spec.protocol.batch_norm),
        ("feature_extractor", stated.feature_extractor, ours["feature_extractor"]),
        ("checkpoint", stated.checkpoint, CHECKPOINT),
    )
    return tuple(
        f"{name}: published {theirs}, here {mine}"
        for name, theirs, mine in pairs
        if theirs is not None and theirs != mine
    )


def _folded(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
