"""Accuracy on tasks in turn: how a classifier forgets at every switch, and whether a second cycle is better."""

import math
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.analysis.leaderboard import LeaderboardRow, outputs_of
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics
from benchmark.report import text
from benchmark.report.figures import page
from benchmark.report.figures.curves import finished_values
from benchmark.report.figures.page import LegendEntry
from benchmark.report.figures.panels import INSIDE, PanelGroup, PlotPanel, draw_groups
from benchmark.report.figures.style import (
    FAINT,
    HEAD,
    PALETTE,
    SMALL,
    Styles,
    Tables,
    choose_styles,
    row_label,
    style_of,
)
from benchmark.report.figures.ticks import axis_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.evaluation.metrics.base import Output

HEIGHT = 1.45  # inches of a panel
MOST_ROWS = 4  # curves in one panel; a table with more has several panels
NAME = 2.6  # inches of a name in the legend, at most
SECOND_CYCLE = "#F1F1F1"  # background
SWITCH: dict[str, Any] = {"color": FAINT, "linewidth": 0.5, "linestyle": (0, (1, 1.5))}
CYCLE: dict[str, Any] = {"color": FAINT, "linewidth": 1.4}
BAND = 0.2  # opacity


class Switches(NamedTuple):
    """The steps after which the task is another one, and those after which the first task returns."""

    tasks: list[int]
    cycles: list[int]


class TaskCurve(NamedTuple):
    """Steps, and mean, lowest and highest accuracy of the finished seeds.

    A switch of the task has two entries: the accuracy on the task before it, and on the one after it.
    """

    colour: str
    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def draw_tasks(tables: Tables, banner: str = "") -> "Figure | None":
    """Accuracy against step, a panel per table and accuracy; None without a finished trial on tasks in turn.

    `banner`: a line at the top.
    """
    styles = choose_styles(tables)
    groups = (_group(title, members, styles) for title, members in tables.items())
    return draw_groups([group for group in groups if group], banner)


def _group(title: str, members: list[LeaderboardRow], styles: Styles) -> PanelGroup | None:
    rows = [row for row in members if any(finished_values(row, key) for key in _next_task(row))]
    if not rows:
        return None
    colours = _colours(rows, styles)
    keys = list(dict.fromkeys(key for row in rows for key in _next_task(row)))
    outputs = [output for output in outputs_of(rows) if output.key in keys]
    parts = page.rows_of(list(zip(rows, colours, strict=True)), MOST_ROWS)
    panels = [panel for output in outputs for part in parts if (panel := _panel(output, part))]
    entries = [
        LegendEntry(row_label(row, SMALL, NAME, 1), {"color": colour, "linewidth": 1.6})
        for row, colour in zip(rows, colours, strict=True)
    ]
    entries.append(LegendEntry("next task", SWITCH | {"linewidth": 1.0}))
    if switches(rows[0]).cycles:
        entries.append(LegendEntry("next cycle", CYCLE))
    return PanelGroup(
        title=title,
        legend=entries,
        panels=panels,
        most_columns=1,
        height=HEIGHT,
        x_label="training step",
        y_label="%",
        steps=True,
    )


def _next_task(row: LeaderboardRow) -> dict[str, str]:
    """Key of an accuracy -> the key of the accuracy on the next task."""
    return {key: other for bound in bind_metrics(row.spec.protocol) for key, other in bound.next_task_outputs.items()}


def _colours(rows: list[LeaderboardRow], styles: Styles) -> list[str]:
    """Those of the methods, unless two rows would share one: then by position, as their curves cross all the time."""
    colours = [style_of(row, styles).colour for row in rows]
    distinct = len(set(colours)) == len(colours)
    return colours if distinct else [PALETTE[index % len(PALETTE)] for index in range(len(rows))]


def _panel(output: "Output", part: Sequence[tuple[LeaderboardRow, str]]) -> PlotPanel | None:
    curves = [curve for row, colour in part if (curve := task_curve(row, output.key, colour)).steps]
    if not curves:
        return None
    rows = [row for row, _ in part]
    return PlotPanel(
        title=page.wrap(output.title, HEAD, INSIDE - 1, 1) + text.arrow(output),
        x_limits=(0.0, float(max(row.spec.steps for row in rows))),
        y_limits=axis_limits(value for curve in curves for value in (*curve.low, *curve.high)),
        draw=partial(_draw, curves=curves, switches=switches(rows[0])),
    )


def switches(row: LeaderboardRow) -> Switches:
    """The switches before the last step of a row whose method is trained on tasks in turn."""
    period = row.spec.options.get("updates_per_task", math.inf) / row.spec.discriminator_steps
    records = [trial.record for trial in row.trials if trial.record]
    num_tasks = registry.datasets[row.spec.dataset].num_classes()
    if num_tasks <= 0:
        num_tasks = int(records[0].data.get("classes", 0)) if records else 0
    tasks = [round(period * k) for k in range(1, int(row.spec.steps / period) + 1) if period * k < row.spec.steps]
    return Switches(tasks, tasks[num_tasks - 1 :: num_tasks] if num_tasks > 0 else [])


def task_curve(row: LeaderboardRow, key: str, colour: str) -> TaskCurve:
    """The accuracies of a row, and those on the next task at every switch."""
    current, following = finished_values(row, key), finished_values(row, _next_task(row)[key])
    is_switch = set(switches(row).tasks)
    values = [(step, seeds) for step, seeds in current.items()]
    values += [(step, seeds) for step, seeds in following.items() if step in is_switch and step in current]
    values.sort(key=lambda pair: pair[0])  # a stable sort: at a switch the last task stays before the next one
    steps, accuracies = [step for step, _ in values], [seeds for _, seeds in values]
    low, high = [min(seeds) for seeds in accuracies], [max(seeds) for seeds in accuracies]
    return TaskCurve(colour, steps, list(map(fmean, accuracies)), low, high)


def _draw(axes: "Axes", curves: list[TaskCurve], switches: Switches) -> None:
    from matplotlib.lines import Line2D

    for step in set(switches.tasks) - set(switches.cycles):
        axes.axvline(step, **SWITCH, zorder=1.2)
    ends = [*switches.cycles[1:], axes.get_xlim()[1]]
    for index, (start, end) in enumerate(zip(switches.cycles, ends, strict=False)):
        axes.axvspan(start, end, color=SECOND_CYCLE, linewidth=0, zorder=0.2, visible=index % 2 == 0)
        axes.axvline(start, **CYCLE, zorder=1.3)
    for curve in curves:
        axes.fill_between(curve.steps, curve.low, curve.high, color=curve.colour, alpha=BAND, linewidth=0, zorder=2)
        axes.add_artist(Line2D(curve.steps, curve.mean, color=curve.colour, linewidth=1.2, zorder=3))
