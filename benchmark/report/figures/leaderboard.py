"""The main figure: every metric of every method, measured and published.

`measure` finds the place of everything; `draw_leaderboard` then draws it.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, headline_outputs
from benchmark.core.protocol import metric_of_output
from benchmark.report import text
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
    Styles,
    Tables,
    choose_styles,
    draw_reference_line,
    is_published,
    panel_title,
    published_first,
    published_legend,
    reference_lines,
    row_label,
    style_of,
)
from benchmark.report.figures.ticks import Ticks, axis_limits, choose_ticks, draw_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.evaluation.metrics.base import Output

ROW = 0.4  # inches of a row
LABEL = 1.4  # inches of a row's name, at most
NUMBERS = 1.35  # inches of `mean ± spread`, at most
GAP = 0.1  # inches between neighbours
TITLE_GAP = 0.06  # inches between a panel and the title above it
TICK_LABELS = 0.42  # inches of the tick labels and the gap below a panel
SEED_LANE, PUBLISHED_LANE = 0.27, -0.29  # below and above the mean, in rows
CAP = 0.1  # half the length of a bar's cap, in rows

Limits = dict[tuple[object, ...], tuple[float, float]]  # of an axis, by the key of `_axis`
Segment = list[tuple[float, float]]


def split(tables: Tables) -> tuple[set[str], set[str]]:
    """The output keys of the main figure, and those of the figure of other metrics.

    Other metrics are those of tables with more metrics than columns, unless they have a published value somewhere in
    the suite. A table that would have nothing left in the main figure keeps all its metrics there.
    """
    keys_of = [{output.key for output in headline_outputs(members)} for members in tables.values()]
    everything = set[str]().union(*keys_of)
    published = {key for key in everything if any(is_published(members, key) for members in tables.values())}
    others = set[str]().union(*(keys for keys in keys_of if len(keys) > COLUMNS)) - published
    for keys in keys_of:
        if keys <= others:
            others -= keys
    return everything - others, others


# --- measure ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """One metric of one table. `numbers`: texts to the right of the panel by row: mean and spread, or the verdict."""

    output: "Output"
    title: str
    limits: tuple[float, float]
    numbers: dict[int, str]

    @property
    def numbers_width(self) -> float:
        """Inches of the widest of the numbers."""
        return max((page.width(words, SMALL) for words in self.numbers.values()), default=0.0)


@dataclass(frozen=True)
class PanelBand:
    """Panels side by side. A table with many metrics has several bands, of which only the first has a title."""

    title: str
    rows: list[LeaderboardRow]
    row_labels: list[str]
    panels: list[Panel]
    reference_height: float  # inches of the labels of reference lines above the panels

    @property
    def header_height(self) -> float:
        """Inches above the panels."""
        titles = max(page.height(panel.title, HEAD) for panel in self.panels)
        return bool(self.title) * LINE * TITLE * 1.3 + titles + TITLE_GAP + self.reference_height

    @property
    def panel_height(self) -> float:
        """Inches of the panels."""
        return ROW * len(self.rows)

    @property
    def height(self) -> float:
        """Inches of everything."""
        return self.header_height + self.panel_height + TICK_LABELS


@dataclass(frozen=True)
class LeaderboardLayout:
    """The figure's contents and their places. `columns`: left edge and width of each column's panels, in inches."""

    bands: list[PanelBand]
    columns: list[tuple[float, float]]
    legend: list[list[LegendEntry]]


def measure(tables: Tables, keys: Collection[str]) -> LeaderboardLayout:
    """The layout of a figure of these outputs."""
    outputs = {title: [o for o in published_first(members) if o.key in keys] for title, members in tables.items()}
    outputs = {title: chosen for title, chosen in outputs.items() if chosen}
    n_columns = page.columns(map(len, outputs.values()), COLUMNS)
    row_labels = {title: [row_label(row, HEAD, LABEL) for row in tables[title]] for title in outputs}
    left = EDGE + max(page.width(label, HEAD) for labels in row_labels.values() for label in labels) + GAP
    pitch = (WIDTH - EDGE - left) / n_columns

    limits = _limits(tables, outputs)
    bands = []
    for title, members in ((title, tables[title]) for title in outputs):
        for index, chosen in enumerate(page.rows_of(outputs[title], n_columns)):
            panels = [_panel(output, members, limits, pitch - GAP) for output in chosen]
            has_references = any(reference_lines(output.key, members) for output in chosen)
            bands.append(
                PanelBand(
                    page.wrap(title, TITLE, WIDTH - 2 * EDGE, 1, bold=True) if index == 0 else "",
                    members,
                    row_labels[title],
                    panels,
                    has_references * LINE * REFERENCE_SIZE * 1.1,
                )
            )
    columns = []
    for column in range(n_columns):
        numbers = [band.panels[column].numbers_width for band in bands if column < len(band.panels)]
        columns.append((left + column * pitch, pitch - max(numbers, default=0.0) - 2 * GAP))
    return LeaderboardLayout(bands, columns, page.wrap_entries(_legend(tables, keys), SMALL, WIDTH - 2 * EDGE))


def _panel(output: "Output", members: list[LeaderboardRow], limits: Limits, width: float) -> Panel:
    """`width`: inches of the panel and the numbers beside it."""
    numbers = {}
    for index, row in enumerate(members):
        if result := row.results.get(output.key):
            lines = [_numbers(result)]
            if result.aggregate and not row.counts.is_complete:
                lines.append(f"{row.counts.finished} of {row.counts.total} seeds")
            numbers[index] = "\n".join(page.wrap(line, SMALL, NUMBERS, 2) for line in lines)
    return Panel(output, panel_title(output, width), limits[_axis(members, output)], numbers)


def _numbers(result: MetricResult) -> str:
    """The judged value in words, or the verdict without one."""
    shown = text.format_measured(result)
    is_best = shown and result.judged and result.judged.best_of > 1
    return f"{shown}, best of {result.judged.best_of}" if is_best and result.judged else shown or result.verdict.value


def _axis(members: list[LeaderboardRow], output: "Output") -> tuple[object, ...]:
    """A key of the axis: only numbers of the same datasets and the same protocol share one."""
    datasets = tuple(sorted({row.spec.dataset for row in members}))
    protocols = [row.spec.protocol for row in members if output.key in row.results]
    return (
        datasets,
        output.key,
        frozenset(tuple(metric_of_output(p, output.key).protocol_fields.items()) for p in protocols),
    )


def _limits(tables: Tables, outputs: "dict[str, list[Output]]") -> Limits:
    values: dict[tuple[object, ...], list[float]] = {}
    for title, chosen in outputs.items():
        for output in chosen:
            values.setdefault(_axis(tables[title], output), []).extend(_values(tables[title], output.key))
    return {axis: axis_limits(filter(math.isfinite, drawn)) for axis, drawn in values.items()}


def _values(members: list[LeaderboardRow], key: str) -> Iterator[float]:
    """All that is drawn on an axis."""
    yield from (reference.value for reference in reference_lines(key, members))
    for result in filter(None, (row.results.get(key) for row in members)):
        if result.published:
            value, spread = result.published.value, result.published.spread or 0
            yield from (value - spread, value + spread)
        if result.judged:
            yield from result.judged.trainings.values.values()
        if (estimate := _estimate(result)) is not None:
            std = _spread(result) or 0
            yield from (estimate - std, estimate + std)


def _estimate(result: MetricResult) -> float | None:
    """The large dot: the judged value."""
    return result.judged.estimate if result.judged else None


def _spread(result: MetricResult) -> float | None:
    """Half the length of its bar: the standard deviation over seeds of a mean. An expected best has none."""
    return result.judged.trainings.std if result.judged and result.judged.best_of == 1 else None


def _legend(tables: Tables, keys: Collection[str]) -> list[LegendEntry]:
    """The signs that occur."""
    rows = [row for members in tables.values() for row in members]
    results = [result for row in rows for key, result in row.results.items() if key in keys]
    entries = []
    judged = [result.judged for result in results if result.judged]
    dot = {"color": FAINT, "marker": "o", "markersize": 6.5}
    if any(value.best_of == 1 for value in judged):
        entries.append(LegendEntry("mean ± s.d. over seeds", dot))
    if any(value.best_of > 1 for value in judged):
        entries.append(LegendEntry("expected best of several seeds", dot | {"linestyle": "none"}))
    if judged:
        entries.append(LegendEntry("one seed", {"color": FAINT, "marker": "o", "markersize": 3, "linestyle": "none"}))
    return entries + published_legend(results)


# --- draw ------------------------------------------------------------------------------------------------


def draw_leaderboard(tables: Tables, keys: Collection[str], banner: str = "") -> "Figure":
    """Mean ± spread, single seeds and published value of every method, a panel per table and output.

    `keys`: of the outputs to show. `banner`: a line at the top.
    """
    layout, styles = measure(tables, keys), choose_styles(tables)
    height = EDGE + page.banner_height(banner) + sum(band.height for band in layout.bands)
    figure = Page(height + page.legend_height(layout.legend, SMALL) + EDGE, banner, HEAD, INK)
    top = figure.top
    for band in layout.bands:
        _draw_band(figure, band, top, layout.columns, styles)
        top += band.height
    figure.legend(EDGE, top, layout.legend, SMALL, INK)
    return figure.figure


def _draw_band(
    figure: Page, band: PanelBand, top: float, columns: Sequence[tuple[float, float]], styles: Styles
) -> None:
    figure.text(EDGE, top, band.title, TITLE, weight="bold")
    panels_top = top + band.header_height
    for column, (panel, (left, width)) in enumerate(zip(band.panels, columns, strict=False)):
        axes = figure.axes(left, panels_top, width, band.panel_height)
        bottom = panels_top - TITLE_GAP - band.reference_height
        figure.text(left, bottom - page.height(panel.title, HEAD), panel.title, HEAD)
        _draw_panel(axes, panel, band.rows, styles, width)
        for index, label in enumerate(band.row_labels if column == 0 else []):
            transform = axes.get_yaxis_transform()
            axes.text(
                -GAP / width, index, label, transform=transform, ha="right", va="center", fontsize=HEAD, gid="row"
            )


def _draw_panel(axes: "Axes", panel: Panel, rows: list[LeaderboardRow], styles: Styles, width: float) -> None:
    key = panel.output.key
    results = [(index, row, result) for index, row in enumerate(rows) if (result := row.results.get(key))]
    _draw_published(axes, [(index, result) for index, _, result in results])
    _draw_measured(axes, [(index, result, style_of(row, styles).colour) for index, row, result in results])
    for index, _, result in results:
        axes.text(
            1 + GAP / width,
            index,
            panel.numbers[index],
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
            color=INK if result.aggregate else FAINT,
        )
    for reference in reference_lines(key, rows):
        draw_reference_line(axes, reference, horizontal=False)
    axes.set_xlim(*panel.limits)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    is_empty = not any(result.aggregate or result.published for _, _, result in results)
    x_ticks = Ticks([], []) if is_empty else choose_ticks(axes.get_xlim(), width)
    draw_frame(axes, x_ticks, Ticks(list(range(len(rows))), [""] * len(rows)), FRAME, y_axis=False)


def _draw_measured(axes: "Axes", results: list[tuple[int, MetricResult, str]]) -> None:
    """Single seeds, and the judged value; a mean has a bar of one sample standard deviation to both sides."""
    from matplotlib.collections import LineCollection

    seeds, means = [], []
    bars: list[Segment] = []
    bar_colours: list[str] = []
    for index, result, colour in results:
        if result.judged is None:
            continue
        finite = filter(math.isfinite, result.judged.trainings.values.values())
        seeds += [(value, index + SEED_LANE, colour) for value in finite]
        if (estimate := _estimate(result)) is not None:
            means.append((estimate, index, colour))
            segments = _bar(estimate, index, _spread(result), CAP)
            bars += segments
            bar_colours += [colour] * len(segments)
    for dots, size, alpha, zorder in ((seeds, 9, 0.65, 3), (means, 42, None, 5)):
        xs, ys, colours = zip(*dots, strict=True) if dots else ((), (), ())
        axes.scatter(xs, ys, c=colours, linewidths=0, s=size, alpha=alpha, zorder=zorder)
    axes.add_collection(LineCollection(bars, colors=bar_colours, linewidths=2, zorder=4), autolim=False)


def _bar(centre: float, y: float, spread: float | None, cap: float) -> list[Segment]:
    """A horizontal bar of `spread` to both sides, and its caps."""
    if spread is None:
        return []
    low, high = centre - spread, centre + spread
    return [[(low, y), (high, y)], *([(end, y - cap), (end, y + cap)] for end in (low, high))]


def _draw_published(axes: "Axes", results: list[tuple[int, MetricResult]]) -> None:
    from matplotlib.collections import LineCollection

    diamonds = []
    bars: list[Segment] = []
    for index, result in results:
        if result.published and result.reference:
            value, spread = result.published.value, result.published.spread
            face = INK if result.reference.is_comparable else "white"
            diamonds.append((value, index + PUBLISHED_LANE, face))
            bars += _bar(value, index + PUBLISHED_LANE, spread, 0.0)[:1]
    if diamonds:
        xs, ys, faces = zip(*diamonds, strict=True)
        axes.add_collection(LineCollection(bars, colors=INK, linewidths=0.8, zorder=3), autolim=False)
        axes.scatter(xs, ys, s=20, marker="D", c=faces, edgecolors=INK, linewidths=0.9, zorder=4)
