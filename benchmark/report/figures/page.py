"""Where things stand in a figure: positions in inches, measured words, ticks that have room for their labels.

matplotlib's own layouts draw every figure several times to find out how large its words are. Here words are measured
before anything is drawn, so that a figure is laid out once and nothing in it is cut off or overlaps.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from benchmark.report import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")

DPI = 200
WIDTH = 8.4  # inches: text keeps its size in a README that is about 880 pixels wide
EDGE = 0.06  # inches of white around everything
FONT = "DejaVu Sans"  # ships with matplotlib, so that pictures are the same everywhere
LINE = 1.25 / 72  # inches that a line of text takes per point of its size
BASELINE = 0.8  # of a line is above the baseline
SIGN = 0.34  # inches of a sign in a key


@cache
def _measurer() -> Callable[[str, float, bool], float]:
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer: Any = cast(Any, RendererAgg)(1, 1, DPI)
    fonts: dict[tuple[float, bool], Any] = {}

    @cache
    def measure(line: str, size: float, bold: bool) -> float:
        if (size, bold) not in fonts:
            fonts[size, bold] = FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
        return float(renderer.get_text_width_height_descent(line, fonts[size, bold], False)[0]) / DPI

    return measure


def width(words: str, size: float, bold: bool = False) -> float:
    """Inches of the longest line of some words in points of this size."""
    return max((_measurer()(line, size, bold) for line in words.split("\n") if line), default=0.0)


def height(words: str, size: float) -> float:
    """Inches of all their lines."""
    return LINE * size * (words.count("\n") + 1)


def wrap(words: str, size: float, inches: float, lines: int, bold: bool = False) -> str:
    """The words in at most so many lines of so many inches. What does not fit is cut off and told by `…`."""
    left, found = text.single_line(words), list[str]()
    while left:
        if width(left, size, bold) <= inches:
            return "\n".join([*found, left])
        last = len(found) == lines - 1
        end = _fitting(left, size, inches, bold, "…" if last else "")
        space = left.rfind(" ", 0, end + 1)
        line = left[: space if space > 0 else end]
        found.append(line.rstrip() + "…" * last)
        if last:
            break
        left = left[len(line) :].lstrip()
    return "\n".join(found)


def _fitting(line: str, size: float, inches: float, bold: bool, ending: str) -> int:
    """How many of its first characters fit, at least one."""
    low, high = 1, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        fits = width(line[:middle] + ending, size, bold) <= inches
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


class Ticks(NamedTuple):
    """Positions on an axis and their labels."""

    places: list[float]
    labels: list[str]

    @property
    def widest(self) -> float:
        """Inches of the widest label."""
        return max((width(label, TICK) for label in self.labels), default=0.0)


TICK = 8.5  # points
ROUNDING = 1e-9  # of an axis, for a place at its end
MARK, TO_LABEL = 0.04, 0.07  # inches of a tick, and from an axis to the labels
BETWEEN = 0.09  # inches between the labels of two ticks, at least


def number(value: float) -> str:
    """0.05 and 1,000."""
    return f"{value + 0.0:,.10g}"


def steps(value: float) -> str:
    """Training steps: 500, 25k."""
    return f"{value / 1000:,g}k" if value >= 1000 else f"{value:g}"


def ticks(
    limits: tuple[float, float],
    inches: float,
    log: bool = False,
    upright: bool = False,
    whole: bool = False,
) -> Ticks:
    """As many round values within the limits as have room for their labels, at most about five.

    `upright`: the axis is vertical. `whole`: it counts training steps. On a logarithmic axis they are at 1, 2 and 5,
    or at fewer. None where no two have room.
    """
    tried = [places for places in _candidates(limits, log) if not whole or all(place % 1 == 0 for place in places)]
    for places in [*tried, *([places[0], places[-1]] for places in tried)]:
        found = Ticks(places, [steps(place) if whole else number(place) for place in places])
        if len(set(found.labels)) == len(places) and _apart(found, limits, inches, log, upright):
            return found
    return Ticks([], [])


def _candidates(limits: tuple[float, float], log: bool) -> Iterator[list[float]]:
    """Every choice of at least two round values, those with many first."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = limits
    slack = 0.0 if log else (high - low) * ROUNDING
    # of the axis, not of its ends: a short logarithmic axis far from 1 is like a linear one
    factor = math.exp(ROUNDING * (math.log(high) - math.log(low))) if log else 1.0
    least, most = (low / factor, high * factor) if log else (low - slack, high + slack)
    locators: list[Any] = [LogLocator(subs=subs, numticks=99) for subs in ((1, 2, 5), (1, 3), (1,))] if log else []
    # labels at steps of 2.5 are long: where they have no room, steps of 4 may
    kinds = ([1, 2, 2.5, 5, 10], [1, 2, 4, 5, 10])
    locators += [MaxNLocator(nbins=bins, steps=kind) for bins in (5, 4, 3, 2, 1) for kind in kinds]
    for locator in locators:
        places = [float(place) for place in locator.tick_values(low, high) if least <= place <= most]
        if len(places) > 1:
            yield [0.0 if abs(place) <= slack else place for place in places]


def _apart(found: Ticks, limits: tuple[float, float], inches: float, log: bool, upright: bool) -> bool:
    centres = [_share(place, limits, log) * inches for place in found.places]
    sizes = [LINE * TICK * 0.9 if upright else width(label, TICK) for label in found.labels]
    ends = [(centre - size / 2, centre + size / 2) for centre, size in zip(centres, sizes, strict=True)]
    gap = 0.0 if upright else BETWEEN
    return all(before[1] + gap <= after[0] for before, after in pairwise(ends))


def limits(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """The range of some finite values with a margin on both sides; 0 to 1 without any."""
    found = list(values)
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    reach = margin * (high - low) or 0.05 * abs(high) or 0.5
    return low - reach, high + reach


class LegendEntry(NamedTuple):
    """A sign of a key and what it stands for; the sign is drawn with these properties of a line."""

    words: str
    look: dict[str, Any]


def wrap_entries(entries: Sequence[LegendEntry], size: float, inches: float) -> list[list[LegendEntry]]:
    """The entries in lines of at most so many inches."""
    lines: list[list[LegendEntry]] = []
    left = 0.0
    for entry in entries:
        needed = _entry_width(entry, size)
        if not lines or needed > left:
            lines.append([])
            left = inches
        lines[-1].append(entry)
        left -= needed
    return lines


def _entry_width(entry: LegendEntry, size: float) -> float:
    return SIGN + width(entry.words, size) + 0.22


def columns(counts: Iterable[int], most: int) -> int:
    """The fewest columns for groups of so many items that take no more rows than the most columns: 2 for four items,
    of which 3 would leave one alone."""
    counts = list(counts)
    enough = (c for c in range(1, most) if all(math.ceil(n / c) == math.ceil(n / most) for n in counts))
    return next(enough, most)


def rows_of(items: Sequence[T], columns: int) -> list[Sequence[T]]:
    """The items in rows of so many, the last of which may be shorter."""
    return [items[start : start + columns] for start in range(0, len(items), columns)]


def rows_of_groups(groups: Iterable[Sequence[T]], columns: int) -> list[list[T]]:
    """The same of items that belong together: a group begins a row unless the one before has room for all of it."""
    rows: list[list[T]] = []
    for group in groups:
        if rows and len(rows[-1]) + len(group) <= columns:
            rows[-1] += group
        else:
            rows += map(list, rows_of(group, columns))
    return rows


class Page:
    """A figure of the report's width in which everything stands in inches from the left and from the top."""

    def __init__(self, height: float) -> None:
        from matplotlib.figure import Figure

        self.height = math.ceil(height * DPI) / DPI
        self.figure: Figure = Figure(figsize=(WIDTH, self.height), dpi=DPI)

    def words(self, left: float, top: float, words: str, size: float, **look: Any) -> None:
        """Text whose upper left corner is there. Baselines do not depend on which letters a line has."""
        for line, content in enumerate(words.split("\n") if words else []):
            place = (left / WIDTH, 1 - (top + (line + BASELINE) * LINE * size) / self.height)
            self.figure.text(*place, content, fontsize=size, ha="left", va="baseline", **look)

    def axes(self, left: float, top: float, wide: float, high: float) -> "Axes":
        """Empty axes without anything around them: `draw_frame` draws that."""
        below = 1 - (top + high) / self.height
        axes = self.figure.add_axes((left / WIDTH, below, wide / WIDTH, high / self.height))
        axes.set_axis_off()
        return axes

    def key(self, left: float, top: float, lines: Sequence[Sequence[LegendEntry]], size: float, colour: str) -> None:
        """The signs of `flow` and their words, from this corner on."""
        for number_of_line, entries in enumerate(lines):
            across, middle = left, top + (number_of_line + 0.5) * LINE * size * 1.15
            for entry in entries:
                self._sign(across, middle, entry.look)
                self.words(across + SIGN + 0.06, middle - LINE * size / 2, entry.words, size, color=colour)
                across += _entry_width(entry, size)

    def _sign(self, left: float, middle: float, look: dict[str, Any]) -> None:
        from matplotlib.lines import Line2D

        across = [left / WIDTH, (left + SIGN / 2) / WIDTH, (left + SIGN) / WIDTH]
        height = [1 - middle / self.height] * 3
        self.figure.add_artist(Line2D(across, height, markevery=[1], transform=self.figure.transFigure, **look))


def draw_frame(axes: "Axes", across: Ticks, down: Ticks, colours: tuple[str, str, str], left: bool = True) -> None:
    """Grid, axes, and the labels of the ticks of axes whose limits are set; `colours` of the words, the axes, the grid.

    Three collections take the place of matplotlib's ticks, of which a figure would have a thousand. `left`: whether
    there is a vertical axis; without, `down` has labels but no marks.
    """
    from matplotlib.collections import LineCollection

    words, lines, grid = colours
    box: Any = axes.bbox
    wide, high = box.width / DPI, box.height / DPI
    columns = [_share(place, axes.get_xlim(), False) for place in across.places]
    rows = [_share(place, axes.get_ylim(), axes.get_yscale() == "log") for place in down.places]
    inner: list[Any] = [[(x, 0), (x, 1)] for x in columns] + [[(0, y), (1, y)] for y in rows]
    outer: list[Any] = [[(0, 0), (1, 0)], *([(x, 0), (x, -MARK / high)] for x in columns)]
    if left:
        outer += [[(0, 0), (0, 1)], *([(0, y), (-MARK / wide, y)] for y in rows)]
    look: dict[str, Any] = {"linewidths": 0.8, "transform": axes.transAxes, "clip_on": False}
    axes.add_collection(LineCollection(inner, colors=grid, zorder=0.5, **look), autolim=False)
    axes.add_collection(LineCollection(outer, colors=lines, zorder=2.5, **look), autolim=False)
    for x, label in zip(columns, across.labels, strict=True):
        _label(axes, (x, -TO_LABEL / high), label, words, ha="center", va="top", gid="x")
    for y, label in zip(rows, down.labels, strict=True):
        _label(axes, (-TO_LABEL / wide, y), label, words, ha="right", va="center_baseline", gid="y")


def _share(place: float, limits: tuple[float, float], log: bool) -> float:
    scale: Callable[[float], float] = math.log if log else float
    low, high = map(scale, limits)
    return (scale(place) - low) / (high - low)


def _label(axes: "Axes", place: tuple[float, float], label: str, colour: str, **look: Any) -> None:
    if label:
        axes.text(*place, label, transform=axes.transAxes, color=colour, fontsize=TICK, **look)


def key_height(lines: Sequence[Sequence[LegendEntry]], size: float) -> float:
    """Inches of a key."""
    return LINE * size * 1.15 * len(lines)
