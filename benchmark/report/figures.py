"""The pictures of the report: one look for all of them, and the same bytes from the same records."""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark import plugins
from benchmark.measures import named
from benchmark.report import layout, text
from benchmark.report.layout import FONT
from benchmark.report.tables import Row, by_table
from benchmark.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.metrics.base import Landmark, Output
    from benchmark.report.verdicts import Reference

MOST_ROWS = 120  # in one picture: more could not be read, nor drawn, because a PNG of Agg ends at 65,535 pixels
TITLE, HEAD, SMALL = 10.0, 9.0, 8.0  # points of a table's title, of a metric's or row's name, of numbers and keys
LANDMARK = 7.5

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


def draw(suite: Suite, rows: list[Row], real: Mapping[str, bytes]) -> dict[str, bytes]:
    """File name -> PNG. Pictures that would show nothing are left out."""
    from benchmark.report import curves, modes, panels, samples

    tables = by_table(suite, rows[:MOST_ROWS])
    said = f"The first {MOST_ROWS} of {len(rows):,} rows; results.csv has all of them" if len(rows) > MOST_ROWS else ""
    main, besides = panels.split(tables)
    with _look():
        figures = {
            "leaderboard.png": panels.leaderboard(tables, main, said),
            "besides.png": panels.leaderboard(tables, besides, said) if besides else None,
            "curves.png": curves.curves(tables, said),
            "modes.png": modes.modes(tables, said),
            "samples.png": samples.sheets(tables, real, said),
        }
        return {name: _png(figure) for name, figure in figures.items() if figure is not None}


@contextmanager
def _look() -> Iterator[None]:
    from matplotlib import style

    with style.context(["default", dict(RC)]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a label may be in any script
        yield


def _png(figure: "Figure") -> bytes:
    """Drawn once, where savefig would draw twice, and without metadata that changes between machines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    content = io.BytesIO()
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(content, format="PNG")
    return content.getvalue()


def styles(tables: Mapping[str, list[Row]]) -> dict[tuple[str, str], Style]:
    """(method, label) -> style. The place in the registry gives the colour, so it is the same in all reports.

    Rows that share a colour (variants of one method, or more methods than colours) differ in marker and dash.
    """
    order = list(plugins.methods)
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


def style_of(row: Row, chosen: Mapping[tuple[str, str], Style]) -> Style:
    """The style of a row."""
    return chosen[row.spec.method, row.label]


def label(row: Row, size: float, inches: float, lines: int = 2) -> str:
    """The row's name in at most so many lines of so many inches."""
    return layout.wrap(row.label, size, inches, lines) or "(no name)"


def datasets(members: list[Row]) -> tuple[str, ...]:
    """What the rows of a table are trained on: only with the same data may two tables share an axis."""
    return tuple(sorted({row.spec.dataset for row in members}))


def comparable(reference: "Reference") -> bool:
    """Whether a published value is drawn as a full diamond: it is verified, and was measured under our protocol."""
    return reference.verified and not reference.mismatches


def heading(output: "Output", inches: float) -> str:
    """The metric's name in at most two lines, with the arrow of the good direction at the end of the last."""
    arrow = f" {text.ARROWS[output.better]}"
    return layout.wrap(output.title, HEAD, inches - layout.width(arrow, HEAD), 2) + arrow


def landmarks(key: str, members: list[Row]) -> list["Landmark"]:
    """The best that the metric can show, once for every sample size among the rows."""
    marks = (one.landmarks.get(key) for row in members for one in named(row.spec.protocol))
    return list(dict.fromkeys(mark for mark in marks if mark is not None))


def draw_landmark(axes: "Axes", mark: "Landmark", horizontal: bool) -> None:
    """A dashed line with its words: at the right end above a horizontal one, at the top of an upright one."""
    line = axes.axhline if horizontal else axes.axvline
    line(mark.value, color=FAINT, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    axes.annotate(
        mark.words,
        (1, mark.value) if horizontal else (mark.value, 1),
        xycoords=axes.get_yaxis_transform() if horizontal else axes.get_xaxis_transform(),
        xytext=(-2, 2) if horizontal else (0, 2),
        textcoords="offset points",
        ha="right" if horizontal else "center",
        va="bottom",
        color=FAINT,
        fontsize=LANDMARK,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5} if horizontal else None,
        gid="landmark",
    )
