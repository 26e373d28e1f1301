"""Colours, sizes and labels that all figures share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics
from benchmark.report import text
from benchmark.report.figures import page
from benchmark.report.figures.page import FONT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmark.analysis.verdicts import Reference
    from benchmark.evaluation.metrics.base import Output, ReferenceLine

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import MetricResult, outputs_of
from benchmark.report.figures.page import LegendEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmark.evaluation.metrics.base import Output
TITLE, HEAD, SMALL = 10.0, 9.0, 8.0  # points of a table's title, of a metric's or row's name, of numbers and keys
REFERENCE_SIZE = 7.5

# Okabe & Ito, told apart with every kind of colour vision; yellow is left out because white swallows it.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "v", "P", "X", "D", "*")
Dash = tuple[float, tuple[float, ...]]
DASHES: tuple[Dash | None, ...] = (None, (0, (5, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
INK, FAINT, GRID = "#222222", "#767676", "#E4E4E4"
FRAME = (INK, FAINT, GRID)

RC: Mapping[str, object] = {
    "font.family": FONT,
    "font.size": HEAD,
    "text.parse_math": False,  # a label with dollar signs is not a formula
    "text.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class Style:
    """How a method is drawn in every picture."""

    colour: str
    marker: str
    dash: Dash | None

    @property
    def line(self) -> dict[str, Any]:
        """As properties of a line."""
        look = {"color": self.colour, "marker": self.marker, "linestyle": self.dash or "solid"}
        return look | {"markersize": 4, "linewidth": 1.5}


def styles(tables: Mapping[str, list[LeaderboardRow]]) -> dict[tuple[str, str], Style]:
    """(method, label) -> style. The place in the registry gives the colour, so it is the same in all reports.

    Rows that share a colour (variants of one method, or more methods than colours) differ in marker and dash.
    """
    order = list(registry.methods)
    chosen: dict[tuple[str, str], Style] = {}
    used: dict[str, int] = {}
    for row in (row for members in tables.values() for row in members):
        key = (row.spec.method, row.label)
        if key not in chosen:
            place = order.index(row.spec.method)
            colour = PALETTE[place % len(PALETTE)]
            variant = used[colour] = used.get(colour, -1) + 1
            marker = MARKERS[(place % len(PALETTE) + variant) % len(MARKERS)]
            chosen[key] = Style(colour, marker, DASHES[variant % len(DASHES)])
    return chosen


def style_of(row: LeaderboardRow, chosen: Mapping[tuple[str, str], Style]) -> Style:
    """The style of a row."""
    return chosen[row.spec.method, row.label]


def row_label(row: LeaderboardRow, size: float, inches: float, lines: int = 2) -> str:
    """The row's name in at most so many lines of so many inches."""
    return page.wrap(row.label, size, inches, lines) or "(no name)"


def dataset_key(members: list[LeaderboardRow]) -> tuple[str, ...]:
    """What the rows of a table are trained on: only with the same data may two tables share an axis."""
    return tuple(sorted({row.spec.dataset for row in members}))


def comparable(reference: "Reference") -> bool:
    """Whether a published value is drawn as a full diamond: it is verified, and was measured under our protocol."""
    return reference.verified and not reference.mismatches


def panel_title(output: "Output", inches: float) -> str:
    """The metric's name in at most two lines, with the arrow of the good direction at the end of the last."""
    arrow = f" {text.ARROWS[output.better]}"
    return page.wrap(output.title, HEAD, inches - page.width(arrow, HEAD), 2) + arrow


def reference_lines(key: str, members: list[LeaderboardRow]) -> list["ReferenceLine"]:
    """The best that the metric can show, once for every sample size among the rows."""
    marks = (one.reference_lines.get(key) for row in members for one in bind_metrics(row.spec.protocol))
    return list(dict.fromkeys(mark for mark in marks if mark is not None))


def draw_reference_line(axes: "Axes", mark: "ReferenceLine", horizontal: bool) -> None:
    """A dashed line with its words: at the right end above a horizontal one, at the top of an upright one."""
    line = axes.axhline if horizontal else axes.axvline
    line(mark.value, color=FAINT, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    axes.annotate(
        mark.label,
        (1, mark.value) if horizontal else (mark.value, 1),
        xycoords=axes.get_yaxis_transform() if horizontal else axes.get_xaxis_transform(),
        xytext=(-2, 2) if horizontal else (0, 2),
        textcoords="offset points",
        ha="right" if horizontal else "center",
        va="bottom",
        color=FAINT,
        fontsize=REFERENCE_SIZE,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5} if horizontal else None,
        gid="landmark",
    )


Tables = Mapping[str, list[LeaderboardRow]]
COLUMNS = 3  # panels beside each other: more could not be read


def _is_published(members: list[LeaderboardRow], key: str) -> bool:
    return any(result.published for row in members if (result := row.results.get(key)))


def published_first(members: list[LeaderboardRow]) -> "list[Output]":
    """The outputs of a table, those with a published value before the others."""
    return sorted(outputs_of(members), key=lambda output: not _is_published(members, output.key))


def published_key(results: Sequence[MetricResult], colour: str = INK, linestyle: object = "none") -> list[LegendEntry]:
    """A full diamond and a hollow one, where they occur."""
    judged = {comparable(result.reference) for result in results if result.reference}
    look = {"color": colour, "marker": "D", "markersize": 4.5, "linestyle": linestyle, "linewidth": 1.0}
    words = {True: "published", False: "published, unverified or other protocol"}
    return [
        LegendEntry(words[full], look | {"markerfacecolor": colour if full else "white"})
        for full in (True, False)
        if full in judged
    ]
