"""How often each mode was generated: what the last measurements of finished trainings counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.core.protocol import BoundMetric, bind_metrics

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import HistogramSpec

REACH = 9.0  # standard deviations of a Poisson variable: further away there is nothing


@dataclass(frozen=True)
class Histogram:
    """What one measure counted in a table. `variant` tells it from others of its metric.

    `counts`: of the rows that have any, int64 (seeds, modes).
    """

    table: str
    variant: str
    bins: "HistogramSpec"
    n_fake: int
    counts: list[tuple[LeaderboardRow, np.ndarray]]


def histograms(tables: Mapping[str, list[LeaderboardRow]]) -> list[Histogram]:
    """Those of all tables, in the order of tables and protocols. Rows measured otherwise are in one of their own."""
    return [found for table, members in tables.items() for found in _of_table(table, members)]


def _of_table(table: str, members: list[LeaderboardRow]) -> list[Histogram]:
    found: dict[tuple[str, HistogramSpec, int], Histogram] = {}
    for row in members:
        for one in bind_metrics(row.spec.protocol):
            if (bins := one.bins) and (seeds := _seeds(row, one, bins)):
                words = one.suffix.replace("_", " ").strip()
                empty = Histogram(table, words, bins, one.n_fake, [])
                found.setdefault((one.label, bins, one.n_fake), empty).counts.append((row, np.array(seeds)))
    return list(found.values())


def _seeds(row: LeaderboardRow, one: BoundMetric, bins: "HistogramSpec") -> list[list[int]]:
    """The counts of every finished seed. Records from before there were any have none."""
    records = [trial.record for trial in row.trials if trial.record and trial.status == "finished"]
    found = [record.histograms.get(one.label, []) for record in records]
    return [counts for counts in found if len(counts) == bins.count and any(counts)]


def sorted_counts(counts: np.ndarray) -> np.ndarray:
    """(seeds, modes) -> the same, the most frequent mode of each seed first."""
    return -np.sort(-counts, axis=1)


@cache
def uniform_counts(n: int, modes: int) -> np.ndarray:
    """(modes,) images that n samples of an even generator have of its modes by chance, the most frequent first.

    The expected order statistics of as many Poisson variables of mean n / modes, whose sum is n but for chance:
    E[X₍ᵣ₎] = Σₖ P(X₍ᵣ₎ ≥ k), and X₍ᵣ₎ ≥ k where at least r of them are.
    """
    from scipy.special import bdtrc, pdtrc

    mean = n / modes
    reach = REACH * mean**0.5 + REACH
    sure = max(0, int(mean - reach))
    least = np.arange(sure + 1, int(mean + reach) + 1)
    reached = np.asarray(pdtrc(least - 1.0, mean))
    at_least: np.ndarray = bdtrc(np.arange(float(modes))[:, None], modes, reached).sum(axis=1)
    return sure + at_least
