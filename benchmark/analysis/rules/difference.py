"""The difference between measured and published value: its intervals, and a test of equivalence.

Seeds are taken as independent draws from one normal distribution. There are two confidence levels:

- 95 %, two-sided, for the printed difference and for `better` and `worse`: a method within the tolerance gets each of
  these two verdicts in at most 2.5 % of cells.
- 90 % for equivalence. That this interval lies within the tolerance is equivalent to two one-sided tests at 5 % each
  (TOST; Schuirmann 1987): a method at or beyond the edge of the tolerance is `reproduced` in at most 5 % of cells.

The rule follows from what was published:

- *A mean with its spread over trainings*: Welch's interval of the difference of two means.
- *One training, or no spread*: the published value y is a draw from the distribution over trainings, of which the
  measured spread s is known, so the interval is mean - y ± t(n - 1) s sqrt(1 + 1/n). It contains 0 exactly if y lies in
  the prediction interval of one more training. That alone is no reproduction, since with three noisy seeds it holds for
  almost every y: `reproduced` requires that the interval lies within the tolerance, as for every other rule, and is
  impossible if one training varies by more than the tolerance allows.
- *Read off a figure*: the same, plus the variance of the error of reading. The sum has the degrees of freedom of s,
  although the error is known: with more, a method at the edge of the tolerance would be `worse` in 4.2 % of cells with
  three seeds, if the largest error is as large as the spread.
- *A theory*: the value is exact, and the interval is that of the measured mean alone.
- *The best of k trainings*: the same for the best of k, see `best_of`.
- *Read by another instrument of a population*, such as a digit classifier: the variance between J instruments of ours,
  S^2 (1 + 1/J) with J - 1 degrees of freedom, is one more term.

Terms are combined by Satterthwaite's rule. The error rates hold for one cell and are not corrected for the number of
cells of a suite. Two things raise them, as `tests/unit/analysis/test_error_rates.py` simulates. The edge of the
tolerance is a fraction of the published value and as random as that: for a tolerance of 5 %, the 2.5 % become up to
3.1 % and the 5 % up to 5.9 %, the tail probabilities beyond 1.96 / 1.05 and 1.645 / 1.05. With a term of 2 degrees of
freedom, that of three instruments, Satterthwaite's approximation gives up to 3.9 % and 6.2 % over all ratios of terms.
"""

from dataclasses import dataclass

import numpy as np

from benchmark.analysis.aggregate import Direction, Floats, Interval, satterthwaite
from benchmark.analysis.rules.best_of import SimulatedPivot, best_half_width, expected_best, prediction_pivot
from benchmark.analysis.rules.uncertainty import PublishedUncertainty

DIFFERENCE_CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90


@dataclass(frozen=True)
class InstrumentNoise:
    """The spread between `number` instruments of one population, each by its mean over all trainings.

    `std`: sample standard deviation, an array for many simulated cells.
    """

    std: float | Floats
    number: int

    @property
    def term(self) -> tuple[float | Floats, float]:
        """Standard error and degrees of freedom of our mean over instruments minus another instrument's reading."""
        return self.std * np.sqrt(1 + 1 / self.number), self.number - 1


@dataclass(frozen=True)
class StudentPivot:
    """Student's t distribution."""

    df: Floats

    def quantile(self, probability: float) -> Floats:
        """The value below which a draw lies with this probability."""
        from scipy.special import stdtrit  # importing scipy.stats takes a second

        return np.asarray(stdtrit(self.df, probability))

    def cdf(self, value: float | Floats) -> Floats:
        """The probability of a draw of at most `value`."""
        from scipy.special import stdtr

        return np.asarray(stdtr(self.df, value))


@dataclass(frozen=True)
class StandardisedDifference:
    """Measured - published: (estimate - true difference) / scale is distributed as `pivot`. Arrays of one shape."""

    estimate: Floats
    scale: Floats
    pivot: StudentPivot | SimulatedPivot

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """The two-sided interval of the true difference."""
        tail = (1 - confidence) / 2
        low, high = self.pivot.quantile(1 - tail), self.pivot.quantile(tail)
        return self.estimate - low * self.scale, self.estimate - high * self.scale

    def equivalence_p(self, margin: float) -> Floats:
        """The p-value of two one-sided tests (TOST) of |true difference| >= margin: the larger of the two p-values.

        If the scale is 0, it is 0 or 1.
        """
        divisor = np.where(self.scale > 0, self.scale, 1.0)
        above = self.pivot.cdf((self.estimate - margin) / divisor)
        below = 1 - self.pivot.cdf((self.estimate + margin) / divisor)
        certain = np.where(np.abs(self.estimate) <= margin, 0.0, 1.0)
        return np.where(self.scale > 0, np.maximum(above, below), certain)


def standardise(
    values: Floats,
    published: float | Floats,
    uncertainty: PublishedUncertainty,
    better: Direction,
    instruments: InstrumentNoise | None = None,
) -> StandardisedDifference:
    """The difference of measured and published values by the rule that `uncertainty` implies.

    Args:
        values: (..., n) finite values of n >= 2 trainings of each cell.
        published: the published value, or one per cell.
        uncertainty: of the published value; its standard error may be one per cell.
        better: `higher` or `lower`.
        instruments: the spread between the instruments over which `values` are means; ignored for a best of k.

    Raises:
        ValueError: the value is the best of k, and n < k.
    """
    n, spread = values.shape[-1], values.std(axis=-1, ddof=1)
    if (k := uncertainty.best_of) > 1:
        estimate = expected_best(values, k, better) - published
        return StandardisedDifference(estimate, spread, prediction_pivot(n, k, better))
    terms = [_trainings_term(spread, n, uncertainty), *([instruments.term] if instruments else [])]
    if uncertainty.df is not None:
        terms.append((uncertainty.standard_error, uncertainty.df))
    error, df = satterthwaite(*terms)
    return StandardisedDifference(values.mean(axis=-1) - published, error, StudentPivot(df))


def _trainings_term(spread: Floats, n: int, uncertainty: PublishedUncertainty) -> tuple[Floats, float]:
    """The standard error of the measured mean and, unless it has its own degrees of freedom, of the published value."""
    variance = np.square(spread) / n
    if uncertainty.df is None:
        borrowed = np.square(spread) / uncertainty.trainings if uncertainty.trainings else 0.0
        variance = variance + np.maximum(borrowed, np.square(uncertainty.standard_error))
        variance = variance + np.square(uncertainty.reading_error)
    return np.sqrt(variance), n - 1


def published_half_width(
    uncertainty: PublishedUncertainty,
    spread: float = 0.0,
    instruments: InstrumentNoise | None = None,
) -> float:
    """The half-width of the difference's 90 % interval that remains however many seeds are trained.

    If it exceeds the tolerance, `reproduced` is out of reach.

    Args:
        uncertainty: of the published value.
        spread: the standard deviation between trainings, which counts where the source states none.
        instruments: the spread between instruments.
    """
    if uncertainty.best_of > 1:
        return best_half_width(uncertainty.best_of, EQUIVALENCE_CONFIDENCE) * spread
    borrowed = spread / np.sqrt(uncertainty.trainings) if uncertainty.trainings else 0.0
    known = float(np.hypot(max(uncertainty.standard_error, float(borrowed)), uncertainty.reading_error))
    own = known, np.inf if uncertainty.df is None else uncertainty.df
    error, df = satterthwaite(own, *([instruments.term] if instruments else []))
    return float(error * StudentPivot(df).quantile((1 + EQUIVALENCE_CONFIDENCE) / 2))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Measured - published value of one cell, in the metric's unit.

    `interval`: 95 %; `equivalence_interval`: 90 %; both None for too few seeds. `margin`: the half-width of the
    tolerance around the published value; None: the suite states no tolerance. `p_value`: of the test of equivalence;
    None without an interval or a margin. `published_half_width`: that of the 90 % interval which remains however many
    seeds are trained; None for too few seeds.
    """

    estimate: float
    margin: float | None = None
    interval: Interval | None = None
    equivalence_interval: Interval | None = None
    p_value: float | None = None
    published_half_width: float | None = None

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the published value is too uncertain for `reproduced`, however many seeds are trained."""
        half_width, margin = self.published_half_width, self.margin
        return half_width is not None and margin is not None and half_width > margin


def difference_to_published(
    values: list[float],
    published: float,
    margin: float | None,
    uncertainty: PublishedUncertainty,
    better: Direction,
    instruments: InstrumentNoise | None = None,
    share: float = 1.0,
) -> Difference | None:
    """Compare the values of the seeds of one cell with a published one; without interval for a single seed.

    None for no values, one that is not finite, or fewer than the k of a best of k.

    `share`: of the error rates, in (0, 1]. One of several looks at a growing number of seeds may spend only a part of
    them, so that both intervals have a higher confidence, 1 - 0.05 share and 1 - 0.10 share.
    """
    measured = np.asarray(values, dtype=np.float64)
    if len(measured) < max(1, uncertainty.best_of) or not np.isfinite(measured).all():
        return None
    if len(measured) < 2:
        return Difference(estimate=float(measured.mean() - published), margin=margin)
    found = standardise(measured, published, uncertainty, better, instruments)
    spread = float(measured.std(ddof=1))
    return Difference(
        estimate=float(found.estimate),
        margin=margin,
        interval=_interval(found, 1 - share * (1 - DIFFERENCE_CONFIDENCE)),
        equivalence_interval=_interval(found, 1 - share * (1 - EQUIVALENCE_CONFIDENCE)),
        p_value=None if margin is None else float(found.equivalence_p(margin)),
        published_half_width=published_half_width(uncertainty, spread, instruments),
    )


def _interval(of: StandardisedDifference, confidence: float) -> Interval:
    low, high = of.interval(confidence)
    return float(low), float(high)
