"""Generated images per mode, from the histograms of the last evaluations of finished trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.core.protocol import BoundMetric, bind_metrics

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import HistogramSpec

TRUNCATION = 9.0  # standard deviations of a Poisson variable; the probability beyond is negligible


@dataclass(frozen=True)
class Histogram:
    """The histogram of one measure in a table. `variant` names the measure among those of its metric.

    `counts`: int64 (seeds, modes) of each row that has any.
    """

    table: str
    variant: str
    bins: "HistogramSpec"
    n_fake: int
    counts: list[tuple[LeaderboardRow, np.ndarray]]


def histograms(tables: Mapping[str, list[LeaderboardRow]]) -> list[Histogram]:
    """The histograms of all tables, in the order of tables and protocols; separate ones for different protocols."""
    return [histogram for table, rows in tables.items() for histogram in _histograms_of(table, rows)]


def _histograms_of(table: str, rows: list[LeaderboardRow]) -> list[Histogram]:
    by_measure: dict[tuple[str, HistogramSpec, int], Histogram] = {}
    for row in rows:
        for bound in bind_metrics(row.spec.protocol):
            if (bins := bound.histogram_spec) and (counts := _counts_by_seed(row, bound, bins)):
                empty = Histogram(table, bound.suffix_words, bins, bound.n_fake, [])
                histogram = by_measure.setdefault((bound.label, bins, bound.n_fake), empty)
                histogram.counts.append((row, np.array(counts)))
    return list(by_measure.values())


def _counts_by_seed(row: LeaderboardRow, bound: BoundMetric, bins: "HistogramSpec") -> list[list[int]]:
    """The counts of every finished seed; older records have none."""
    records = [trial.record for trial in row.trials if trial.record and trial.status == "finished"]
    histograms_of_label = [record.histograms.get(bound.label, []) for record in records]
    return [counts for counts in histograms_of_label if len(counts) == bins.num_bins and any(counts)]


def sorted_counts(counts: np.ndarray) -> np.ndarray:
    """(seeds, modes) counts with the modes of each seed in decreasing order of frequency."""
    return -np.sort(-counts, axis=1)


@cache
def uniform_counts(n: int, modes: int) -> np.ndarray:
    """(modes,): expected sorted counts of n samples from a generator that is uniform over its modes, largest first.

    The expected order statistics of `modes` independent Poisson(n / modes) variables, whose sum is n on average:
    E[X₍ᵣ₎] = Σₖ P(X₍ᵣ₎ ≥ k), and X₍ᵣ₎ ≥ k if at least r of them are.
    """
    from scipy.special import bdtrc, pdtrc

    mean = n / modes
    half_width = TRUNCATION * mean**0.5 + TRUNCATION
    certain = max(0, int(mean - half_width))  # counts that every mode exceeds
    thresholds = np.arange(certain + 1, int(mean + half_width) + 1)
    exceeds = np.asarray(pdtrc(thresholds - 1.0, mean))  # P(X >= k) of one mode
    expected: np.ndarray = bdtrc(np.arange(float(modes))[:, None], modes, exceeds).sum(axis=1)
    return certain + expected
