"""Figures of the report's width in which everything is placed in inches from the left and the top.

matplotlib's own layouts draw every figure several times to find the sizes of its texts. Here texts are measured before
anything is drawn, so every figure is drawn once, and nothing is clipped or overlaps.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from benchmark.report import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")

DPI = 200
WIDTH = 8.4  # inches: text keeps its size in a README, which is about 880 pixels wide
NARROW = 5.6  # inches of a figure with as many pixels and larger text, legible in one column of a printed page
EDGE = 0.06  # inches of white around everything
FONT = "DejaVu Sans"  # ships with matplotlib, so that figures are the same on all machines
# For characters that FONT lacks, if they are installed: Chinese, Japanese, Korean, other scripts, and emoji
FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei",
    "Hiragino Sans", "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans", "Arial Unicode MS", "Unifont",
    "Noto Emoji", "Symbola",
)  # fmt: skip
LINE = 1.25 / 72  # inches of height per line and point of font size
BASELINE = 0.8  # share of a line that is above the baseline
BANNER = 0.25  # inches of the line at the top of a figure that omits rows
SIGN, SIGN_GAP, ENTRY_GAP = 0.34, 0.06, 0.16  # inches of a legend's sign, and after a sign and an entry
LEGEND_LINE = 1.15  # line spacing of a legend

# --- sizes of texts --------------------------------------------------------------------------------------


@cache
def fonts() -> list[str]:
    """The font of figures, followed by the installed ones that may have the characters that it lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [FONT, *(name for name in FALLBACKS if name in installed)]


@cache
def _text_measurer() -> Callable[[str, float, bool], float]:
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer: Any = cast(Any, RendererAgg)(1, 1, DPI)
    styles: dict[tuple[float, bool], Any] = {}

    @cache
    def measure(line: str, size: float, bold: bool) -> float:
        if (size, bold) not in styles:
            styles[size, bold] = FontProperties(family=fonts(), size=size, weight="bold" if bold else "normal")
        return float(renderer.get_text_width_height_descent(line, styles[size, bold], False)[0]) / DPI

    return measure


def width(content: str, size: float, bold: bool = False) -> float:
    """Inches of the longest line of a text. `size`: of the font, in points."""
    return max((_text_measurer()(line, size, bold) for line in content.split("\n") if line), default=0.0)


def height(content: str, size: float) -> float:
    """Inches of all lines of a text."""
    return LINE * size * (content.count("\n") + 1)


def wrap(content: str, size: float, inches: float, lines: int, bold: bool = False) -> str:
    """The text in at most `lines` lines of at most `inches`. A text that does not fit ends with `…`."""
    rest, wrapped = text.single_line(content), list[str]()
    while rest:
        if width(rest, size, bold) <= inches:
            return "\n".join([*wrapped, rest])
        is_last = len(wrapped) == lines - 1
        end = _fitting(rest, size, inches, bold, "…" if is_last else "")
        space = rest.rfind(" ", 0, end + 1)
        line = rest[: space if space > 0 else end]
        wrapped.append(line.rstrip() + "…" * is_last)
        if is_last:
            break
        rest = rest[len(line) :].lstrip()
    return "\n".join(wrapped)


def _fitting(line: str, size: float, inches: float, bold: bool, ending: str) -> int:
    """The number of first characters that fit with the ending, at least 1."""
    low, high = 1, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        fits = width(line[:middle] + ending, size, bold) <= inches
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


# --- rows and columns of panels --------------------------------------------------------------------------


def columns(counts: Iterable[int], most: int) -> int:
    """The fewest columns in which groups of `counts` items take no more rows than in `most` columns.

    Four items get 2 columns where 3 are allowed, which would leave one item alone.
    """
    counts = list(counts)
    enough = (c for c in range(1, most) if all(math.ceil(n / c) == math.ceil(n / most) for n in counts))
    return next(enough, most)


def rows_of(items: Sequence[T], columns: int) -> list[Sequence[T]]:
    """The items in rows of `columns` items; the last row may be shorter."""
    return [items[start : start + columns] for start in range(0, len(items), columns)]


def rows_of_groups(groups: Iterable[Sequence[T]], columns: int) -> list[list[T]]:
    """The items of all groups in rows. A group starts a new row unless all of it fits into the current one."""
    rows: list[list[T]] = []
    for group in groups:
        if rows and len(rows[-1]) + len(group) <= columns:
            rows[-1] += group
        else:
            rows += map(list, rows_of(group, columns))
    return rows


# --- legends ---------------------------------------------------------------------------------------------


class LegendEntry(NamedTuple):
    """A sign and its meaning. The sign is drawn with these properties of a matplotlib line."""

    label: str
    line: dict[str, Any]


def wrap_entries(entries: Sequence[LegendEntry], size: float, inches: float) -> list[list[LegendEntry]]:
    """The entries in lines of at most `inches`."""
    lines: list[list[LegendEntry]] = []
    free = 0.0
    for entry in entries:
        needed = entry_width(entry, size)
        if not lines or needed > free:
            lines.append([])
            free = inches
        lines[-1].append(entry)
        free -= needed
    return lines


def entry_width(entry: LegendEntry, size: float) -> float:
    """Inches of an entry with the gap after it."""
    return SIGN + width(entry.label, size) + (SIGN_GAP + ENTRY_GAP)


def legend_height(lines: Sequence[Sequence[LegendEntry]], size: float) -> float:
    """Inches of a legend."""
    return LINE * size * LEGEND_LINE * len(lines)


# --- the figure ------------------------------------------------------------------------------------------


def banner_height(banner: str) -> float:
    """Inches of the line at the top, if there is one."""
    return BANNER if banner else 0.0


class Page:
    """A figure of WIDTH * DPI pixels. `height`: in inches, with the banner. `top`: of everything below the banner."""

    def __init__(self, height: float, banner: str, size: float, colour: str, width: float = WIDTH) -> None:
        from matplotlib.figure import Figure

        dpi = WIDTH * DPI / width
        self.width, self.height = width, math.ceil(height * dpi) / dpi
        self.figure: Figure = Figure(figsize=(width, self.height), dpi=dpi)
        self.text(EDGE, EDGE, banner, size, color=colour)
        self.top = EDGE + banner_height(banner)

    def text(self, left: float, top: float, content: str, size: float, **style: Any) -> None:
        """Draw a text from its upper left corner. The baselines do not depend on the letters of a line."""
        for line, words in enumerate(content.split("\n") if content else []):
            position = (left / self.width, 1 - (top + (line + BASELINE) * LINE * size) / self.height)
            self.figure.text(*position, words, fontsize=size, ha="left", va="baseline", **style)

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        """Empty axes without a frame, which `ticks.draw_frame` draws."""
        bottom = 1 - (top + height) / self.height
        axes = self.figure.add_axes((left / self.width, bottom, width / self.width, height / self.height))
        axes.set_axis_off()
        return axes

    def legend(self, left: float, top: float, lines: Sequence[Sequence[LegendEntry]], size: float, colour: str) -> None:
        """Draw the lines of `wrap_entries` from their upper left corner."""
        from matplotlib.lines import Line2D

        for index, entries in enumerate(lines):
            x, middle = left, top + (index + 0.5) * LINE * size * LEGEND_LINE
            for entry in entries:
                xs = [x / self.width, (x + SIGN / 2) / self.width, (x + SIGN) / self.width]
                ys = [1 - middle / self.height] * 3
                sign = Line2D(xs, ys, markevery=[1], transform=self.figure.transFigure, **entry.line)
                self.figure.add_artist(sign)
                self.text(x + SIGN + SIGN_GAP, middle - LINE * size / 2, entry.label, size, color=colour)
                x += entry_width(entry, size)
