"""Looks: a cell is judged repeatedly while seeds are added, and wrong no more often than one test is.

A test after every few seeds that stops at the first decision is wrong too often: with looks at 3, 5, 8 and 12 seeds, a
method at the edge of the tolerance would be `reproduced` in 13 % of cells instead of 5 %. Each look therefore spends
only a share of the error rates, one third of what earlier looks left:

    share of the k-th look = 1/3 (2/3)^(k - 1)         33 %, 22 %, 15 %, 10 %, ...

The shares of any number of looks add up to less than 1. A verdict is wrong only if it is wrong at one of the looks, so
by Bonferroni's inequality the error rates of one test with a fixed number of seeds hold for all looks together: a
method at the edge of the tolerance is `reproduced` in at most 5 % of cells, and one within it is `better` or `worse` in
at most 2.5 % each. This holds for every rule of comparison, from three seeds on, and if the largest number of seeds is
raised later. It requires that the looks are at numbers of seeds which do not depend on the measured values: each has
half as many seeds again as the one before.

The price is a wider interval at each look, and error rates below those claimed (3.5 % instead of 5 % after seven looks
from three seeds on). The bounds of Pocock (1977) and O'Brien & Fleming (1979), also with the spending functions of Lan
& DeMets (1983), lose less, but need the joint distribution of the looks, which differs from rule to rule and is known
exactly only for normal values with a known variance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmark.analysis.verdicts import MIN_SEEDS

SPENT = 1 / 3  # of the error rates that earlier looks left, by each look


@dataclass(frozen=True)
class Look:
    """One look at a cell. `seeds`: the numbers of seeds of the looks up to this one. `is_complete`: all seeds ended."""

    seeds: tuple[int, ...]
    is_complete: bool = True

    @property
    def share(self) -> float:
        """The share of the error rates that this look spends."""
        return error_share(len(self.seeds) - 1)


def error_share(look: int) -> float:
    """The share of the error rates that a look spends; the first one has number 0."""
    return SPENT * (1 - SPENT) ** look


def first_look(seeds: int) -> int:
    """The number of seeds of the first look at a cell whose list has so many: at least as many as a verdict needs."""
    return max(seeds, MIN_SEEDS)


def next_look(seeds: int, max_seeds: int) -> int:
    """The number of seeds of the look after one at `seeds`: half as many again, rounded up, at most `max_seeds`."""
    return min(max_seeds, seeds + (seeds + 1) // 2)


def looks_from(seeds: int, max_seeds: int) -> Iterator[int]:
    """The numbers of seeds of all looks from one at `seeds` up to one at `max_seeds`."""
    yield seeds
    while seeds < max_seeds:
        yield (seeds := next_look(seeds, max_seeds))


def looks_taken(looks: Sequence[int], ended: int) -> list[Look]:
    """The looks whose seeds have all ended, if the first `ended` have; only the first look if that is incomplete."""
    complete = [Look(tuple(looks[: index + 1])) for index, seeds in enumerate(looks) if seeds <= ended]
    return complete or [Look((looks[0],), is_complete=False)]
