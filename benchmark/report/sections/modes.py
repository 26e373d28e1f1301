"""The section of the report about modes: which positions of each axis, such as digits of a channel, are rare."""

from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.mode_counts import Histogram, histograms
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import HistogramSpec

MOST_NAMED = 3  # positions that are listed; more are counted

CAPTION = (
    "Images of each mode, by its rank among the modes of the same training. Lines are means over finished seeds; bands"
    " range from the lowest seed to the highest. Where a line falls to the bottom of its panel, modes are missing."
    " Dashed: samples of a generator that makes all modes equally often, whose counts differ only by chance."
)


def shares(tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    """For each row and axis of the modes: the shares of its rarest and its most frequent position, over all seeds."""
    counted = histograms(tables)
    blocks = []
    for bins in dict.fromkeys(histogram.bins for histogram in counted):
        header = ["Table", "Method", *(escape_markdown(name.capitalize()) for name, _ in bins.axes)]
        same_bins = [histogram for histogram in counted if histogram.bins == bins]
        body = [_line(histogram, row, counts) for histogram in same_bins for row, counts in histogram.counts]
        blocks += [grid(header, body, "l" * len(header)), _explanation(bins)]
    return blocks


def _line(histogram: Histogram, row: LeaderboardRow, counts: np.ndarray) -> list[str]:
    cube = counts.sum(0).reshape(histogram.bins.shape)
    axes = range(cube.ndim)
    extremes = [_extremes(cube.sum(tuple(other for other in axes if other != axis))) for axis in axes]
    table = ", ".join(filter(None, (histogram.table, histogram.variant)))
    return [escape_markdown(table), escape_markdown(text.label(row)), *extremes]


def _extremes(images: np.ndarray) -> str:
    """`8.1 % (4) – 12.3 % (1)`: the rarest position and the most frequent one."""
    low, high = images.min(), images.max()
    lowest = f"{100 * low / images.sum():.1f} %" if low else "0 %"
    return f"{lowest} ({_positions(images == low)}) – {100 * high / images.sum():.1f} % ({_positions(images == high)})"


def _positions(mask: np.ndarray) -> str:
    positions = np.flatnonzero(mask)
    return ", ".join(map(str, positions)) if len(positions) <= MOST_NAMED else f"{len(positions)} of {len(mask)}"


def _explanation(bins: "HistogramSpec") -> str:
    uniform = " or ".join(f"{100 / size:g} %" for size in dict.fromkeys(bins.shape))
    return (
        f"The shares of the rarest and the most frequent {bins.position} among all images of a row's finished seeds."
        f" {uniform} each would be uniform; a {bins.position} with 0 % is never generated."
    )
