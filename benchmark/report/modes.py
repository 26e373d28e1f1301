"""What the histograms of modes say in words: which places of each axis, such as digits of a channel, are rare."""

from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.mode_counts import Histogram, histograms
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid

if TYPE_CHECKING:
    from benchmark.evaluation.metrics.base import HistogramSpec

    pass

NAMED = 3  # places that are named together

CAPTION = (
    "Images of each mode, by its rank among the modes of the same training: line, the mean over the seeds that"
    " finished; band, from the lowest to the highest of them. Where a line falls to the foot of its panel, modes begin"
    " to be missing. Dashed: samples of a generator that makes all modes alike, whose counts differ by chance."
)


def shares(tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    """For each row and axis of the modes, the share of its rarest and its most frequent place, over all seeds."""
    found = histograms(tables)
    blocks = []
    for bins in dict.fromkeys(one.bins for one in found):
        of = [one for one in found if one.bins == bins]
        header = ["Table", "Method", *(escape_markdown(name.capitalize()) for name, _ in bins.axes)]
        body = [_line(one, row, counts) for one in of for row, counts in one.counts]
        blocks += [grid(header, body, "l" * len(header)), _reading(bins)]
    return blocks


def _line(one: Histogram, row: LeaderboardRow, counts: np.ndarray) -> list[str]:
    cube = counts.sum(0).reshape(one.bins.shape)
    axes = range(cube.ndim)
    ends = [_ends(cube.sum(tuple(other for other in axes if other != axis))) for axis in axes]
    table = ", ".join(filter(None, (one.table, one.variant)))
    return [escape_markdown(table), escape_markdown(text.label(row)), *ends]


def _ends(images: np.ndarray) -> str:
    """`8.1 % (4) – 12.3 % (1)`: the rarest place and the most frequent one."""
    low, high = images.min(), images.max()
    least = f"{100 * low / images.sum():.1f} %" if low else "0 %"
    return f"{least} ({_places(images == low)}) – {100 * high / images.sum():.1f} % ({_places(images == high)})"


def _places(among: np.ndarray) -> str:
    places = np.flatnonzero(among)
    return ", ".join(map(str, places)) if len(places) <= NAMED else f"{len(places)} of {len(among)}"


def _reading(bins: "HistogramSpec") -> str:
    alike = " or ".join(f"{100 / places:g} %" for places in dict.fromkeys(bins.shape))
    return (
        f"The shares of the rarest {bins.position} and of the most frequent one, among all images of a row's finished"
        f" seeds. {alike} each would be even; 0 % are never made."
    )
