"""The pictures of the report: one look for all of them, and the same bytes from the same records."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark import plugins
from benchmark.measures import named
from benchmark.report import text
from benchmark.report.tables import Row, by_table
from benchmark.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from benchmark.metrics.base import Landmark, Output

DPI = 200
WIDTH = 8.4  # inches: text keeps its size in a README that is about 880 pixels wide
LABEL = 22  # characters in a line of a row's label
MOST_ROWS = 120  # in one picture: more could not be read, nor drawn, because a PNG of Agg ends at 65,535 pixels

# Okabe & Ito, told apart with every kind of colour vision; yellow is left out because white swallows it.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "v", "P", "X", "D", "*")
Dash = tuple[float, tuple[float, ...]]
DASHES: tuple[Dash | None, ...] = (None, (0, (5, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
INK, FAINT, GRID = "#222222", "#8A8A8A", "#E4E4E4"

RC: Mapping[str, object] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that pictures are the same everywhere
    "font.size": 9,
    "text.parse_math": False,  # a label with dollar signs is not a formula
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class Style:
    """How a method is drawn in every picture."""

    colour: str
    marker: str
    dash: Dash | None


def draw(suite: Suite, rows: list[Row], real: Mapping[str, bytes]) -> dict[str, bytes]:
    """File name -> PNG. Pictures that would show nothing are left out."""
    from benchmark.report import panels, samples

    tables = by_table(suite, rows[:MOST_ROWS])
    with _look():
        figures = {
            "leaderboard.png": panels.leaderboard(tables),
            "curves.png": panels.curves(tables),
            "samples.png": samples.sheets(tables, real),
        }
        return {name: _png(_told(figure, len(rows))) for name, figure in figures.items() if figure is not None}


def _told(figure: "Figure", rows: int) -> "Figure":
    """The figure, which says so when it leaves rows out."""
    if rows > MOST_ROWS:
        words = f"The first {MOST_ROWS} of {rows:,} rows; results.csv has all of them"
        figure.suptitle(words, x=0.01, ha="left", fontsize=9, color=INK)
    return figure


@contextmanager
def _look() -> Iterator[None]:
    from matplotlib import style

    with style.context(["default", dict(RC)]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a label may be in any script
        yield


def new_figure(height: float) -> "Figure":
    """An empty figure of the report's width and `height` inches, outside pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


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
            marker = MARKERS[(place + variant) % len(MARKERS)]
            chosen[key] = Style(colour, marker, DASHES[variant % len(DASHES)])
    return chosen


def style_of(row: Row, chosen: Mapping[tuple[str, str], Style]) -> Style:
    """The style of a row."""
    return chosen[row.spec.method, row.label]


def label(row: Row) -> str:
    """The row's name in at most two short lines. A leading underscore would hide it from a legend."""
    lines = textwrap.wrap(text.plain(row.label), LABEL, max_lines=2, placeholder=" …")
    name = "\n".join(lines) or "(no name)"
    return f" {name}" if name.startswith("_") else name


def axis_title(output: "Output") -> str:
    """The metric's name with the arrow of the good direction."""
    return f"{output.title} {text.ARROWS[output.better]}"


def plain_ticks(axis: "Axis") -> None:
    """Few ticks, labelled as 0.05 and 1,000; on a logarithmic axis at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    log = axis.get_scale() == "log"
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if log else MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_locator(NullLocator())


def landmarks(key: str, members: list[Row]) -> list["Landmark"]:
    """The best that the metric can show, once for every sample size among the rows."""
    marks = (one.landmarks.get(key) for row in members for one in named(row.spec.protocol))
    return list(dict.fromkeys(mark for mark in marks if mark is not None))


def draw_landmarks(axes: "Axes", key: str, members: list[Row], horizontal: bool) -> None:
    """A dashed line with its words for every landmark of the metric."""
    nearest = min(axes.dataLim.intervaly) / 10
    for mark in landmarks(key, members):
        if horizontal and axes.get_yscale() == "log" and mark.value < nearest:
            continue  # it would press all curves into a corner
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
            fontsize=7.5,
        )
