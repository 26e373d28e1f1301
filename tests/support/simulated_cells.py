"""Verdicts on thousands of simulated cells at once."""

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.aggregate import Direction, Floats
from benchmark.analysis.rules.difference import (
    DIFFERENCE_CONFIDENCE,
    EQUIVALENCE_CONFIDENCE,
    InstrumentNoise,
    standardise,
)
from benchmark.analysis.verdicts import Reference, verdicts_on


def judge_cells(
    values: Floats,
    reference: Reference,
    better: Direction,
    instruments: InstrumentNoise | None = None,
    *,
    published: float | Floats | None = None,
) -> NDArray[np.str_]:
    """The verdicts of many complete cells at once, those of `judge`, cell by cell.

    Args:
        values: (..., n) finite values of the n >= 3 trainings of each cell.
        reference: the published value and its rule; its standard error may be an array over cells.
        better: the direction of the metric.
        instruments: the spread between instruments, if the rule has some.
        published: one published value per cell, in place of that of `reference`.
    """
    theirs = reference.value if published is None else published
    margin = None if reference.tolerance is None else reference.tolerance * np.abs(theirs)
    found = standardise(values, theirs, reference.uncertainty, better, instruments)
    return verdicts_on(found.interval(DIFFERENCE_CONFIDENCE), found.interval(EQUIVALENCE_CONFIDENCE), margin, better)
