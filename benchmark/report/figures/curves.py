"""The learning curves: every metric against the training step, beside what was published."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import LeaderboardRow, TrialOutcome
from benchmark.report.figures import page as layout
from benchmark.report.figures.page import EDGE, LINE, LegendEntry, Page, Ticks
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
    Tables,
    panel_title,
    published_first,
    published_key,
    row_label,
    style_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

    from benchmark.evaluation.metrics.base import Output, ReferenceLine
from benchmark.report.figures.style import comparable, draw_reference_line, reference_lines, styles

PANEL = 1.65  # inches
FOOT = 0.5  # inches below it, of labels and gap
GAP = 0.16  # inches between a panel and the labels of the next
SPENT = 0.06  # inches between a panel and its labels
NAME = 2.4  # inches of a method's name in a key, at most
DECADES = 0.7  # a lower-is-better metric that spans more than these is drawn on a logarithmic axis
MARKED = 20  # markers on a curve, about, at most
FAR = 0.6  # of the range of the curves: what was published further away than that is only named at the edge
DASH = (0, (5, 3))


@dataclass(frozen=True)
class PublishedPoint:
    """A published value of one method; `full`: it is verified and of our protocol."""

    value: float
    style: Style
    full: bool


@dataclass(frozen=True)
class Curve:
    """One method: step -> values of its finished seeds, at the steps that all have; and the trainings that stopped."""

    style: Style
    finished: dict[int, list[float]]
    stopped: list[dict[int, float]]

    @property
    def values(self) -> Iterable[float]:
        """All that is drawn."""
        return chain(*self.finished.values(), *(one.values() for one in self.stopped))


@dataclass(frozen=True)
class CurvePanel:
    """One metric of one table: what is drawn, and the axis that has room for it.

    `above` and `below` are lines of published values beyond the axis.
    """

    head: str
    curves: list[Curve]
    lines: list[PublishedPoint]
    above: list[Sequence[PublishedPoint]]
    below: list[Sequence[PublishedPoint]]
    landmarks: "list[ReferenceLine]"
    limits: tuple[float, float]
    log: bool
    ticks: Ticks


def curves(tables: Tables, said: str = "") -> "Figure | None":
    """Every metric against training step, a panel per table and metric; None without any curve. `said`: at the top."""
    shown = {title: members for title, members in tables.items() if any(_histories(row) for row in members)}
    if not shown:
        return None
    chosen = styles(tables)
    outputs = {title: published_first(members) for title, members in shown.items()}
    columns = layout.columns(map(len, outputs.values()), COLUMNS)
    head = (layout.WIDTH - 2 * EDGE) / columns - 2 * GAP
    parts = {
        title: [_panel(output, members, chosen, head) for output in outputs[title]] for title, members in shown.items()
    }
    keys = {title: layout.wrap_entries(_key(shown[title], chosen), SMALL, layout.WIDTH - 2 * EDGE) for title in shown}
    blocks = {title: layout.rows_of(panels, columns) for title, panels in parts.items()}
    tall = [_lead(title, keys) + sum(map(_tall, lines)) for title, lines in blocks.items()]
    page = Page(2 * EDGE + sum(tall) + (0.25 if said else 0))
    page.words(EDGE, EDGE, said, HEAD, color=INK)
    top = EDGE + (0.25 if said else 0)
    places = _places(list(chain(*blocks.values())), columns)
    for title, lines in blocks.items():
        page.words(EDGE, top, layout.wrap(title, TITLE, layout.WIDTH - 2 * EDGE, 1, bold=True), TITLE, weight="bold")
        page.key(EDGE, top + LINE * TITLE * 1.15, keys[title], SMALL, INK)
        top += _lead(title, keys)
        last = max(row.spec.steps for row in shown[title])
        for line in lines:
            for panel, (left, inches) in zip(line, places, strict=False):
                page.words(left, top + _heads(line) - layout.height(panel.head, HEAD), panel.head, HEAD)
                _draw(page.axes(left, top + _heads(line) + 0.07, inches, PANEL), panel, last, inches)
            top += _tall(line)
    return page.figure


def _lead(title: str, keys: Mapping[str, list[list[LegendEntry]]]) -> float:
    return LINE * TITLE * 1.15 + layout.key_height(keys[title], SMALL) + 0.08


def _heads(line: Sequence[CurvePanel]) -> float:
    return max(layout.height(panel.head, HEAD) for panel in line)


def _tall(line: Sequence[CurvePanel]) -> float:
    return _heads(line) + 0.07 + PANEL + FOOT


def _places(lines: Iterable[Sequence[CurvePanel]], columns: int) -> list[tuple[float, float]]:
    """Left edge and width of every column; the panels are of one width, whatever the labels of their ticks need."""
    room = [0.0] * columns
    for line in lines:
        for column, panel in enumerate(line):
            room[column] = max(room[column], panel.ticks.widest + SPENT)
    inches = (layout.WIDTH - 2 * EDGE - sum(room) - GAP * columns) / columns
    lefts = [EDGE + sum(room[: column + 1]) + column * (inches + GAP) for column in range(columns)]
    return [(left, inches) for left in lefts]


# --- what is drawn ---------------------------------------------------------------------------------------


def _histories(row: LeaderboardRow) -> list[TrialOutcome]:
    return [trial for trial in row.trials if trial.record and trial.record.history]


def _panel(
    output: "Output", members: list[LeaderboardRow], chosen: Mapping[tuple[str, str], Style], head: float
) -> CurvePanel:
    found = [_curve(row, output.key, style_of(row, chosen)) for row in members]
    values = [value for curve in found for value in curve.values]
    published = _published(members, output.key, chosen)
    log = _logarithmic(values, output)
    near, *far = _by_distance(published, values, log)
    above, below = (_in_lines(found, head) for found in far)
    marks = [mark for mark in reference_lines(output.key, members) if not _distance(mark.value, values, log)]
    shown = [*values, *(one.value for one in near), *(mark.value for mark in marks)]
    words = LINE * REFERENCE_SIZE if marks and above else 0.0  # a landmark's own stand above its line
    limits = _limits(shown, log, _strip(above) + words, _strip(below))
    ticks = layout.ticks(limits, PANEL, log, upright=True)
    return CurvePanel(panel_title(output, head), found, near, above, below, marks, limits, log, ticks)


def _curve(row: LeaderboardRow, key: str, style: Style) -> Curve:
    finished = [_finite(trial, key) for trial in _histories(row) if trial.status == "finished"]
    stopped = [_finite(trial, key) for trial in _histories(row) if trial.status != "finished"]
    # only steps that every finished seed has: a mean over changing seeds would jump
    steps = sorted(set.intersection(*map(set, finished))) if finished else []
    return Curve(style, {step: [one[step] for one in finished] for step in steps}, list(filter(None, stopped)))


def _finite(trial: TrialOutcome, key: str) -> dict[int, float]:
    """Step -> value, finite ones."""
    history = trial.record.history if trial.record else []
    found = {entry.step: entry.metrics.get(key, math.nan) for entry in history}
    return {step: value for step, value in sorted(found.items()) if math.isfinite(value)}


def _published(
    members: list[LeaderboardRow], key: str, chosen: Mapping[tuple[str, str], Style]
) -> list[PublishedPoint]:
    found = [(row, row.results.get(key)) for row in members]
    return [
        PublishedPoint(result.published.value, style_of(row, chosen), comparable(result.reference))
        for row, result in found
        if result and result.published and result.reference
    ]


def _logarithmic(values: list[float], output: "Output") -> bool:
    """Where the curves of a lower-is-better metric span more than a decade."""
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    return output.better == "lower" and low > 0 and math.log10(high / low) > DECADES


def _by_distance(
    published: list[PublishedPoint], values: list[float], log: bool
) -> tuple[list[PublishedPoint], list[PublishedPoint], list[PublishedPoint]]:
    """Those near the curves, those far above and those far below, which would press all curves into a corner."""
    sides = [_distance(one.value, values, log) for one in published]
    near, above, below = ([one for one, side in zip(published, sides, strict=True) if side == at] for at in (0, 1, -1))
    return near, above, below


def _distance(value: float, values: list[float], log: bool) -> int:
    """0 for what is near the values of the curves, 1 far above them, -1 far below."""
    if not values:
        return 0
    low, high, place = _scaled(min(values), log), _scaled(max(values), log), _scaled(value, log)
    reach = FAR * (high - low) or abs(high) / 2 or 1.0
    return (place > high + reach) - (place < low - reach)


def _scaled(value: float, log: bool) -> float:
    if not log:
        return value
    return math.log10(value) if value > 0 else -math.inf


def _limits(values: list[float], log: bool, above: float, below: float) -> tuple[float, float]:
    """Of the axis, which keeps so many inches free at its top and its bottom."""
    low, high = layout.limits([_scaled(value, log) for value in values])
    inch = (high - low) / (PANEL - above - below)
    low, high = low - below * inch, high + above * inch
    return (10**low, 10**high) if log else (low, high)


def _in_lines(far: list[PublishedPoint], inches: float) -> list[Sequence[PublishedPoint]]:
    """As many as have room beside each other, the highest first."""
    found = sorted(far, key=lambda one: -one.value)
    return layout.rows_of(found, max(1, int((inches - 0.6) / _entry(found)))) if found else []


def _entry(far: Iterable[PublishedPoint]) -> float:
    """Inches of a diamond and the widest number."""
    return max(layout.width(_number(one, "↑"), REFERENCE_SIZE) for one in far) + 0.2


def _number(one: PublishedPoint, arrow: str) -> str:
    return f"{layout.number(one.value)} {arrow}"


def _strip(far: list[Sequence[PublishedPoint]]) -> float:
    return (LINE * REFERENCE_SIZE * len(far) + 0.04) if far else 0.0


# --- drawing ---------------------------------------------------------------------------------------------


def _draw(axes: "Axes", panel: CurvePanel, last: int, inches: float) -> None:
    if panel.log:
        axes.set_yscale("log")
    axes.set_xlim(0, last * 1.02)
    axes.set_ylim(*panel.limits)
    _draw_curves(axes, [curve for curve in panel.curves if curve.finished])
    for colour, one in ((curve.style.colour, one) for curve in panel.curves for one in curve.stopped):
        axes.plot(list(one), list(one.values()), color=colour, linestyle=":", linewidth=1.2)
        axes.plot(*list(one.items())[-1], color=colour, marker="x", markersize=6)
    for published in panel.lines:
        look = published.style.line | {"linewidth": 0.9, "linestyle": DASH, "marker": ""}
        axes.axhline(published.value, zorder=1.5, **look)
        _diamond(axes, published, 1, published.value, axes.get_yaxis_transform())
    for number, line in enumerate(panel.above):
        _far(axes, line, 1 - (number + 0.7) * LINE * REFERENCE_SIZE / PANEL, "↑", inches)
    for number, line in enumerate(reversed(panel.below)):
        _far(axes, line, (number + 0.7) * LINE * REFERENCE_SIZE / PANEL, "↓", inches)
    for mark in panel.landmarks:
        draw_reference_line(axes, mark, horizontal=True)
    layout.draw_frame(axes, layout.ticks((0, last * 1.02), inches, whole=True), panel.ticks, FRAME)
    axes.text(0.5, -0.3 / PANEL, "training step", transform=axes.transAxes, ha="center", va="center", fontsize=SMALL)


def _draw_curves(axes: "Axes", found: list[Curve]) -> None:
    """The means of finished seeds, over bands from the lowest to the highest."""
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

    bands = []
    for curve in found:
        steps, values = list(curve.finished), list(curve.finished.values())
        low, high = [min(seeds) for seeds in values], [max(seeds) for seeds in values]
        bands.append([*zip(steps, low, strict=True), *zip(reversed(steps), reversed(high), strict=True)])
        often = max(1, round(len(steps) / MARKED))
        look = {**curve.style.line, "markersize": 3, "markevery": often}
        axes.add_artist(Line2D(steps, [fmean(seeds) for seeds in values], **look))
    colours = [curve.style.colour for curve in found]
    axes.add_collection(PolyCollection(bands, facecolors=colours, alpha=0.18, linewidths=0), autolim=False)


def _diamond(axes: "Axes", one: PublishedPoint, across: float, height: float, coordinates: "Transform") -> None:
    axes.plot(
        [across],
        [height],
        transform=coordinates,
        marker="D",
        markersize=4,
        color=one.style.colour,
        markerfacecolor=one.style.colour if one.full else "white",
        clip_on=False,
        zorder=5,
    )


def _far(axes: "Axes", line: Sequence[PublishedPoint], height: float, arrow: str, inches: float) -> None:
    """The numbers of what was published beyond the axis, from the right end on."""
    for place, one in enumerate(line):
        across = 1 - place * _entry(line) / inches
        _diamond(axes, one, across, height, axes.transAxes)
        axes.text(
            across - 0.06 / inches,
            height,
            _number(one, arrow),
            transform=axes.transAxes,
            ha="right",
            va="center",
            fontsize=REFERENCE_SIZE,
            zorder=5,
            gid="far",
        )


def _key(members: list[LeaderboardRow], chosen: Mapping[tuple[str, str], Style]) -> list[LegendEntry]:
    drawn = [(row_label(row, SMALL, NAME, 1), style_of(row, chosen)) for row in members if _histories(row)]
    entries = [LegendEntry(name, style.line) for name, style in drawn]
    return entries + published_key([result for row in members for result in row.results.values()], FAINT, DASH)
