"""Verdicts on measured values compared with published ones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.aggregate import Direction, Floats
from benchmark.analysis.rules.difference import Difference
from benchmark.analysis.rules.selection import Checkpoint, InstrumentSet, instruments_of
from benchmark.analysis.rules.uncertainty import EXACT, PublishedUncertainty
from benchmark.config.published import PublishedReference
from benchmark.core import registry
from benchmark.core.protocol import metric_of_output
from benchmark.core.spec import TrialSpec

MIN_SEEDS = 3


class Verdict(StrEnum):
    """The verdicts of the leaderboard."""

    REPRODUCED = "reproduced"
    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"
    NO_REFERENCE = "no matched reference"
    REDUCED = "reduced scale"
    DIVERGED = "diverged"
    FAILED = "failed"
    NOT_RUN = "not run"

    @property
    def is_decided(self) -> bool:
        """Whether it answers the question if the published value holds."""
        return self in (Verdict.REPRODUCED, Verdict.BETTER, Verdict.WORSE, Verdict.DIFFERENT)


VERDICT_MEANINGS = {
    Verdict.REPRODUCED: "equivalent to the published value, or to that in theory: the 90 % interval of the difference"
    " lies within the tolerance (two one-sided tests at 5 % each), and every seed finished",
    Verdict.BETTER: "the 95 % interval of the difference to the published value lies beyond the tolerance (where"
    " none is stated, beyond 0), on the better side, and every seed finished",
    Verdict.WORSE: "the 95 % interval of the difference to the published value lies beyond the tolerance (where"
    " none is stated, beyond 0), on the worse side",
    Verdict.DIFFERENT: "the 95 % interval of the difference to the value in theory lies beyond the tolerance (where"
    " none is stated, beyond 0), on either side, and every seed finished",
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
    """A published value, the rule by which it is judged, and the reasons not to compare with it.

    `tolerance`: relative, stated by the suite before anything is measured; None: the suite states none. `checkpoint`:
    the evaluation of each training that counts; for `best`, `evaluate_every` is the number of steps between those among
    which the best is selected. `instruments`: over which measured values are means; None for a single one.
    """

    value: float
    is_verified: bool
    mismatches: tuple[str, ...] = ()
    tolerance: float | None = None
    uncertainty: PublishedUncertainty = EXACT
    checkpoint: Checkpoint = "last"
    evaluate_every: int | None = None
    instruments: InstrumentSet | None = None

    @property
    def is_comparable(self) -> bool:
        """Whether the value may be compared with the measured one: verified, and of the same protocol."""
        return self.is_verified and not self.mismatches

    @property
    def margin(self) -> float | None:
        """The half-width of the tolerance, in the metric's unit."""
        return None if self.tolerance is None else self.tolerance * abs(self.value)

    @property
    def is_plain(self) -> bool:
        """Whether the measured side is the mean of the last evaluations by one instrument."""
        return self.checkpoint == "last" and self.uncertainty.best_of == 1 and self.instruments is None

    @property
    def rule(self) -> str:
        """The rule in a few words, `mean` for the equivalence of means of last evaluations."""
        parts = [f"best over training{self._grid}"] if self.checkpoint == "best" else []
        parts += [self.instruments.words] if self.instruments else []
        if self.uncertainty.best_of > 1:
            parts.append(f"expected best of {self.uncertainty.best_of}")
        elif self.uncertainty.is_theory:
            parts.append("mean against an exact value")
        else:
            parts.append("prediction interval for one published training" if self.uncertainty.is_single else "mean")
        return "; ".join(parts)

    @property
    def rule_notes(self) -> tuple[str, ...]:
        """What the rule means, a phrase for each of its parts that is not the plain mean of last evaluations."""
        notes = []
        if self.checkpoint == "best":
            notes.append(f"best over training: each training counts with the best of its evaluations{self._grid}")
        if self.instruments:
            notes.append(
                f"{self.instruments.words}: each training counts with their mean. The classifier of the paper counts as"
                " one more of them, so the spread between ours is a variance component of the interval, with"
                f" {len(self.instruments.outputs) - 1} degrees of freedom"
            )
        return (*notes, self.uncertainty.basis)

    @property
    def _grid(self) -> str:
        return f", every {self.evaluate_every:,} steps" if self.evaluate_every else ""


def judge(
    counts: SeedCounts,
    difference: Difference | None,
    reference: Reference | None,
    better: Direction,
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

    Neither side of a value in theory is better: where `better` or `worse` would apply to a complete cell, the verdict
    is `different`.
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
    if difference.interval is None or difference.equivalence_interval is None:
        return Verdict.INCONCLUSIVE
    found = verdicts_on(difference.interval, difference.equivalence_interval, difference.margin, better)
    verdict = Verdict(str(found))
    if reference.uncertainty.is_theory and verdict in (Verdict.BETTER, Verdict.WORSE):
        verdict = Verdict.DIFFERENT
    return verdict if counts.is_complete or verdict is Verdict.WORSE else Verdict.INCONCLUSIVE


def verdicts_on(
    interval: tuple[Any, Any], equivalence_interval: tuple[Any, Any], margin: float | Floats | None, better: Direction
) -> NDArray[np.str_]:
    """Rules 7 to 11 of `judge` for a complete cell, or for arrays of cells: `worse`, `better`, `reproduced` or
    `inconclusive`.

    Args:
        interval: the ends of the interval of the difference that decides `better` and `worse`.
        equivalence_interval: the ends of the one that decides `reproduced`.
        margin: the half-width of the tolerance; None without one.
        better: the direction of the metric.
    """
    edge = 0.0 if margin is None else margin
    above, below = np.greater(interval[0], edge), np.less(interval[1], np.negative(edge))
    good, bad = (above, below) if better == "higher" else (below, above)
    within = np.less_equal(np.negative(edge), equivalence_interval[0]) & np.less_equal(equivalence_interval[1], edge)
    choices = [(bad, Verdict.WORSE), (good, Verdict.BETTER), (within & np.greater(edge, 0), Verdict.REPRODUCED)]
    conditions, words = zip(*choices, strict=True)
    return np.select(conditions, [word.value for word in words], Verdict.INCONCLUSIVE.value)


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
    """Differences between the protocol of a published value and that of the trial's metric output `key`, in words.

    The aggregation over trainings is no difference, since the measured side follows it. A best over training needs the
    same evaluations here as there. The extractor is none of a value that is read with several of its population. A
    theory need not state a protocol.
    """
    bound, dataset = metric_of_output(spec.protocol, key), registry.datasets[spec.dataset]
    is_best = published.protocol.checkpoint == "best"
    measured = bound.protocol_fields
    if split := measured.get("reference_split"):
        measured["reference_split"] = dataset.split_names.get(str(split), split)
    ours = {
        "dataset": _normalised(spec.dataset),
        "images": dataset.preprocessing or None,
        **measured,
        "batch_norm": spec.protocol.batch_norm,
        "checkpoint": "best" if is_best else "last",
        "evaluate_every": _steps_between_evaluations(spec) if is_best else None,
    }
    if judging_instruments(published, spec, key):
        ours["feature_extractor"] = None
    required = set() if published.kind == "theory" else bound.metric.required_fields | {"evaluate_every"}
    stated = {**published.protocol.model_dump(), "dataset": _normalised(published.dataset)}
    return mismatches(stated, ours, required)


def _steps_between_evaluations(spec: TrialSpec) -> int | float:
    steps = spec.steps / spec.protocol.evaluations
    return int(steps) if steps.is_integer() else steps


def judging_instruments(published: PublishedReference, spec: TrialSpec, key: str) -> InstrumentSet | None:
    """The instruments over which output `key` is judged, if any. The rule for a best of k has no term for them."""
    return None if published.protocol.aggregation == "best" else instruments_of(spec.protocol, key)


def _normalised(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
