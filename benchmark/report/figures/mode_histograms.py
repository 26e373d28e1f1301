"""The histograms of modes: how many images each method has of each, the most frequent mode first."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis.mode_counts import Histogram, histograms, sorted_counts, uniform_counts
from benchmark.report.figures import page as layout
from benchmark.report.figures.page import EDGE, LegendEntry, Page, Ticks
from benchmark.report.figures.style import (
    COLUMNS,
    FAINT,
    FRAME,
    HEAD,
    INK,
    SMALL,
    TITLE,
    Style,
    Tables,
    row_label,
    style_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
from benchmark.report.figures.style import styles

PANEL = 2.1  # inches
FOOT = 0.55  # inches below it, of labels and gap
GAP = 0.2  # inches between a panel and the labels of the next
OVER = 0.14  # inches by which the label of the last tick reaches over a panel, at most
SPENT = 0.06  # inches between a panel and its labels
NAME = 2.4  # inches of a method's name in a key, at most
LEAST = 0.7  # images at the foot of the axis: less than the one that a mode has which is there at all
DECADES = 1000  # images from which on there is a tick at every power of ten only
ROOM = 1.3  # of the highest count is the top of the axis
MARKED = 8  # markers on a curve
EVEN: dict[str, Any] = {"color": FAINT, "linestyle": (0, (4, 2)), "linewidth": 1.4}


@dataclass(frozen=True)
class HistogramPanel:
    """One histogram with its headings, and the axes that it shares with others of the same bins and samples."""

    of: Histogram
    heads: tuple[str, str]  # the title of the table, and what is counted
    highest: float
    across: Ticks
    down: Ticks

    @property
    def lead(self) -> float:
        """Inches of the headings."""
        title, words = self.heads
        return layout.height(title, TITLE) * 1.08 + layout.height(words, HEAD) + 0.07


def modes(tables: Tables, said: str = "") -> "Figure | None":
    """Images against the rank of their mode, a panel per table and measure that counts; None without any count.

    `said`: at the top.
    """
    found = histograms(tables)
    if not found:
        return None
    chosen = styles(tables)
    counts = Counter(one.table for one in found).values()
    columns = layout.columns(counts if max(counts) > 1 else [len(found)], COLUMNS)
    pitch = (layout.WIDTH - 2 * EDGE - OVER + GAP) / columns
    panels = _panels(found, pitch - GAP)
    labels = max(panel.down.widest for panel in panels) + SPENT
    groups = groupby(panels, lambda panel: panel.of.table)
    lines = layout.rows_of_groups((list(group) for _, group in groups), columns)
    key = layout.wrap_entries(_key(found, chosen), SMALL, layout.WIDTH - 2 * EDGE)
    lead = 0.25 if said else 0.0
    page = Page(2 * EDGE + lead + layout.key_height(key, SMALL) + 0.08 + sum(map(_tall, lines)))
    page.words(EDGE, EDGE, said, HEAD, color=INK)
    page.key(EDGE, EDGE + lead, key, SMALL, INK)
    top = EDGE + lead + layout.key_height(key, SMALL) + 0.08
    for line in lines:
        heads = max(panel.lead for panel in line)
        for column, panel in enumerate(line):
            left, (title, words) = EDGE + labels + column * pitch, panel.heads
            below = top + heads - 0.07 - layout.height(words, HEAD)
            page.words(left, below - layout.height(title, TITLE) * 1.08, title, TITLE, weight="bold")
            page.words(left, below, words, HEAD)
            axes = page.axes(left, top + heads, pitch - GAP - labels, PANEL)
            _draw(axes, panel, chosen)
        top += _tall(line)
    return page.figure


def _tall(line: Sequence[HistogramPanel]) -> float:
    return max(panel.lead for panel in line) + PANEL + FOOT


# --- what is drawn ---------------------------------------------------------------------------------------


def _panels(found: list[Histogram], inches: float) -> list[HistogramPanel]:
    highest: dict[tuple[object, int], float] = {}
    for one in found:
        top = max(uniform_counts(one.n_fake, one.bins.num_bins)[0], *(counts.max() for _, counts in one.counts))
        highest[one.bins, one.n_fake] = max(float(top), highest.get((one.bins, one.n_fake), 0.0))
    panels = []
    for one in found:
        top = ROOM * highest[one.bins, one.n_fake]
        down = _images(top)
        width = inches - down.widest - SPENT
        across = layout.ticks(_ranks(one), width)
        heads = layout.wrap(one.table, TITLE, width, 2, bold=True), layout.wrap(_words(one), HEAD, width, 2)
        panels.append(HistogramPanel(one, heads, top, across, down))
    return panels


def _words(one: Histogram) -> str:
    each = layout.number(float(f"{one.n_fake / one.bins.num_bins:.3g}"))
    return ", ".join(filter(None, (f"images of each mode, of {one.n_fake:,}; {each} each if even", one.variant)))


def _images(top: float) -> Ticks:
    if top < DECADES:
        return layout.ticks((LEAST, top), PANEL, log=True, upright=True)
    places = [10.0**power for power in range(int(math.log10(top)) + 1)]
    return Ticks(places, list(map(layout.number, places)))


def _ranks(one: Histogram) -> tuple[float, float]:
    return 0.0, one.bins.num_bins * 1.02


def _key(found: list[Histogram], chosen: Mapping[tuple[str, str], Style]) -> list[LegendEntry]:
    drawn = {(row.spec.method, row.label): row for one in found for row, _ in one.counts}
    entries = [LegendEntry(row_label(row, SMALL, NAME, 1), style_of(row, chosen).line) for row in drawn.values()]
    return [*entries, LegendEntry("samples of an even generator", EVEN)]


# --- drawing ---------------------------------------------------------------------------------------------


def _draw(axes: "Axes", panel: HistogramPanel, chosen: Mapping[tuple[str, str], Style]) -> None:
    from matplotlib.lines import Line2D

    one = panel.of
    axes.set_yscale("log")
    axes.set_xlim(*_ranks(one))
    axes.set_ylim(LEAST, panel.highest)
    ranks = np.arange(1, one.bins.num_bins + 1)
    axes.add_artist(Line2D(ranks, _drawn(uniform_counts(one.n_fake, one.bins.num_bins)), **EVEN, zorder=1.5))
    often = max(1, one.bins.num_bins // MARKED)
    for place, (row, counts) in enumerate(one.counts):
        style, images = style_of(row, chosen), sorted_counts(counts)
        _band(axes, ranks, images, style)
        start = (2 * place + 1) * often // (2 * len(one.counts))  # each a little further, so that none hides another
        look = {**style.line, "linewidth": 1.3, "markersize": 3.5, "markevery": (start, often)}
        axes.add_artist(Line2D(ranks, _drawn(images.mean(0)), **look))
    layout.draw_frame(axes, panel.across, panel.down, FRAME)
    words = "rank of the mode, the most frequent first"
    axes.text(0.5, -0.32 / PANEL, words, transform=axes.transAxes, ha="center", va="center", fontsize=SMALL)


def _band(axes: "Axes", ranks: np.ndarray, images: np.ndarray, style: Style) -> None:
    """From the lowest to the highest seed."""
    low, high = _drawn(images.min(0)), _drawn(images.max(0))
    axes.fill_between(ranks, low, high, color=style.colour, alpha=0.18, linewidth=0)


def _drawn(images: np.ndarray) -> np.ndarray:
    """The same, with a place on a logarithmic axis for none: below its foot, where a line is out of sight."""
    seen: np.ndarray = np.maximum(images, LEAST / 2)
    return seen
