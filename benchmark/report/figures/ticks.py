"""Axes: limits, ticks whose labels have room, and the frame with grid and labels."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.report.figures import page
from benchmark.report.figures.page import LINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = 8.5  # points of the labels
MARK, LABEL_DISTANCE = 0.04, 0.07  # inches of a tick mark, and from an axis to the labels
LABEL_GAP = 0.09  # inches between two labels of a horizontal axis, at least
ROUNDING = 1e-9  # share of an axis by which a tick may lie beyond its end


class Ticks(NamedTuple):
    """Positions on an axis and their labels."""

    positions: list[float]
    labels: list[str]

    @property
    def label_width(self) -> float:
        """Inches of the widest label."""
        return max((page.width(label, SIZE) for label in self.labels), default=0.0)


def format_number(value: float) -> str:
    """`0.05` or `1,000`."""
    return f"{value + 0.0:,.10g}"


def format_steps(value: float) -> str:
    """Training steps: `500` or `25k`."""
    return f"{value / 1000:,g}k" if value >= 1000 else f"{value:g}"


def axis_limits(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """The range of finite values with a margin on both sides; 0 to 1 without values."""
    known = list(values)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    reach = margin * (high - low) or 0.05 * abs(high) or 0.5
    return low - reach, high + reach


def choose_ticks(
    limits: tuple[float, float], inches: float, *, log: bool = False, vertical: bool = False, steps: bool = False
) -> Ticks:
    """As many round values within the limits as have room for their labels, about five at most.

    Args:
        limits: of the axis.
        inches: length of the axis.
        log: whether the axis is logarithmic. Its ticks are at 1, 2 and 5 of each decade, or at fewer.
        vertical: whether the axis is vertical.
        steps: whether the axis counts training steps: ticks are whole numbers, labelled 25k.

    Returns:
        At least two ticks, or none if no two have room.
    """
    choices = [each for each in _candidates(limits, log) if not steps or all(position % 1 == 0 for position in each)]
    for positions in [*choices, *([each[0], each[-1]] for each in choices)]:
        ticks = Ticks(positions, list(map(format_steps if steps else format_number, positions)))
        if len(set(ticks.labels)) == len(positions) and labels_fit(ticks, limits, inches, log, vertical):
            return ticks
    return Ticks([], [])


def _candidates(limits: tuple[float, float], log: bool) -> Iterator[list[float]]:
    """Choices of at least two round values, from many values to few."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = limits
    slack = 0.0 if log else (high - low) * ROUNDING
    # relative to the axis, not to its ends: a short logarithmic axis far from 1 is like a linear one
    factor = math.exp(ROUNDING * (math.log(high) - math.log(low))) if log else 1.0
    least, most = (low / factor, high * factor) if log else (low - slack, high + slack)
    locators: list[Any] = [LogLocator(subs=subs, numticks=99) for subs in ((1, 2, 5), (1, 3), (1,))] if log else []
    # the labels of multiples of 2.5 are long; those of 4 may fit where they do not
    multiples = ([1, 2, 2.5, 5, 10], [1, 2, 4, 5, 10])
    locators += [MaxNLocator(nbins=bins, steps=steps) for bins in (5, 4, 3, 2, 1) for steps in multiples]
    for locator in locators:
        positions = [float(position) for position in locator.tick_values(low, high) if least <= position <= most]
        if len(positions) > 1:
            yield [0.0 if abs(position) <= slack else position for position in positions]


def labels_fit(ticks: Ticks, limits: tuple[float, float], inches: float, log: bool, vertical: bool) -> bool:
    """Whether no label touches the next one."""
    centres = [_share(position, limits, log) * inches for position in ticks.positions]
    sizes = [LINE * SIZE * 0.9 if vertical else page.width(label, SIZE) for label in ticks.labels]
    extents = [(centre - size / 2, centre + size / 2) for centre, size in zip(centres, sizes, strict=True)]
    gap = 0.0 if vertical else LABEL_GAP
    return all(before[1] + gap <= after[0] for before, after in pairwise(extents))


def _share(position: float, limits: tuple[float, float], log: bool) -> float:
    """Where on the axis a position is, 0 to 1."""
    scale: Callable[[float], float] = math.log if log else float
    low, high = map(scale, limits)
    return (scale(position) - low) / (high - low)


def draw_frame(
    axes: "Axes", x_ticks: Ticks, y_ticks: Ticks, colours: tuple[str, str, str], y_axis: bool = True
) -> None:
    """Draw grid, axes and tick labels of axes whose limits are set.

    Two line collections replace matplotlib's ticks, of which a figure would have a thousand.

    Args:
        axes: what to draw on.
        x_ticks: of the horizontal axis.
        y_ticks: of the vertical axis.
        colours: of labels, axes and grid.
        y_axis: whether to draw the vertical axis and its tick marks, or only labels and grid.
    """
    from matplotlib.collections import LineCollection

    label_colour, axis_colour, grid_colour = colours
    box: Any = axes.bbox
    width, height = box.width / axes.figure.dpi, box.height / axes.figure.dpi
    xs = [_share(position, axes.get_xlim(), False) for position in x_ticks.positions]
    ys = [_share(position, axes.get_ylim(), axes.get_yscale() == "log") for position in y_ticks.positions]
    grid: list[Any] = [[(x, 0), (x, 1)] for x in xs] + [[(0, y), (1, y)] for y in ys]
    lines: list[Any] = [[(0, 0), (1, 0)], *([(x, 0), (x, -MARK / height)] for x in xs)]
    if y_axis:
        lines += [[(0, 0), (0, 1)], *([(0, y), (-MARK / width, y)] for y in ys)]
    style: dict[str, Any] = {"linewidths": 0.8, "transform": axes.transAxes, "clip_on": False}
    axes.add_collection(LineCollection(grid, colors=grid_colour, zorder=0.5, **style), autolim=False)
    axes.add_collection(LineCollection(lines, colors=axis_colour, zorder=2.5, **style), autolim=False)
    look: dict[str, Any] = {"transform": axes.transAxes, "color": label_colour, "fontsize": SIZE}
    for x, label in zip(xs, x_ticks.labels, strict=True):
        axes.text(x, -LABEL_DISTANCE / height, label, ha="center", va="top", gid="x", **look)
    for y, label in zip(ys, y_ticks.labels, strict=True):
        if label:
            axes.text(-LABEL_DISTANCE / width, y, label, ha="right", va="center_baseline", gid="y", **look)
