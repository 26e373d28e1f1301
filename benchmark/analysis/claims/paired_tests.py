"""One-sided tests of the differences between two quantities that are paired by seed.

Each claim is tested in both directions, at 5 % each: is the difference beyond the edge on the side that the claim
predicts, or on the other? For `greater` and `less` the edge is 0. For `not_greater` it is the margin: the first test is
then one of non-superiority, and the second asks whether the difference exceeds the margin.

The t-test (Student 1908) is about the mean difference and assumes that differences are normal. The sign test
(Arbuthnott 1710) is about the median: it is exact for any distribution, but sees only on which side each difference
lies, so that n seeds reach no p-value below 2^-n. A difference equal to the edge counts against either direction.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmark.analysis.aggregate import Floats
from benchmark.config.schema import PairedTest, Relation

LEVEL = 0.05  # of each one-sided test


def p_values(differences: ArrayLike, edge: float, relation: Relation, test: PairedTest) -> tuple[Floats, Floats]:
    """The p-values of the test for a claim and of the one against it.

    Args:
        differences: (..., n) left - right of n seeds, at least two for a t-test.
        edge: the difference at which the predicted side begins.
        relation: `greater` predicts differences above the edge, all others predict them below it.
        test: `t` or `sign`.

    Returns:
        Two arrays of shape (...); nan where a difference is not finite.
    """
    excess = predicted_excess(np.asarray(differences, dtype=np.float64), edge, relation)
    p_above = _t_test if test == "t" else _sign_test
    return p_above(excess), p_above(-excess)


def predicted_excess(differences: Floats, edge: float, relation: Relation) -> Floats:
    """How far differences lie beyond the edge, positive on the side that the claim predicts."""
    return differences - edge if relation == "greater" else edge - differences


def _t_test(values: Floats) -> Floats:
    """P(T >= t) of the mean being 0 or less; by its limits where all values are equal, 0, 1/2 or 1."""
    from scipy.special import stdtr  # importing scipy.stats takes a second

    n = values.shape[-1]
    mean, error = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where((error == 0) & (mean == 0), 0.0, mean / error)
    return _floats(stdtr(n - 1, -statistic))


def _sign_test(values: Floats) -> Floats:
    """P(K >= k) of k positive values among n, if a value is positive with a probability of 1/2 or less."""
    from scipy.special import bdtr

    n = values.shape[-1]
    negative_or_zero = n - (values > 0).sum(axis=-1)
    p = bdtr(negative_or_zero.astype(np.float64), n, 0.5)  # P(K >= k) = P(K <= n - k) by symmetry
    return _floats(np.where(np.isfinite(values).all(axis=-1), p, np.nan))


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)
