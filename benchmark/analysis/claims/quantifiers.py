"""A claim about several rows or outputs: one p-value from those of its sides.

`some`: at least one side is as predicted. The smallest p-value of m sides is multiplied by m (Bonferroni; Holm's
correction of the smallest), so that the claim is supported by chance in at most 5 % of cases, whatever the dependence
between the sides. `every`: all sides are as predicted. The largest p-value counts, uncorrected (intersection-union
test, Berger 1982). The opposite of `some` is about every side and the opposite of `every` about some side, so the test
against a claim has the other quantifier.
"""

import numpy as np

from benchmark.analysis.aggregate import Floats
from benchmark.config.schema import Quantifier


def combine(p_for: Floats, p_against: Floats, quantifier: Quantifier) -> tuple[Floats, Floats]:
    """The p-values for and against a claim, of shape (...), from those of its sides, of shape (..., sides)."""
    if quantifier == "some":
        return _some(p_for), _every(p_against)
    return _every(p_for), _some(p_against)


def corrections(sides: int, quantifier: Quantifier) -> tuple[int, int]:
    """The factors on the smallest p-value of a side, for and against the claim."""
    return (sides, 1) if quantifier == "some" else (1, sides)


def _some(p: Floats) -> Floats:
    return np.asarray(np.minimum(1.0, p.shape[-1] * p.min(axis=-1)))


def _every(p: Floats) -> Floats:
    return np.asarray(p.max(axis=-1))
