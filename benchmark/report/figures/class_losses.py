"""Losses of a full test set and of each class alone: whether a collapsed generator would have the smaller loss."""

from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.core.protocol import bind_metrics, metric_outputs
from benchmark.report.figures.page import LegendEntry
from benchmark.report.figures.panels import PanelGroup, PlotPanel, draw_groups
from benchmark.report.figures.style import FAINT, INK, Styles, Tables, choose_styles, style_of
from benchmark.report.figures.ticks import Ticks, axis_limits
from benchmark.report.text import single_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 1.5  # inches of a panel
MOST_LABELS = 20  # classes; of more, no class is labelled
SEED = 5  # square points of the dot of one seed
FULL: dict[str, Any] = {"color": INK, "linewidth": 1.3}
BAND = "#DADADA"
MEAN: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 5, "markeredgewidth": 1.1}
ABOVE: dict[str, Any] = MEAN | {"color": FAINT, "markerfacecolor": "white"}


class ClassLosses(NamedTuple):
    """The losses of the finished seeds of a row: of the full set, and of each class alone."""

    row: LeaderboardRow
    title: str
    full: list[float]
    classes: list[list[float]]

    @property
    def is_below(self) -> list[bool]:
        """Of each class, whether its mean is below that of the full set."""
        return [fmean(losses) < fmean(self.full) for losses in self.classes]


def draw_class_losses(tables: Tables, banner: str = "") -> "Figure | None":
    """Per table, a panel per method and loss; None without a finished trial that measures losses of classes.

    `banner`: a line at the top.
    """
    styles = choose_styles(tables)
    groups = ((title, [one for row in members for one in class_losses(row)]) for title, members in tables.items())
    return draw_groups([_group(title, panels, styles) for title, panels in groups if panels], banner)


def class_losses(row: LeaderboardRow) -> list[ClassLosses]:
    """The losses at the end of the finished trials of a row, for each metric that has those of single classes."""
    records = [trial.record for trial in row.trials if trial.record and trial.status == "finished"]
    outputs = metric_outputs(row.spec.protocol)
    found = []
    for full, classes in (pair for bound in bind_metrics(row.spec.protocol) for pair in bound.class_outputs.items()):
        measured = [record.metrics for record in records if {full, *classes} <= record.metrics.keys()]
        if measured:
            by_class = [[metrics[key] for metrics in measured] for key in classes]
            found.append(ClassLosses(row, outputs[full].title, [metrics[full] for metrics in measured], by_class))
    return found


def _group(title: str, shown: list[ClassLosses], styles: Styles) -> PanelGroup:
    legend = [LegendEntry("full test set", FULL)]
    if any(any(losses.is_below) for losses in shown):
        legend.append(LegendEntry("class with a smaller loss", MEAN | {"color": INK}))
    if not all(all(losses.is_below) for losses in shown):
        legend.append(LegendEntry("other class", ABOVE))
    return PanelGroup(
        title=title,
        legend=legend,
        panels=[_panel(losses, style_of(losses.row, styles).colour) for losses in shown],
        most_columns=2,
        height=HEIGHT,
        x_label="class of the images",
        y_label="loss",
    )


def _panel(losses: ClassLosses, colour: str) -> PlotPanel:
    n = len(losses.classes)
    positions = list(range(n)) if n <= MOST_LABELS else []
    seeds = len(losses.full)
    return PlotPanel(
        title=f"{single_line(losses.row.label) or '(no name)'}: {losses.title} ↓",
        note=f"{sum(losses.is_below)} of {n} classes smaller, {seeds} seed{'s' * (seeds > 1)}",
        x_limits=(-0.7, n - 0.3),
        y_limits=axis_limits((*losses.full, *(value for values in losses.classes for value in values)), margin=0.1),
        x_ticks=Ticks(list(map(float, positions)), list(map(str, positions))),
        draw=partial(_draw, losses=losses, colour=colour),
    )


def _draw(axes: "Axes", losses: ClassLosses, colour: str) -> None:
    from matplotlib.lines import Line2D

    axes.axhspan(min(losses.full), max(losses.full), color=BAND, linewidth=0, zorder=1)
    axes.axhline(fmean(losses.full), **FULL, zorder=2)
    for position, (values, is_below) in enumerate(zip(losses.classes, losses.is_below, strict=True)):
        shade = colour if is_below else FAINT
        axes.scatter([position] * len(values), values, s=SEED, c=shade, alpha=0.5, linewidths=0, zorder=3)
        mean = MEAN | {"color": colour} if is_below else ABOVE
        axes.add_artist(Line2D([position], [fmean(values)], **mean, zorder=4))
