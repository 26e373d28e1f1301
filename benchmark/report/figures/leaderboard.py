"""The main figure: every metric of every method, measured and published."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, outputs_of
from benchmark.core.protocol import metric_of_output
from benchmark.report import text
from benchmark.report.figures import page as layout
from benchmark.report.figures.page import EDGE, LINE, LegendEntry, Page, Ticks
from benchmark.report.figures.style import (
    FAINT,
    FRAME,
    HEAD,
    INK,
    REFERENCE_SIZE,
    SMALL,
    TITLE,
    Style,
    panel_title,
    row_label,
    style_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.evaluation.metrics.base import Output
from benchmark.report.figures.style import (
    COLUMNS,
    Tables,
    _is_published,
    comparable,
    dataset_key,
    draw_reference_line,
    published_first,
    published_key,
    reference_lines,
    styles,
)

ROW = 0.4  # inches of a method
LABEL = 1.4  # inches of its name, at most
NUMBERS = 1.35  # inches of `mean ± spread`, at most
GAP = 0.1  # inches between what stands side by side
SEED_LANE, PUBLISHED_LANE = 0.27, -0.29  # below and above the mean, in rows
CAP = 0.1  # half of the cap of a bar, in rows


def split(tables: Tables) -> tuple[set[str], set[str]]:
    """The outputs of the main figure, and those that are drawn besides.

    Besides are those of tables that have more than fit beside each other, unless they have a published value somewhere
    in the suite. A table that would have nothing left in the main figure keeps all.
    """
    own = [{output.key for output in outputs_of(members)} for members in tables.values()]
    everything = set[str]().union(*own)
    published = {key for key in everything if any(_is_published(members, key) for members in tables.values())}
    besides = set[str]().union(*(keys for keys in own if len(keys) > COLUMNS)) - published
    for keys in own:
        if keys <= besides:
            besides -= keys
    return everything - besides, besides


@dataclass(frozen=True)
class LeaderboardLine:
    """The panels of a table that stand beside each other; only the first line of a table has its title."""

    title: str
    members: list[LeaderboardRow]
    names: list[str]
    outputs: "Sequence[Output]"
    heads: list[str]
    marked: bool  # by a landmark, whose words stand above the panel

    @property
    def lead(self) -> float:
        """Inches above its panels."""
        heads = max(layout.height(head, HEAD) for head in self.heads)
        return bool(self.title) * LINE * TITLE * 1.3 + heads + 0.06 + self.marked * LINE * REFERENCE_SIZE * 1.1

    @property
    def panel(self) -> float:
        """Inches of its panels."""
        return ROW * len(self.members)

    @property
    def height(self) -> float:
        """Inches of all, with the labels of the ticks and the gap below."""
        return self.lead + self.panel + 0.42


def draw_leaderboard(tables: Tables, keys: Collection[str], said: str = "") -> "Figure":
    """Per table and metric: mean ± spread, single seeds and published values of every method.

    `keys`: of the outputs that are shown. `said`: a line at the top.
    """
    shown = {title: [o for o in published_first(members) if o.key in keys] for title, members in tables.items()}
    shown = {title: outputs for title, outputs in shown.items() if outputs}
    columns = layout.columns(map(len, shown.values()), COLUMNS)
    names = {title: [row_label(row, HEAD, LABEL) for row in tables[title]] for title in shown}
    start = EDGE + max(layout.width(name, HEAD) for found in names.values() for name in found) + GAP
    pitch = (layout.WIDTH - EDGE - start) / columns
    parts = {title: layout.rows_of(outputs, columns) for title, outputs in shown.items()}
    lines = [line for title in shown for line in _lines(title, tables[title], names[title], parts[title], pitch - GAP)]
    numbers = [
        max((_numbers_width(line, column) for line in lines if column < len(line.outputs)), default=0.0)
        for column in range(columns)
    ]
    key = layout.wrap_entries(_key(tables, keys), SMALL, layout.WIDTH - 2 * EDGE)
    page = Page(EDGE + _said_height(said) + sum(line.height for line in lines) + layout.key_height(key, SMALL) + EDGE)
    page.words(EDGE, EDGE, said, HEAD, color=INK)
    top = EDGE + _said_height(said)
    chosen, ranges = styles(tables), _ranges(tables, shown)
    for line in lines:
        page.words(EDGE, top, line.title, TITLE, weight="bold")
        for column, (output, head) in enumerate(zip(line.outputs, line.heads, strict=True)):
            left, inches = start + column * pitch, pitch - numbers[column] - 2 * GAP
            axes = page.axes(left, top + line.lead, inches, line.panel)
            below_words = top + line.lead - 0.06 - line.marked * LINE * REFERENCE_SIZE * 1.1
            page.words(left, below_words - layout.height(head, HEAD), head, HEAD)
            limits = ranges[_alike(line.members, output)]
            _dots(axes, output, line.members, chosen, limits, inches)
            _frame(axes, line.members, output.key, inches)
            for place, name in enumerate(line.names if column == 0 else []):
                axes.text(
                    -GAP / inches,
                    place,
                    name,
                    transform=axes.get_yaxis_transform(),
                    ha="right",
                    va="center",
                    fontsize=HEAD,
                    gid="row",
                )
        top += line.height
    page.key(EDGE, top, key, SMALL, INK)
    return page.figure


def _said_height(said: str) -> float:
    return 0.25 if said else 0.0


def _lines(
    title: str, members: list[LeaderboardRow], names: list[str], chunks: "Iterable[Sequence[Output]]", inches: float
) -> list[LeaderboardLine]:
    found: list[LeaderboardLine] = []
    for chunk in chunks:
        name = "" if found else layout.wrap(title, TITLE, layout.WIDTH - 2 * EDGE, 1, bold=True)
        heads = [panel_title(output, inches) for output in chunk]
        marked = any(reference_lines(output.key, members) for output in chunk)
        found.append(LeaderboardLine(name, members, names, chunk, heads, marked))
    return found


def _alike(members: list[LeaderboardRow], output: "Output") -> tuple[object, ...]:
    """The same for numbers that can be compared by eye: of the same data, measured under the same protocol."""
    measured = [row.spec.protocol for row in members if output.key in row.results]
    stated = frozenset(tuple(metric_of_output(protocol, output.key).protocol_fields.items()) for protocol in measured)
    return dataset_key(members), output.key, stated


def _ranges(tables: Tables, shown: "Mapping[str, list[Output]]") -> dict[tuple[object, ...], tuple[float, float]]:
    """What `_alike` says -> limits of the axis."""
    values: dict[tuple[object, ...], list[float]] = {}
    for title, outputs in shown.items():
        for output in outputs:
            found = values.setdefault(_alike(tables[title], output), [])
            found += _values(tables[title], output.key)
    return {where: layout.limits(found) for where, found in values.items()}


def _values(members: list[LeaderboardRow], key: str) -> list[float]:
    found = [mark.value for mark in reference_lines(key, members)]
    for result in filter(None, (row.results.get(key) for row in members)):
        if result.published:
            value, spread = result.published.value, result.published.spread
            found += [value - (spread or 0), value + (spread or 0)]
        if result.aggregate:
            mean, spread = result.aggregate.mean, result.aggregate.std
            found += [*result.aggregate.values.values(), mean - (spread or 0), mean + (spread or 0)]
    return [value for value in found if math.isfinite(value)]


def _numbers(row: LeaderboardRow, result: MetricResult) -> str:
    words = text.format_measured(result) or result.verdict.value
    if result.aggregate and not row.counts.is_complete:
        words += f"\n{row.counts.finished} of {row.counts.total} seeds"
    return "\n".join(layout.wrap(line, SMALL, NUMBERS, 2) for line in words.split("\n"))


def _numbers_width(line: LeaderboardLine, column: int) -> float:
    results = [(row, row.results.get(line.outputs[column].key)) for row in line.members]
    return max((layout.width(_numbers(row, result), SMALL) for row, result in results if result), default=0.0)


def _dots(
    axes: "Axes",
    output: "Output",
    members: list[LeaderboardRow],
    chosen: Mapping[tuple[str, str], Style],
    limits: tuple[float, float],
    inches: float,
) -> None:
    found = [(place, row, result) for place, row in enumerate(members) if (result := row.results.get(output.key))]
    _published(axes, [(place, result) for place, _, result in found])
    _measured(axes, [(place, result, style_of(row, chosen).colour) for place, row, result in found])
    for place, row, result in found:
        axes.text(
            1 + GAP / inches,
            place,
            _numbers(row, result),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
            color=INK if result.aggregate else FAINT,
        )
    for mark in reference_lines(output.key, members):
        draw_reference_line(axes, mark, horizontal=False)
    axes.set_xlim(*limits)
    axes.set_ylim(len(members) - 0.5, -0.5)


def _frame(axes: "Axes", members: list[LeaderboardRow], key: str, inches: float) -> None:
    """No numbers on the axis where there is nothing."""
    results = [row.results[key] for row in members if key in row.results]
    anything = any(result.aggregate or result.published for result in results)
    across = layout.ticks(axes.get_xlim(), inches) if anything else Ticks([], [])
    layout.draw_frame(axes, across, Ticks(list(range(len(members))), [""] * len(members)), FRAME, left=False)


def _measured(axes: "Axes", found: list[tuple[int, MetricResult, str]]) -> None:
    """Single seeds; a bar of one sample standard deviation to both sides of the mean; the mean."""
    from matplotlib.collections import LineCollection

    seeds, bars, means = [], [], []
    for place, result, colour in found:
        if result.aggregate is None:
            continue
        finite = filter(math.isfinite, result.aggregate.values.values())
        seeds += [(value, place + SEED_LANE, colour) for value in finite]
        mean, spread = result.aggregate.mean, result.aggregate.std
        if math.isfinite(mean):
            means.append((mean, place, colour))
            bars += [(line, colour) for line in _bar(mean, place, spread, CAP)]
    for dots, look in ((seeds, {"s": 9, "alpha": 0.65, "zorder": 3}), (means, {"s": 42, "zorder": 5})):
        across, down, colours = zip(*dots, strict=True) if dots else ((), (), ())
        axes.scatter(across, down, c=colours, linewidths=0, **look)
    lines, colours = zip(*bars, strict=True) if bars else ((), ())
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=2, zorder=4), autolim=False)


def _bar(centre: float, place: float, spread: float | None, cap: float) -> list[list[tuple[float, float]]]:
    if spread is None:
        return []
    low, high = centre - spread, centre + spread
    return [[(low, place), (high, place)], *([(end, place - cap), (end, place + cap)] for end in (low, high))]


def _published(axes: "Axes", found: list[tuple[int, MetricResult]]) -> None:
    from matplotlib.collections import LineCollection

    diamonds, bars = [], []
    for place, result in found:
        if result.published and result.reference:
            value, spread = result.published.value, result.published.spread
            face = INK if comparable(result.reference) else "white"
            diamonds.append((value, place + PUBLISHED_LANE, face))
            bars += _bar(value, place + PUBLISHED_LANE, spread, 0.0)[:1]
    if diamonds:
        across, down, faces = zip(*diamonds, strict=True)
        axes.add_collection(LineCollection(bars, colors=INK, linewidths=0.8, zorder=3), autolim=False)
        axes.scatter(across, down, s=20, marker="D", c=faces, edgecolors=INK, linewidths=0.9, zorder=4)


def _key(tables: Tables, keys: Collection[str]) -> list[LegendEntry]:
    """What the signs mean; only those that occur."""
    rows = [row for members in tables.values() for row in members]
    results = [result for row in rows for key, result in row.results.items() if key in keys]
    entries = []
    if any(result.aggregate for result in results):
        entries.append(LegendEntry("mean ± s.d. over seeds", {"color": FAINT, "marker": "o", "markersize": 6.5}))
        entries.append(LegendEntry("one seed", {"color": FAINT, "marker": "o", "markersize": 3, "linestyle": "none"}))
    return entries + published_key([result for result in results if result.reference])
