"""The learning curves: every metric against the training step, with the published values.

`measure` finds the place of everything; `draw_curves` then draws it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import LeaderboardRow, TrialOutcome
from benchmark.core.protocol import bind_metrics
from benchmark.report.figures import page
from benchmark.report.figures.page import EDGE, LINE, WIDTH, LegendEntry, Page
from benchmark.report.figures.style import (
    COLUMNS,
    FAINT,
    FRAME,
    HEAD,
    INK,
    REFERENCE_SIZE,
    SMALL,
    TITLE,
    Style,
    Styles,
    Tables,
    choose_styles,
    draw_reference_line,
    panel_title,
    published_first,
    published_legend,
    reference_lines,
    row_label,
    style_of,
)
from benchmark.report.figures.ticks import Ticks, axis_limits, choose_ticks, draw_frame, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

    from benchmark.evaluation.metrics.base import Output, ReferenceLine

PANEL = 1.65  # inches of a panel's height
TICK_LABELS = 0.5  # inches of the labels and the gap below a panel
GAP = 0.16  # inches between a panel and the tick labels of the next
TICK_GAP = 0.06  # inches between a panel and its tick labels
TITLE_GAP = 0.07  # inches between a panel and its title
NAME = 2.4  # inches of a method's name in a legend, at most
LOG_DECADES = 0.7  # a lower-is-better metric that spans more decades gets a logarithmic axis
MARKERS = 20  # on a curve, at most about
NEAR = 0.6  # a published value further from the curves than this share of their range is a number at the edge
DASH = (0, (5, 3))


# --- measure ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedPoint:
    """A published value of one method. `is_comparable`: it is verified and of our protocol."""

    value: float
    style: Style
    is_comparable: bool

    def label(self, arrow: str) -> str:
        """Its number at the edge of a panel."""
        return f"{format_number(self.value)} {arrow}"


@dataclass(frozen=True)
class Curve:
    """One method. `finished`: values of the finished seeds by step; `stopped`: value by step of each other training."""

    style: Style
    finished: dict[int, list[float]]
    stopped: list[dict[int, float]]

    @property
    def values(self) -> Iterable[float]:
        """All values that are drawn."""
        return chain(*self.finished.values(), *(training.values() for training in self.stopped))


@dataclass(frozen=True, kw_only=True)
class CurvePanel:
    """One metric of one table. `above` and `below`: lines of published values beyond the axis."""

    title: str
    curves: list[Curve]
    published: list[PublishedPoint]
    above: list[Sequence[PublishedPoint]]
    below: list[Sequence[PublishedPoint]]
    references: "list[ReferenceLine]"
    limits: tuple[float, float]
    log: bool
    y_ticks: Ticks


@dataclass(frozen=True)
class Block:
    """The panels of one table in rows, below its title and legend."""

    title: str
    legend: list[list[LegendEntry]]
    rows: list[Sequence[CurvePanel]]
    last_step: int

    @property
    def header_height(self) -> float:
        """Inches of title and legend."""
        return LINE * TITLE * page.LEGEND_LINE + page.legend_height(self.legend, SMALL) + 0.08

    @property
    def height(self) -> float:
        """Inches of everything."""
        return self.header_height + sum(map(_row_height, self.rows))


@dataclass(frozen=True)
class CurvesLayout:
    """The figure's contents and their places. `columns`: left edge and width of each column's panels, in inches."""

    blocks: list[Block]
    columns: list[tuple[float, float]]


def measure(tables: Tables) -> CurvesLayout | None:
    """The layout of the figure; None if no trial has a measurement."""
    shown = {title: members for title, members in tables.items() if any(_measured_trials(row) for row in members)}
    if not shown:
        return None
    styles = choose_styles(tables)
    outputs = {title: _outputs(members) for title, members in shown.items()}
    outputs = {title: chosen for title, chosen in outputs.items() if chosen}
    if not outputs:
        return None
    n_columns = page.columns(map(len, outputs.values()), COLUMNS)
    title_width = (WIDTH - 2 * EDGE) / n_columns - 2 * GAP
    blocks = []
    for title, chosen in outputs.items():
        members = tables[title]
        panels = [_panel(output, members, styles, title_width) for output in chosen]
        blocks.append(
            Block(
                page.wrap(title, TITLE, WIDTH - 2 * EDGE, 1, bold=True),
                page.wrap_entries(_legend(members, styles), SMALL, WIDTH - 2 * EDGE),
                page.rows_of(panels, n_columns),
                max(row.spec.steps for row in members),
            )
        )
    return CurvesLayout(blocks, _columns(chain(*(block.rows for block in blocks)), n_columns))


def _outputs(members: list[LeaderboardRow]) -> "list[Output]":
    """Those without a figure of their own: accuracies on tasks in turn have one."""
    bound = (bound for row in members for bound in bind_metrics(row.spec.protocol))
    in_turn = {key for metric in bound for key in metric.next_task_outputs}
    return [output for output in published_first(members) if output.key not in in_turn]


def _columns(rows: Iterable[Sequence[CurvePanel]], n_columns: int) -> list[tuple[float, float]]:
    """Left edge and width of every column. All panels have one width, whatever their tick labels need."""
    labels = [0.0] * n_columns
    for row in rows:
        for column, panel in enumerate(row):
            labels[column] = max(labels[column], panel.y_ticks.label_width + TICK_GAP)
    width = (WIDTH - 2 * EDGE - sum(labels) - GAP * n_columns) / n_columns
    return [(EDGE + sum(labels[: column + 1]) + column * (width + GAP), width) for column in range(n_columns)]


def _titles_height(row: Sequence[CurvePanel]) -> float:
    return max(page.height(panel.title, HEAD) for panel in row)


def _row_height(row: Sequence[CurvePanel]) -> float:
    return _titles_height(row) + TITLE_GAP + PANEL + TICK_LABELS


def _measured_trials(row: LeaderboardRow) -> list[TrialOutcome]:
    return [trial for trial in row.trials if trial.record and trial.record.history]


def _panel(output: "Output", members: list[LeaderboardRow], styles: Styles, width: float) -> CurvePanel:
    curves = [_curve(row, output.key, style_of(row, styles)) for row in members]
    values = [value for curve in curves for value in curve.values]
    log = _needs_log_axis(values, output)
    near, *far = split_by_distance(list(_published(members, output.key, styles)), values, log)
    above, below = (_in_lines(points, width) for points in far)
    references = [line for line in reference_lines(output.key, members) if not _distance(line.value, values, log)]
    drawn = [*values, *(point.value for point in near), *(line.value for line in references)]
    label_height = LINE * REFERENCE_SIZE if references and above else 0.0  # the label is above its line
    limits = _limits(drawn, log, _lines_height(above) + label_height, _lines_height(below))
    return CurvePanel(
        title=panel_title(output, width),
        curves=curves,
        published=near,
        above=above,
        below=below,
        references=references,
        limits=limits,
        log=log,
        y_ticks=choose_ticks(limits, PANEL, log=log, vertical=True),
    )


def _curve(row: LeaderboardRow, key: str, style: Style) -> Curve:
    stopped = [_finite(trial, key) for trial in _measured_trials(row) if trial.status != "finished"]
    return Curve(style, finished_values(row, key), [training for training in stopped if training])


def finished_values(row: LeaderboardRow, key: str) -> dict[int, list[float]]:
    """The values of all finished seeds by step.

    Only steps that every one of them has: a mean over changing seeds would jump.
    """
    finished = [_finite(trial, key) for trial in _measured_trials(row) if trial.status == "finished"]
    steps = sorted(set.intersection(*map(set, finished))) if finished else []
    return {step: [training[step] for training in finished] for step in steps}


def _finite(trial: TrialOutcome, key: str) -> dict[int, float]:
    """The finite values of a trial by step."""
    history = trial.record.history if trial.record else []
    values = {entry.step: entry.metrics.get(key, math.nan) for entry in history}
    return {step: value for step, value in sorted(values.items()) if math.isfinite(value)}


def _published(members: list[LeaderboardRow], key: str, styles: Styles) -> Iterator[PublishedPoint]:
    for row in members:
        result = row.results.get(key)
        if result and result.published and result.reference:
            yield PublishedPoint(result.published.value, style_of(row, styles), result.reference.is_comparable)


def _needs_log_axis(values: list[float], output: "Output") -> bool:
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    return output.better == "lower" and low > 0 and math.log10(high / low) > LOG_DECADES


def split_by_distance(
    points: list[PublishedPoint], values: list[float], log: bool
) -> tuple[list[PublishedPoint], list[PublishedPoint], list[PublishedPoint]]:
    """The points near the curves, and those far above and far below, which would leave no room for the curves."""
    sides = [_distance(point.value, values, log) for point in points]
    near, above, below = (
        [point for point, side in zip(points, sides, strict=True) if side == which] for which in (0, 1, -1)
    )
    return near, above, below


def _distance(value: float, values: list[float], log: bool) -> int:
    """0 if the value is near those of the curves, 1 if it is far above them, -1 if far below."""
    if not values:
        return 0
    low, high, position = _scale(min(values), log), _scale(max(values), log), _scale(value, log)
    reach = NEAR * (high - low) or abs(high) / 2 or 1.0
    return (position > high + reach) - (position < low - reach)


def _scale(value: float, log: bool) -> float:
    if not log:
        return value
    return math.log10(value) if value > 0 else -math.inf


def _limits(values: list[float], log: bool, above: float, below: float) -> tuple[float, float]:
    """Limits of an axis that keeps `above` and `below` inches free at its ends."""
    low, high = axis_limits(_scale(value, log) for value in values)
    inch = (high - low) / (PANEL - above - below)
    low, high = low - below * inch, high + above * inch
    return (10**low, 10**high) if log else (low, high)


def _in_lines(far: list[PublishedPoint], width: float) -> list[Sequence[PublishedPoint]]:
    """The points in lines across a panel, the highest first."""
    ordered = sorted(far, key=lambda point: -point.value)
    return page.rows_of(ordered, max(1, int((width - 0.6) / _point_width(ordered)))) if ordered else []


def _point_width(points: Iterable[PublishedPoint]) -> float:
    """Inches of a diamond and the widest number."""
    return max(page.width(point.label("↑"), REFERENCE_SIZE) for point in points) + 0.2


def _lines_height(lines: list[Sequence[PublishedPoint]]) -> float:
    return (LINE * REFERENCE_SIZE * len(lines) + 0.04) if lines else 0.0


def _legend(members: list[LeaderboardRow], styles: Styles) -> list[LegendEntry]:
    rows = [row for row in members if _measured_trials(row)]
    entries = [LegendEntry(row_label(row, SMALL, NAME, 1), style_of(row, styles).line) for row in rows]
    return entries + published_legend((result for row in members for result in row.results.values()), FAINT, DASH)


# --- draw ------------------------------------------------------------------------------------------------


def draw_curves(tables: Tables, banner: str = "") -> "Figure | None":
    """Every metric against training step, a panel per table and metric; None without a measurement.

    `banner`: a line at the top.
    """
    layout = measure(tables)
    if layout is None:
        return None
    height = 2 * EDGE + sum(block.height for block in layout.blocks) + page.banner_height(banner)
    figure = Page(height, banner, HEAD, INK)
    top = figure.top
    for block in layout.blocks:
        figure.text(EDGE, top, block.title, TITLE, weight="bold")
        figure.legend(EDGE, top + LINE * TITLE * page.LEGEND_LINE, block.legend, SMALL, INK)
        top += block.header_height
        for row in block.rows:
            panels_top = top + _titles_height(row)
            for panel, (left, width) in zip(row, layout.columns, strict=False):
                figure.text(left, panels_top - page.height(panel.title, HEAD), panel.title, HEAD)
                _draw_panel(figure.axes(left, panels_top + TITLE_GAP, width, PANEL), panel, block.last_step, width)
            top += _row_height(row)
    return figure.figure


def _draw_panel(axes: "Axes", panel: CurvePanel, last_step: int, width: float) -> None:
    if panel.log:
        axes.set_yscale("log")
    axes.set_xlim(0, last_step * 1.02)
    axes.set_ylim(*panel.limits)
    _draw_means(axes, [curve for curve in panel.curves if curve.finished])
    for curve in panel.curves:
        for training in curve.stopped:
            colour = curve.style.colour
            axes.plot(list(training), list(training.values()), color=colour, linestyle=":", linewidth=1.2)
            axes.plot(*list(training.items())[-1], color=colour, marker="x", markersize=6)
    for point in panel.published:
        line = point.style.line | {"linewidth": 0.9, "linestyle": DASH, "marker": ""}
        axes.axhline(point.value, zorder=1.5, **line)
        _draw_diamond(axes, point, 1, point.value, axes.get_yaxis_transform())
    line_height = LINE * REFERENCE_SIZE / PANEL
    for index, points in enumerate(panel.above):
        _draw_far_points(axes, points, 1 - (index + 0.7) * line_height, "↑", width)
    for index, points in enumerate(reversed(panel.below)):
        _draw_far_points(axes, points, (index + 0.7) * line_height, "↓", width)
    for reference in panel.references:
        draw_reference_line(axes, reference, horizontal=True)
    draw_frame(axes, choose_ticks((0, last_step * 1.02), width, steps=True), panel.y_ticks, FRAME)
    axes.text(0.5, -0.3 / PANEL, "training step", transform=axes.transAxes, ha="center", va="center", fontsize=SMALL)


def _draw_means(axes: "Axes", curves: list[Curve]) -> None:
    """The means of finished seeds, over bands from the lowest seed to the highest."""
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

    bands = []
    for curve in curves:
        steps, values = list(curve.finished), list(curve.finished.values())
        low, high = [min(seeds) for seeds in values], [max(seeds) for seeds in values]
        bands.append([*zip(steps, low, strict=True), *zip(reversed(steps), reversed(high), strict=True)])
        line = curve.style.line | {"markersize": 3, "markevery": max(1, round(len(steps) / MARKERS))}
        axes.add_artist(Line2D(steps, [fmean(seeds) for seeds in values], **line))
    colours = [curve.style.colour for curve in curves]
    axes.add_collection(PolyCollection(bands, facecolors=colours, alpha=0.18, linewidths=0), autolim=False)


def _draw_diamond(axes: "Axes", point: PublishedPoint, x: float, y: float, transform: "Transform") -> None:
    axes.plot(
        [x],
        [y],
        transform=transform,
        marker="D",
        markersize=4,
        color=point.style.colour,
        markerfacecolor=point.style.colour if point.is_comparable else "white",
        clip_on=False,
        zorder=5,
    )


def _draw_far_points(axes: "Axes", points: Sequence[PublishedPoint], y: float, arrow: str, width: float) -> None:
    """The numbers of published values beyond the axis, from the right end to the left."""
    for index, point in enumerate(points):
        x = 1 - index * _point_width(points) / width
        _draw_diamond(axes, point, x, y, axes.transAxes)
        axes.text(
            x - 0.06 / width,
            y,
            point.label(arrow),
            transform=axes.transAxes,
            ha="right",
            va="center",
            fontsize=REFERENCE_SIZE,
            zorder=5,
            gid="far",
        )
