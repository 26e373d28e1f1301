"""Colours, sizes and labels that all figures share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, headline_outputs
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics
from benchmark.report import text
from benchmark.report.figures import page
from benchmark.report.figures.page import LegendEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmark.evaluation.metrics.base import Output, ReferenceLine

Tables = Mapping[str, list[LeaderboardRow]]
Dash = tuple[float, tuple[float, ...]]

COLUMNS = 3  # panels side by side, at most: more would be too small to read
TITLE, HEAD, SMALL = 10.0, 9.0, 8.0  # points of a table's title, of a metric's or row's name, of numbers and legends
REFERENCE_SIZE = 7.5

# Okabe and Ito's palette, which all kinds of colour vision distinguish, without yellow, which is invisible on white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "v", "P", "X", "D", "*")
DASHES: tuple[Dash | None, ...] = (None, (0, (5, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
INK, FAINT, GRID = "#222222", "#767676", "#E4E4E4"
FRAME = (INK, FAINT, GRID)

RC: Mapping[str, object] = {
    "font.size": HEAD,
    "text.parse_math": False,  # a label with dollar signs is not a formula
    "text.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class Style:
    """How a method is drawn in every figure."""

    colour: str
    marker: str
    dash: Dash | None

    @property
    def line(self) -> dict[str, Any]:
        """The properties of a matplotlib line."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dash or "solid",
            "markersize": 4,
            "linewidth": 1.5,
        }


Styles = dict[tuple[str, str], Style]


def choose_styles(tables: Tables) -> Styles:
    """The style of every row by method and label.

    A method's position in the registry determines its colour, so it has the same colour in all reports. Rows that share
    a colour (variants of one method, or more methods than colours) differ in marker and dash.
    """
    order = list(registry.methods)
    styles: Styles = {}
    variants: dict[str, int] = {}
    for row in (row for members in tables.values() for row in members):
        key = (row.spec.method, row.label)
        if key not in styles:
            position = order.index(row.spec.method) % len(PALETTE)
            colour = PALETTE[position]
            variant = variants[colour] = variants.get(colour, -1) + 1
            styles[key] = Style(colour, MARKERS[(position + variant) % len(MARKERS)], DASHES[variant % len(DASHES)])
    return styles


def style_of(row: LeaderboardRow, styles: Styles) -> Style:
    """The style of a row."""
    return styles[row.spec.method, row.label]


def row_label(row: LeaderboardRow, size: float, inches: float, lines: int = 2) -> str:
    """The row's name in at most `lines` lines of at most `inches`."""
    return page.wrap(row.label, size, inches, lines) or "(no name)"


def panel_title(output: "Output", inches: float) -> str:
    """The metric's name in at most two lines, followed by the arrow of the good direction, if there is one."""
    arrow = text.arrow(output)
    return page.wrap(output.title, HEAD, inches - page.width(arrow, HEAD), 2) + arrow


def is_published(members: list[LeaderboardRow], key: str) -> bool:
    """Whether any row of a table has a published value of an output."""
    return any(result.published for row in members if (result := row.results.get(key)))


def published_first(members: list[LeaderboardRow]) -> "list[Output]":
    """The outputs of a table, those with a published value before the others."""
    return sorted(headline_outputs(members), key=lambda output: not is_published(members, output.key))


def published_legend(
    results: Iterable[MetricResult], colour: str = INK, linestyle: object = "none"
) -> list[LegendEntry]:
    """A filled and a hollow diamond, where they occur."""
    drawn = [
        (result.reference.is_comparable, result.published.kind)
        for result in results
        if result.reference and result.published
    ]
    word = text.reference_word(kind for _, kind in drawn)
    line = {"color": colour, "marker": "D", "markersize": 4.5, "linestyle": linestyle, "linewidth": 1.0}
    labels = {True: word, False: f"{word}, unverified or other protocol"}
    return [
        LegendEntry(label, line | {"markerfacecolor": colour if filled else "white"})
        for filled, label in labels.items()
        if filled in dict(drawn)
    ]


def reference_lines(key: str, members: list[LeaderboardRow]) -> list["ReferenceLine"]:
    """The best possible values of an output, one for each sample size among the rows."""
    lines = (metric.reference_lines.get(key) for row in members for metric in bind_metrics(row.spec.protocol))
    return list(dict.fromkeys(line for line in lines if line is not None))


def draw_reference_line(axes: "Axes", reference: "ReferenceLine", horizontal: bool) -> None:
    """Draw a dashed line with its label: at the right end of a horizontal line, at the top of a vertical one."""
    draw = axes.axhline if horizontal else axes.axvline
    draw(reference.value, color=FAINT, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    axes.annotate(
        reference.label,
        (1, reference.value) if horizontal else (reference.value, 1),
        xycoords=axes.get_yaxis_transform() if horizontal else axes.get_xaxis_transform(),
        xytext=(-2, 2) if horizontal else (0, 2),
        textcoords="offset points",
        ha="right" if horizontal else "center",
        va="bottom",
        color=FAINT,
        fontsize=REFERENCE_SIZE,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5} if horizontal else None,
    )
