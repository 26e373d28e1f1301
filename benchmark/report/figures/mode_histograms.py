"""The histograms of modes: how many images each method has of each mode, the most frequent mode first.

`measure` finds the place of everything; `draw_modes` then draws it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis.mode_counts import Histogram, histograms, sorted_counts, uniform_counts
from benchmark.report.figures import page
from benchmark.report.figures.page import EDGE, WIDTH, LegendEntry, Page
from benchmark.report.figures.style import (
    COLUMNS,
    FAINT,
    FRAME,
    HEAD,
    INK,
    SMALL,
    TITLE,
    Styles,
    Tables,
    choose_styles,
    row_label,
    style_of,
)
from benchmark.report.figures.ticks import Ticks, choose_ticks, draw_frame, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.1  # inches of a panel's height
TICK_LABELS = 0.55  # inches of the labels and the gap below a panel
GAP = 0.2  # inches between a panel and the tick labels of the next
OVERHANG = 0.14  # inches by which the last tick label reaches over a panel, at most
TICK_GAP = 0.06  # inches between a panel and its tick labels
TITLE_GAP = 0.07  # inches between a panel and its titles
LEGEND_GAP = 0.08  # inches below the legend
NAME = 2.4  # inches of a method's name in a legend, at most
LOWEST = 0.7  # images at the bottom of the axis: less than the 1 of a mode that occurs
DECADE_TICKS = 1000  # from so many images on, only powers of ten have a tick
HEADROOM = 1.3  # the top of the axis relative to the highest count
MARKERS = 8  # on a curve
UNIFORM: dict[str, Any] = {"color": FAINT, "linestyle": (0, (4, 2)), "linewidth": 1.4}


# --- measure ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class HistogramPanel:
    """One histogram with its titles. Histograms of the same bins and number of samples share the y axis."""

    histogram: Histogram
    title: str  # of the table
    subtitle: str  # what is counted
    highest: float
    x_ticks: Ticks
    y_ticks: Ticks

    @property
    def title_height(self) -> float:
        """Inches of the title."""
        return page.height(self.title, TITLE) * 1.08

    @property
    def header_height(self) -> float:
        """Inches above the panel."""
        return self.title_height + page.height(self.subtitle, HEAD) + TITLE_GAP


@dataclass(frozen=True)
class HistogramsLayout:
    """The figure's contents and their places, in inches. `pitch`: from one panel to the next."""

    rows: list[list[HistogramPanel]]
    legend: list[list[LegendEntry]]
    left: float
    panel_width: float
    pitch: float

    @property
    def legend_height(self) -> float:
        """Inches of the legend and the gap below it."""
        return page.legend_height(self.legend, SMALL) + LEGEND_GAP


def measure(tables: Tables, styles: Styles) -> HistogramsLayout | None:
    """The layout of the figure; None if no record has a histogram."""
    counted = histograms(tables)
    if not counted:
        return None
    per_table = Counter(histogram.table for histogram in counted).values()
    n_columns = page.columns(per_table if max(per_table) > 1 else [len(counted)], COLUMNS)
    pitch = (WIDTH - 2 * EDGE - OVERHANG + GAP) / n_columns
    panels = _panels(counted, pitch - GAP)
    labels = max(panel.y_ticks.label_width for panel in panels) + TICK_GAP
    groups = groupby(panels, lambda panel: panel.histogram.table)
    return HistogramsLayout(
        page.rows_of_groups((list(group) for _, group in groups), n_columns),
        page.wrap_entries(_legend(counted, styles), SMALL, WIDTH - 2 * EDGE),
        EDGE + labels,
        pitch - GAP - labels,
        pitch,
    )


def _panels(counted: list[Histogram], inches: float) -> list[HistogramPanel]:
    """`inches`: of a panel and its tick labels."""
    highest: dict[tuple[object, int], float] = {}
    for histogram in counted:
        uniform = uniform_counts(histogram.n_fake, histogram.bins.num_bins)[0]
        top = float(max(uniform, *(counts.max() for _, counts in histogram.counts)))
        axis = (histogram.bins, histogram.n_fake)
        highest[axis] = max(top, highest.get(axis, 0.0))
    panels = []
    for histogram in counted:
        top = HEADROOM * highest[histogram.bins, histogram.n_fake]
        y_ticks = _count_ticks(top)
        width = inches - y_ticks.label_width - TICK_GAP
        panels.append(
            HistogramPanel(
                histogram=histogram,
                title=page.wrap(histogram.table, TITLE, width, 2, bold=True),
                subtitle=page.wrap(_subtitle(histogram), HEAD, width, 2),
                highest=top,
                x_ticks=choose_ticks(_rank_limits(histogram), width),
                y_ticks=y_ticks,
            )
        )
    return panels


def _subtitle(histogram: Histogram) -> str:
    uniform = format_number(float(f"{histogram.n_fake / histogram.bins.num_bins:.3g}"))
    counted = f"images of each mode, of {histogram.n_fake:,}; {uniform} each if even"
    return f"{counted}, {histogram.variant}" if histogram.variant else counted


def _count_ticks(top: float) -> Ticks:
    if top < DECADE_TICKS:
        return choose_ticks((LOWEST, top), PANEL, log=True, vertical=True)
    positions = [10.0**power for power in range(int(math.log10(top)) + 1)]
    return Ticks(positions, list(map(format_number, positions)))


def _rank_limits(histogram: Histogram) -> tuple[float, float]:
    return 0.0, histogram.bins.num_bins * 1.02


def _legend(counted: list[Histogram], styles: Styles) -> list[LegendEntry]:
    rows = {(row.spec.method, row.label): row for histogram in counted for row, _ in histogram.counts}
    entries = [LegendEntry(row_label(row, SMALL, NAME, 1), style_of(row, styles).line) for row in rows.values()]
    return [*entries, LegendEntry("samples of an even generator", UNIFORM)]


# --- draw ------------------------------------------------------------------------------------------------


def draw_modes(tables: Tables, banner: str = "") -> "Figure | None":
    """Images against the rank of their mode, a panel per table and measure; None if no record has a histogram.

    `banner`: a line at the top.
    """
    styles = choose_styles(tables)
    layout = measure(tables, styles)
    if layout is None:
        return None
    height = 2 * EDGE + page.banner_height(banner) + layout.legend_height + sum(map(_row_height, layout.rows))
    figure = Page(height, banner, HEAD, INK)
    figure.legend(EDGE, figure.top, layout.legend, SMALL, INK)
    top = figure.top + layout.legend_height
    for row in layout.rows:
        panels_top = top + max(panel.header_height for panel in row)
        for column, panel in enumerate(row):
            left = layout.left + column * layout.pitch
            subtitle_top = panels_top - TITLE_GAP - page.height(panel.subtitle, HEAD)
            figure.text(left, subtitle_top - panel.title_height, panel.title, TITLE, weight="bold")
            figure.text(left, subtitle_top, panel.subtitle, HEAD)
            _draw_panel(figure.axes(left, panels_top, layout.panel_width, PANEL), panel, styles)
        top += _row_height(row)
    return figure.figure


def _row_height(row: Sequence[HistogramPanel]) -> float:
    return max(panel.header_height for panel in row) + PANEL + TICK_LABELS


def _draw_panel(axes: "Axes", panel: HistogramPanel, styles: Styles) -> None:
    from matplotlib.lines import Line2D

    histogram = panel.histogram
    axes.set_yscale("log")
    axes.set_xlim(*_rank_limits(histogram))
    axes.set_ylim(LOWEST, panel.highest)
    n_modes = histogram.bins.num_bins
    ranks = np.arange(1, n_modes + 1)
    axes.add_artist(Line2D(ranks, _visible(uniform_counts(histogram.n_fake, n_modes)), **UNIFORM, zorder=1.5))
    every = max(1, n_modes // MARKERS)
    for index, (row, counts) in enumerate(histogram.counts):
        style, images = style_of(row, styles), sorted_counts(counts)
        low, high = _visible(images.min(0)), _visible(images.max(0))
        axes.fill_between(ranks, low, high, color=style.colour, alpha=0.18, linewidth=0)
        start = (2 * index + 1) * every // (2 * len(histogram.counts))  # shifted, so that no marker hides another
        line = style.line | {"linewidth": 1.3, "markersize": 3.5, "markevery": (start, every)}
        axes.add_artist(Line2D(ranks, _visible(images.mean(0)), **line))
    draw_frame(axes, panel.x_ticks, panel.y_ticks, FRAME)
    label = "rank of the mode, the most frequent first"
    axes.text(0.5, -0.32 / PANEL, label, transform=axes.transAxes, ha="center", va="center", fontsize=SMALL)


def _visible(images: np.ndarray) -> np.ndarray:
    """The counts with a place for 0 on a logarithmic axis: below its bottom, where a line is out of sight."""
    visible: np.ndarray = np.maximum(images, LOWEST / 2)
    return visible
