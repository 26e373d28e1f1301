"""The difference between a measured mean and a published value: its intervals, and a test of equivalence.

Seeds are taken as independent draws from one normal distribution. There are two confidence levels:

- 95 %, two-sided, for the printed difference and for `better` and `worse`: a method within the tolerance gets each of
  these two verdicts in at most 2.5 % of cells.
- 90 % for equivalence. That this interval lies within the tolerance is equivalent to two one-sided tests at 5 % each
  (TOST; Schuirmann 1987): a method at or beyond the edge of the tolerance is `reproduced` in at most 5 % of cells.

These error rates hold for one cell and are not corrected for the number of cells of a suite. Where the published value
is treated as fixed, they refer to that number, and not to what its authors would measure again. Where it is not, the
edge of the tolerance, which is a fraction of it, is random too: in simulations the 2.5 % became 2.6 to 3.1 %.
"""

import math
from dataclasses import dataclass

from benchmark.analysis.aggregate import CONFIDENCE, Aggregate, Interval, t_interval, welch_satterthwaite
from benchmark.config.published import SpreadKind

EQUIVALENCE_CONFIDENCE = 0.90

_FIXED = "the published value is taken as a fixed number, because its source "


@dataclass(frozen=True)
class PublishedUncertainty:
    """How precisely a published mean is known. `basis` describes in words what the interval includes, for a footnote.

    `standard_error`: of the mean over trainings, in the metric's unit; None: the mean is treated as fixed. `df`: its
    degrees of freedom; None: the source does not state the number of trainings.
    """

    basis: str
    standard_error: float | None = None
    df: float | None = None


FIXED = PublishedUncertainty(_FIXED + "states no spread for it")


def published_uncertainty(kind: SpreadKind, spread: float | None, seeds: int | None = None) -> PublishedUncertainty:
    """The uncertainty of a published mean over `seeds` trainings, from the spread that its source states.

    Only a spread over trainings, read as a sample standard deviation, or a standard error gives one. A spread over
    draws of samples from a single training is too small, and one of unknown kind or over an unknown number of seeds has
    no standard error.
    """
    trainings = seeds if seeds is not None and seeds > 1 else None
    if spread is None or kind == "none":
        return FIXED
    if kind == "standard_error":
        if trainings is None:
            return PublishedUncertainty(
                "the published standard error is counted in; its source does not say over how many trainings, so the"
                " degrees of freedom are those of the measured seeds",
                spread,
            )
        return PublishedUncertainty(
            f"the published standard error over {trainings} trainings is counted in", spread, trainings - 1
        )
    if kind == "training_seeds":
        if trainings is None:
            return PublishedUncertainty(_FIXED + "does not say over how many trainings it is a mean")
        basis = f"the published spread over {trainings} trainings is counted in"
        return PublishedUncertainty(basis, spread / math.sqrt(trainings), trainings - 1)
    if kind == "sampling_seeds":
        return PublishedUncertainty(_FIXED + "states only the noise of drawing samples from one training")
    return PublishedUncertainty(_FIXED + "does not say what its spread is taken over")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Measured mean - published value, in the metric's unit.

    `interval`: 95 %; `equivalence_interval`: 90 %; both None for fewer than two seeds. `margin`: the half-width of the
    tolerance around the published value; None: the suite states no tolerance. `p_value`: of the test of equivalence;
    None without an interval or a margin.
    """

    estimate: float
    basis: str
    margin: float | None = None
    interval: Interval | None = None
    equivalence_interval: Interval | None = None
    p_value: float | None = None


def difference_to_published(
    measured: Aggregate,
    published: float,
    margin: float | None,
    uncertainty: PublishedUncertainty,
    share: float = 1.0,
) -> Difference | None:
    """Compare a measured mean with a published one; None when a measured value is not finite.

    `share`: of the error rates, in (0, 1]. One of several looks at a growing number of seeds may spend only a part of
    them, so that both intervals have a higher confidence, 1 - 0.05 share and 1 - 0.10 share.
    """
    if not measured.is_finite:
        return None
    estimate, std = measured.mean - published, measured.std
    if std is None:
        return Difference(estimate=estimate, basis=uncertainty.basis, margin=margin)
    error, df = _error_of_difference(std / math.sqrt(measured.n), measured.n - 1, uncertainty)
    return Difference(
        estimate=estimate,
        basis=uncertainty.basis,
        margin=margin,
        interval=t_interval(estimate, error, df, 1 - share * (1 - CONFIDENCE)),
        equivalence_interval=t_interval(estimate, error, df, 1 - share * (1 - EQUIVALENCE_CONFIDENCE)),
        p_value=None if margin is None else tost_p_value(estimate, error, df, margin),
    )


def tost_p_value(estimate: float, standard_error: float, df: float, margin: float) -> float:
    """The p-value of two one-sided t-tests (TOST) of |difference| >= margin (Schuirmann 1987).

    The larger of the two p-values, which is that of the nearer edge: P(T_df <= (|estimate| - margin) / SE). It is 0 or
    1 if the standard error SE is 0.
    """
    inside = margin - abs(estimate)
    if standard_error == 0:
        return 0.0 if inside >= 0 else 1.0
    from scipy.special import stdtr  # importing scipy.stats takes a second

    return float(stdtr(df, -inside / standard_error))


def _error_of_difference(error: float, df: float, published: PublishedUncertainty) -> tuple[float, float]:
    """Standard error and degrees of freedom of the difference.

    If the degrees of freedom of the published mean are unknown, those of the measured one are used: they are fewer than
    Welch's as long as the published mean is over at least as many trainings as the measured one.
    """
    if not published.standard_error:
        return error, df
    if published.df is None:
        return math.hypot(error, published.standard_error), df
    return welch_satterthwaite(error, df, published.standard_error, published.df)
