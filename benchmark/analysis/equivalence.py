"""The difference between a measured mean and a published value: interval, and test of equivalence.

Seeds are taken for independent draws from one normal distribution. Two confidence levels are in use:

- 95 %, two-sided, for the difference as it is printed and for `better` and `worse`: each of the two is said of a
  method that is within the tolerance in at most 2.5 % of cells.
- 90 % for equivalence. That this interval lies within the tolerance is the same as two one-sided tests at 5 % each
  (Schuirmann 1987): `reproduced` is said of a method at or beyond the edge in at most 5 % of cells.

These rates hold for one cell; they are not corrected for the number of cells of a suite. Where the published value is
taken as a fixed number, they are about that number, and not about what its authors would get again. Where it is not,
the edge of a tolerance, which is a share of it, scatters too: in simulations the 2.5 % came to 2.6 to 3.1 %.
"""

import math
from dataclasses import dataclass

from benchmark.analysis.aggregate import Aggregate, Interval, t_interval, welch_satterthwaite
from benchmark.config.published import SpreadKind

EQUIVALENCE_CONFIDENCE = 0.90

_FIXED = "the published value is taken as a fixed number, because its source "


@dataclass(frozen=True)
class PublishedUncertainty:
    """How well a published mean is known. `basis` says in words what is counted, for a footnote.

    `standard_error`: of the mean over trainings, in the metric's unit; None: the mean is taken as a fixed number.
    `degrees`: degrees of freedom behind it; None: the source does not say how many trainings there were.
    """

    basis: str
    standard_error: float | None = None
    degrees: float | None = None


FIXED = PublishedUncertainty(_FIXED + "states no spread for it")


def published_uncertainty(kind: SpreadKind, spread: float | None, seeds: int | None = None) -> PublishedUncertainty:
    """What the spread that a source prints (taken as the sample one) says about its mean over `seeds` trainings.

    Only a spread over trainings bears on the comparison. One over draws of samples from a single training is too
    small, and one of an unknown kind or over an unknown number of seeds has no standard error.
    """
    counted = seeds if seeds is not None and seeds > 1 else None
    if spread is None or kind == "none":
        return FIXED
    if kind == "standard_error":
        if counted is None:
            return PublishedUncertainty(
                "the published standard error is counted in; its source does not say over how many trainings, so the"
                " degrees of freedom are those of the measured seeds",
                spread,
            )
        return PublishedUncertainty(
            f"the published standard error over {counted} trainings is counted in", spread, counted - 1
        )
    if kind == "training_seeds":
        if counted is None:
            return PublishedUncertainty(_FIXED + "does not say over how many trainings it is a mean")
        basis = f"the published spread over {counted} trainings is counted in"
        return PublishedUncertainty(basis, spread / math.sqrt(counted), counted - 1)
    if kind == "sampling_seeds":
        return PublishedUncertainty(_FIXED + "states only the noise of drawing samples from one training")
    return PublishedUncertainty(_FIXED + "does not say what its spread is taken over")


@dataclass(frozen=True)
class Difference:
    """Measured mean - published value, in the metric's unit.

    `interval`: of 95 %; `equivalence`: of 90 %; both None for fewer than two seeds. `margin`: what still counts as
    the published value, to either side; None: the suite states no tolerance. `p_value`: of the test of equivalence,
    the larger one of two one-sided tests; None without an interval or a margin.
    """

    estimate: float
    basis: str
    margin: float | None = None
    interval: Interval | None = None
    equivalence_interval: Interval | None = None
    p_value: float | None = None


def difference(
    measured: Aggregate, published: float, margin: float | None, known: PublishedUncertainty
) -> Difference | None:
    """Compare a measured mean with a published one; None when a measured value is not a finite number."""
    if not measured.is_finite:
        return None
    estimate, spread = measured.mean - published, measured.std
    if spread is None:
        return Difference(estimate, known.basis, margin)
    error, degrees = _welch(spread / math.sqrt(measured.n), measured.n - 1, known)
    return Difference(
        estimate,
        known.basis,
        margin,
        interval=t_interval(estimate, error, degrees),
        equivalence_interval=t_interval(estimate, error, degrees, EQUIVALENCE_CONFIDENCE),
        p_value=None if margin is None else equivalence_test(estimate, error, degrees, margin),
    )


def equivalence_test(estimate: float, error: float, degrees: float, margin: float) -> float:
    """The p-value of two one-sided t-tests of |difference| >= margin; 0 or 1 when nothing scatters."""
    inside = margin - abs(estimate)
    if error == 0:
        return 0.0 if inside >= 0 else 1.0
    from scipy.special import stdtr  # scipy.stats would take a second to import

    return float(stdtr(degrees, -inside / error))  # the edge that is nearer gives the larger p


def _welch(error: float, degrees: float, known: PublishedUncertainty) -> tuple[float, float]:
    """Standard error and degrees of freedom of the difference.

    With unknown degrees on the published side those of the measured side serve. They are fewer than Welch's as long as
    the published mean is over at least as many trainings as the measured one.
    """
    if not known.standard_error:
        return error, degrees
    if known.degrees is None:
        return math.hypot(error, known.standard_error), degrees
    return welch_satterthwaite(error, degrees, known.standard_error, known.degrees)
