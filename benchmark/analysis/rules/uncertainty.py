"""How precisely a published value is known, from what its source states."""

import math
from dataclasses import dataclass

from benchmark.config.published import Aggregation, SpreadKind

FEWEST_WITH_A_SPREAD = 2  # trainings that a spread over an unknown number of them is counted as


@dataclass(frozen=True)
class PublishedUncertainty:
    """How precisely a published value is known. `basis` describes in words what the interval includes, for a footnote.

    `standard_error`: of the value, in the metric's unit, with `df` degrees of freedom. `trainings`: the source states
    no usable spread for a value over m trainings, so the spread s of the measured seeds stands for theirs, and the
    standard error is s / sqrt(m), or `standard_error` if that is larger. `best_of`: the value is the best of k.
    `reading_error`: the standard deviation of the error of reading a figure. `is_theory`: the value is derived, so that
    neither side of it is better.
    """

    basis: str
    standard_error: float = 0.0
    df: float | None = None
    trainings: int | None = None
    best_of: int = 1
    reading_error: float = 0.0
    is_theory: bool = False

    @property
    def is_single(self) -> bool:
        """Whether the value counts as that of a single training, without a usable spread."""
        return self.trainings == 1


EXACT = PublishedUncertainty("the published value is exact")
THEORY = PublishedUncertainty("the value follows from theory and is exact", is_theory=True)


def published_uncertainty(
    kind: SpreadKind, spread: float | None, seeds: int | None = None, aggregation: Aggregation | None = None
) -> PublishedUncertainty:
    """The uncertainty of a published value over `seeds` trainings, from the spread that its source states.

    Every gap is filled with the reading that gives the widest interval:

    - A standard deviation over n trainings, or a standard error, counts as such. If n is not stated, it is two, the
      fewest that have a spread.
    - A spread over draws of samples from one training says nothing about trainings, and counts as none.
    - Without a spread over trainings, the measured one stands for it. If the number of trainings is not stated, it is
      one: the interval is then a prediction interval for one training. (A stated mean is over at least two.)
    - A spread of unknown kind could be a standard error of the value: it is one, unless the measured spread gives more.
    - A value read off a figure is that of one training, unless a number of trainings is stated. The error of reading
      is uniform up to the largest one, so its standard deviation is that divided by sqrt(3), and is added.
    """
    if kind == "exact":
        return THEORY
    if kind == "reading_error" and spread is not None:
        return _read_from_a_figure(spread, seeds or 1)
    if aggregation == "best" and seeds:
        return PublishedUncertainty(
            f"expected best of {seeds}: the mean of the best over all subsets of {seeds} seeds; the published value is"
            f" itself the best of {seeds} trainings, whose spread is taken to be the measured one. The interval is a"
            " parametric bootstrap",
            best_of=seeds,
        )
    if aggregation == "single":
        return _single("the source reports one training, whose spread is taken to be the measured one")
    if spread is not None and kind in ("training_seeds", "standard_error"):
        return _stated(kind, spread, seeds)
    if spread is not None and kind == "not_stated":
        number = seeds or 1
        basis = (
            "the source does not say what its spread is taken over: it counts as the standard error of the value,"
            f" unless the measured spread over {_trainings(number)} is larger"
        )
        return PublishedUncertainty(basis, standard_error=spread, trainings=number)
    number = seeds or (FEWEST_WITH_A_SPREAD if aggregation == "mean" else 1)
    if number == 1:
        silent = "one training" if seeds else "a value without a number of trainings, which counts as one training"
        return _single(f"the source reports {silent}, whose spread is taken to be the measured one")
    return PublishedUncertainty(
        f"the source states no spread over its {number} trainings, so the measured one stands for it", trainings=number
    )


def _single(reason: str) -> PublishedUncertainty:
    return PublishedUncertainty(f"prediction interval for one published training: {reason}", trainings=1)


def _read_from_a_figure(largest_error: float, trainings: int) -> PublishedUncertainty:
    what = "prediction interval for one published training" if trainings == 1 else "the source states no spread"
    basis = (
        f"{what}: the value was read off a figure of {_trainings(trainings)}, whose spread is taken to be the measured"
        f" one, with an error of at most {largest_error:g}, which is counted in"
    )
    return PublishedUncertainty(basis, trainings=trainings, reading_error=largest_error / math.sqrt(3))


def _stated(kind: SpreadKind, spread: float, seeds: int | None) -> PublishedUncertainty:
    """A spread over trainings or a standard error."""
    number = seeds if seeds and seeds > 1 else FEWEST_WITH_A_SPREAD
    over = f"over {number} trainings"
    if seeds is None:
        over = "over a number of trainings that is not stated, so that it counts as two,"
    if kind == "standard_error":
        return PublishedUncertainty(f"the published standard error {over} is counted in", spread, number - 1)
    return PublishedUncertainty(f"the published spread {over} is counted in", spread / math.sqrt(number), number - 1)


def _trainings(number: int) -> str:
    return "one training" if number == 1 else f"{number} trainings"
