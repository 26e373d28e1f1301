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
ONLY_CLASS = "fake_class"  # the option of a classifier that is trained against one simulated generator,
JUDGED_CLASS = "generator_class"  # and that of the metric which judges this generator
MOST_LABELS = 20  # classes; of more, no class is labelled
SEED = 5  # square points of the dot of one seed
FULL: dict[str, Any] = {"color": INK, "linewidth": 1.3}
BAND = "#DADADA"
MEAN: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 5, "markeredgewidth": 1.1}
ABOVE: dict[str, Any] = MEAN | {"color": FAINT, "markerfacecolor": "white"}


class ClassLosses(NamedTuple):
    """The losses of finished seeds: of the full set, and of each class alone, by the number of the class."""

    row: LeaderboardRow
    title: str
    full: list[float]
    classes: dict[int, list[float]]

    @property
    def below(self) -> set[int]:
        """The classes whose mean is below that of the full set."""
        return {number for number, losses in self.classes.items() if fmean(losses) < fmean(self.full)}


def draw_class_losses(tables: Tables, banner: str = "") -> "Figure | None":
    """Per table, a panel per method and loss; None without a finished trial that measures losses of classes.

    `banner`: a line at the top.
    """
    styles = choose_styles(tables)
    groups = ((title, class_losses(members)) for title, members in tables.items())
    return draw_groups([_group(title, panels, styles) for title, panels in groups if panels], banner)


def class_losses(members: list[LeaderboardRow]) -> list[ClassLosses]:
    """The losses at the end of finished trials, for each metric that has those of single classes.

    A classifier that is trained against one simulated generator judges this one alone. Rows that differ in nothing but
    the class of this generator are then one panel, and each gives the loss of its class.
    """
    found: dict[object, ClassLosses] = {}
    for row in sorted(members, key=lambda row: _only_class(row) is not None):  # those of the full set first
        titles = {key: output.title for key, output in metric_outputs(row.spec.protocol).items()}
        pairs = (pair for bound in bind_metrics(row.spec.protocol) for pair in bound.class_outputs.items())
        for full, classes in pairs:
            numbers, only = dict(enumerate(classes)), _only_class(row)
            if _simulates_one_generator(row):
                numbers = {} if only is None else {only: classes[only]}
            by_class = {number: losses for number, key in numbers.items() if (losses := _last(row, key))}
            identity = (full, _shared_spec(row) if _simulates_one_generator(row) else row.label)
            if only is not None and identity in found:
                found[identity].classes.update(by_class)
            elif only is None and (losses := _last(row, full)):
                found.setdefault(identity, ClassLosses(row, titles[full], losses, by_class))
    return [losses for losses in found.values() if losses.classes]


def _last(row: LeaderboardRow, key: str) -> list[float]:
    """The last values of an output, of all finished seeds."""
    records = [trial.record for trial in row.trials if trial.record and trial.status == "finished"]
    return [record.metrics[key] for record in records if key in record.metrics]


def _simulates_one_generator(row: LeaderboardRow) -> bool:
    """Whether the method has an option for the only class that the generator makes; None stands for all classes."""
    return isinstance(row.spec.options.get(ONLY_CLASS, ""), int | None)


def _only_class(row: LeaderboardRow) -> int | None:
    return row.spec.options[ONLY_CLASS] if _simulates_one_generator(row) else None


def _shared_spec(row: LeaderboardRow) -> str:
    """A hash of all that the rows of one panel share."""
    options = {name: value for name, value in row.spec.options.items() if name != ONLY_CLASS}
    measures = {
        label: measure.model_copy(update={"options": measure.options | {JUDGED_CLASS: None}})
        for label, measure in row.spec.protocol.measures.items()
    }
    protocol = row.spec.protocol.model_copy(update={"measures": measures})
    return row.spec.model_copy(update={"seed": 0, "options": options, "protocol": protocol}).trial_id


def _group(title: str, shown: list[ClassLosses], styles: Styles) -> PanelGroup:
    legend = [LegendEntry("full test set", FULL)]
    if any(losses.below for losses in shown):
        legend.append(LegendEntry("class with a smaller loss", MEAN | {"color": INK}))
    if any(losses.below < losses.classes.keys() for losses in shown):
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
    n, last, seeds = len(losses.classes), max(losses.classes), len(losses.full)
    positions = sorted(losses.classes) if n <= MOST_LABELS else []
    return PlotPanel(
        title=f"{single_line(losses.row.label) or '(no name)'}: {losses.title} ↓",
        note=f"{len(losses.below)} of {n} classes smaller, {seeds} seed{'s' * (seeds > 1)}",
        x_limits=(-0.7, last + 0.7),
        y_limits=axis_limits(
            (*losses.full, *(value for values in losses.classes.values() for value in values)), margin=0.1
        ),
        x_ticks=Ticks(list(map(float, positions)), list(map(str, positions))),
        draw=partial(_draw, losses=losses, colour=colour),
    )


def _draw(axes: "Axes", losses: ClassLosses, colour: str) -> None:
    from matplotlib.lines import Line2D

    axes.axhspan(min(losses.full), max(losses.full), color=BAND, linewidth=0, zorder=1)
    axes.axhline(fmean(losses.full), **FULL, zorder=2)
    for position, values in losses.classes.items():
        is_below = position in losses.below
        shade = colour if is_below else FAINT
        axes.scatter([position] * len(values), values, s=SEED, c=shade, alpha=0.5, linewidths=0, zorder=3)
        mean = MEAN | {"color": colour} if is_below else ABOVE
        axes.add_artist(Line2D([position], [fmean(values)], **mean, zorder=4))
