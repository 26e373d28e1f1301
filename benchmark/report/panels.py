"""The main figure (every metric of every method) and the learning curves."""

import math
from collections.abc import Mapping
from statistics import mean
from typing import TYPE_CHECKING

from benchmark.report import figures, text
from benchmark.report.figures import FAINT, INK, Style, axis_title, label, style_of
from benchmark.report.tables import Result, Row, Trial, outputs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.metrics.base import Output

Tables = Mapping[str, list[Row]]
ROW_HEIGHT = 0.4  # inches per method in the main figure
CURVE_HEIGHT = 2.3  # inches per table in the learning curves
DECADES = 0.7  # a lower-is-better metric that spans more than these is drawn on a logarithmic axis
SEED_LANE, PUBLISHED_LANE = 0.27, -0.29  # below and above the mean, in rows


def leaderboard(tables: Tables) -> "Figure":
    """Per table and metric: mean ± spread, single seeds and published values of every method."""
    from matplotlib.gridspec import GridSpec

    heights = [ROW_HEIGHT * len(members) + 0.75 for members in tables.values()]
    figure = figures.new_figure(sum(heights) + 0.45)
    columns = max(len(outputs_of(members)) for members in tables.values())
    grid = GridSpec(len(tables), columns, figure=figure, height_ratios=heights)
    chosen = figures.styles(tables)
    shared: dict[str, Axes] = {}  # one scale per metric, so that tables can be compared by eye
    for line, (title, members) in enumerate(tables.items()):
        for column, output in enumerate(outputs_of(members)):
            axes = figure.add_subplot(grid[line, column], sharex=shared.get(output.key))
            shared.setdefault(output.key, axes)
            _dots(axes, output, members, chosen)
            axes.set_yticks(range(len(members)), [label(row) if column == 0 else "" for row in members])
            if column == 0:
                axes.set_title(text.clip(title, 70), pad=14)
    _legend(figure, tables)
    return figure


def _dots(axes: "Axes", output: "Output", members: list[Row], chosen: Mapping[tuple[str, str], Style]) -> None:
    for place, row in enumerate(members):
        result = row.results.get(output.key)
        if result is None:
            continue
        _published(axes, result, place)
        _measured(axes, result, place, style_of(row, chosen))
        words = text.measured(result) or result.verdict.value
        if result.aggregate and not row.counts.complete:
            words += f"\n{row.counts.finished} of {row.counts.total} seeds"
        axes.annotate(
            words,
            (1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK if result.aggregate else FAINT,
        )
    figures.draw_landmarks(axes, output.key, members, horizontal=False)
    axes.set_ylim(len(members) - 0.5, -0.5)
    axes.set_xlabel(axis_title(output))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06)
    figures.plain_ticks(axes.xaxis)
    if not any(result.aggregate for row in members if (result := row.results.get(output.key))):
        axes.tick_params(axis="x", labelbottom=False)


def _measured(axes: "Axes", result: Result, place: int, style: Style) -> None:
    if result.aggregate is None:
        return
    finite = [value for value in result.aggregate.values.values() if math.isfinite(value)]
    lane = [place + SEED_LANE] * len(finite)
    axes.scatter(finite, lane, s=9, color=style.colour, alpha=0.65, linewidths=0, zorder=3)
    if math.isfinite(result.aggregate.mean):
        axes.errorbar(
            result.aggregate.mean,
            place,
            xerr=result.aggregate.spread,
            fmt="o",
            color=style.colour,
            markersize=6.5,
            elinewidth=2,
            capsize=3,
            zorder=4,
        )


def _published(axes: "Axes", result: Result, place: int) -> None:
    if result.published is None or result.reference is None:
        return
    value, spread = result.published
    comparable = result.reference.verified and not result.reference.mismatches
    axes.errorbar(
        value,
        place + PUBLISHED_LANE,
        xerr=spread,
        fmt="D",
        color=INK,
        markersize=4.5,
        markerfacecolor=INK if comparable else "white",
        elinewidth=0.8,
        zorder=3,
    )


def _legend(figure: "Figure", tables: Tables) -> None:
    """What the signs mean; only those that occur."""
    from matplotlib.lines import Line2D

    def sign(marker: str, size: float, name: str, face: str = FAINT, bar: bool = False) -> Line2D:
        edge = INK if marker == "D" else FAINT
        return Line2D(
            [],
            [],
            marker=marker,
            markersize=size,
            color=edge,
            markerfacecolor=face,
            linestyle="solid" if bar else "none",
            label=name,
        )

    results = [result for members in tables.values() for row in members for result in row.results.values()]
    handles = [sign("o", 6.5, "mean ± s.d. over seeds", bar=True), sign("o", 3, "one seed")]
    references = [result.reference for result in results if result.reference]
    judged = [reference.verified and not reference.mismatches for reference in references]
    if any(judged):
        handles.append(sign("D", 4.5, "published", face=INK))
    if not all(judged):
        handles.append(sign("D", 4.5, "published, unverified or other protocol", face="white"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)


def curves(tables: Tables) -> "Figure | None":
    """Every metric against training step: a row per table, a column per metric; None without any curve."""
    shown = {title: members for title, members in tables.items() if any(_histories(row) for row in members)}
    if not shown:
        return None
    figure = figures.new_figure(CURVE_HEIGHT * len(shown) + 0.2)
    columns = max(len(outputs_of(members)) for members in shown.values())
    chosen = figures.styles(tables)
    grid = figure.subplots(len(shown), columns, squeeze=False)
    for line, (title, members) in zip(grid, shown.items(), strict=True):
        outputs = outputs_of(members)
        for axes, output in zip(line, outputs, strict=False):
            _curves(axes, output, members, chosen)
        for axes in line[len(outputs) :]:
            axes.set_visible(False)
        line[0].set_title(text.clip(title, 70), pad=14)
        _methods(line[len(outputs) - 1], members, chosen)
    return figure


def _histories(row: Row) -> list[Trial]:
    return [trial for trial in row.trials if trial.record and trial.record.history]


def _curves(axes: "Axes", output: "Output", members: list[Row], chosen: Mapping[tuple[str, str], Style]) -> None:
    for row in members:
        style = style_of(row, chosen)
        finished = [_curve(trial, output.key) for trial in _histories(row) if trial.status == "finished"]
        stopped = [_curve(trial, output.key) for trial in _histories(row) if trial.status != "finished"]
        if finished:
            # only steps that every finished seed has: a mean over changing seeds would jump
            steps = sorted(set.intersection(*(set(curve) for curve in finished)))
            columns = [[curve[step] for curve in finished] for step in steps]
            axes.plot(
                steps,
                [mean(values) for values in columns],
                color=style.colour,
                marker=style.marker,
                linestyle=style.dash or "solid",
                markersize=3,
                linewidth=1.5,
            )
            low, high = [min(values) for values in columns], [max(values) for values in columns]
            axes.fill_between(steps, low, high, color=style.colour, alpha=0.18, linewidth=0)
        for curve in filter(None, stopped):
            axes.plot(list(curve), list(curve.values()), color=style.colour, linestyle=":", linewidth=1.2)
            axes.plot(*list(curve.items())[-1], color=style.colour, marker="x", markersize=6)
    _scale(axes, output)
    figures.draw_landmarks(axes, output.key, members, horizontal=True)
    axes.set_xlabel("training step")
    axes.set_ylabel(axis_title(output), fontsize=8)
    axes.set_xlim(left=0)
    figures.plain_ticks(axes.xaxis)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}")
    figures.plain_ticks(axes.yaxis)


def _curve(trial: Trial, key: str) -> dict[int, float]:
    """Step -> value, finite ones."""
    history = trial.record.history if trial.record else []
    found = {entry.step: entry.metrics.get(key, math.nan) for entry in history}
    return {step: value for step, value in sorted(found.items()) if math.isfinite(value)}


def _scale(axes: "Axes", output: "Output") -> None:
    """A logarithmic axis where the curves of a lower-is-better metric span more than a decade."""
    low, high = axes.dataLim.intervaly
    if output.better == "lower" and low > 0 and math.log10(high / low) > DECADES:
        axes.set_yscale("log")


def _methods(axes: "Axes", members: list[Row], chosen: Mapping[tuple[str, str], Style]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=style.colour,
            marker=style.marker,
            linestyle=style.dash or "solid",
            markersize=4,
            label=label(row),
        )
        for row in members
        if _histories(row)
        for style in [style_of(row, chosen)]
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5), borderaxespad=0.2, handlelength=3)
