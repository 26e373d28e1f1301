"""The samples of methods on points: densities on a line, and scatter plots in the plane with the modes marked."""

from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis.points.coverage import Coverage, coverage
from benchmark.analysis.points.densities import DensityTable, RowDensity, density_tables
from benchmark.analysis.points.tables import Floats, PointTable, RealSamples, point_tables
from benchmark.report.figures.page import LegendEntry
from benchmark.report.figures.panels import Limits, PanelGroup, PlotPanel, draw_groups
from benchmark.report.figures.style import FAINT, INK, Styles, Tables, choose_styles, style_of
from benchmark.report.text import single_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
DENSITY_HEIGHT = 1.25  # inches of a panel
HEADROOM = 1.08  # the top of the axis relative to the highest density
TALLEST = 2.5  # the top relative to the real and limit densities: a generator of one point leaves the axis
REAL: dict[str, Any] = {"color": "#C9C9C9", "linewidth": 6, "solid_capstyle": "butt"}
LIMIT: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (4, 2))}
SEED_WIDTH = 1.0  # points of the line of one training
NOTICEABLE = 0.005  # share of samples beyond the axes from which on it is stated
MOST_REAL = 2500  # real points in a scatter plot: as many as there are samples
MARGIN = 0.15  # of a scatter plot on each side, relative to the range of the real points
DOT, DOT_ALPHA = 1.6, 0.4  # area of a sample in square points, and its opacity
SAMPLE: dict[str, Any] = {"color": FAINT, "marker": ".", "markersize": 3, "linestyle": "none"}
RING: dict[str, Any] = {
    "color": INK,
    "marker": "o",
    "markersize": 6,
    "markerfacecolor": "none",
    "markeredgewidth": 0.6,
    "linestyle": "none",
}
CROSS: dict[str, Any] = {"color": INK, "marker": "x", "markersize": 5, "markeredgewidth": 1.6, "linestyle": "none"}
MODE, COVERED, MISSED = "mode", "mode that is covered", "mode that is missed"
SIGNS = {MODE: RING, COVERED: RING, MISSED: CROSS}


# --- densities on a line ---------------------------------------------------------------------------------


def draw_density(tables: Tables, real: RealSamples, banner: str = "") -> "Figure | None":
    """Per table of points on a line, a panel per method: real points, its limit and every finished training.

    Args:
        tables: the rows of each table.
        real: real points by dataset.
        banner: a line at the top.
    """
    styles = choose_styles(tables)
    return draw_groups([_density_group(table, styles) for table in density_tables(tables, real)], banner)


def _density_group(table: DensityTable, styles: Styles) -> PanelGroup:
    limits = (float(table.grid[0]), float(table.grid[-1]))
    top = HEADROOM * _highest(table)
    panels = [
        PlotPanel(
            title=single_line(row.row.label) or "(no name)",
            note=_density_note(row),
            x_limits=limits,
            y_limits=(0.0, top),
            draw=partial(_draw_density, table=table, row=row, colour=style_of(row.row, styles).colour),
        )
        for row in table.rows
    ]
    legend = [LegendEntry("real data", REAL)] if table.real is not None else []
    if any(row.limit is not None for row in table.rows):
        legend.append(LegendEntry("limit in theory", LIMIT))
    one = all(len(row.by_seed) == 1 for row in table.rows)
    legend.append(LegendEntry("generated" if one else "generated, a line per seed", {"color": FAINT, "linewidth": 1.2}))
    return PanelGroup(
        title=_title(table.titles),
        legend=legend,
        panels=panels,
        most_columns=MOST_COLUMNS,
        height=DENSITY_HEIGHT,
        x_label="x",
        y_label="density",
    )


def _highest(table: DensityTable) -> float:
    known = [table.real, *(row.limit for row in table.rows)]
    expected = max((float(density.max()) for density in known if density is not None), default=np.inf)
    measured = max(float(density.max()) for row in table.rows for density in row.by_seed.values())
    return max(min(measured, TALLEST * expected), expected if np.isfinite(expected) else 0.0)


def _density_note(row: RowDensity) -> str:
    """`peak 0.65, limit 0.62, 3.1 % outside`."""
    peak = f"peak {fmean(float(density.max()) for density in row.by_seed.values()):.2f}"
    if row.limit is not None:
        peak += f", limit {row.limit.max():.2f}"
    return f"{peak}, {_percent(row.outside)} outside" if row.outside > NOTICEABLE else peak


def _draw_density(axes: "Axes", table: DensityTable, row: RowDensity, colour: str) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    if table.real is not None:
        axes.fill_between(table.grid, table.real, color=REAL["color"], linewidth=0, zorder=1)
    lines = [np.column_stack([table.grid, density]) for density in row.by_seed.values()]
    alpha = max(0.45, 1 - 0.08 * (len(lines) - 1))
    axes.add_collection(
        LineCollection(lines, colors=colour, linewidths=SEED_WIDTH, alpha=alpha, zorder=3), autolim=False
    )
    if row.limit is not None:
        axes.add_artist(Line2D(table.grid, row.limit, **LIMIT, zorder=4))


# --- scatter plots in the plane --------------------------------------------------------------------------


def draw_scatter(tables: Tables, real: RealSamples, banner: str = "") -> "Figure | None":
    """Per table of points in the plane: real points, then one finished training of each method, on the same axes.

    Args:
        tables: the rows of each table.
        real: real points by dataset.
        banner: a line at the top.
    """
    styles = choose_styles(tables)
    return draw_groups([_scatter_group(table, styles) for table in point_tables(tables, real, 2)], banner)


def _scatter_group(table: PointTable, styles: Styles) -> PanelGroup:
    x_limits, y_limits = _square(table)
    panels = []
    if table.real is not None:
        points = table.real[:: max(1, len(table.real) // MOST_REAL)][:MOST_REAL]
        draw = partial(_draw_scatter, points=points, colour=FAINT, modes=None)
        panels.append(PlotPanel(title="Real data", x_limits=x_limits, y_limits=y_limits, draw=draw))
    names = set[str]()
    for row, by_seed in table.rows:
        seed, points = next(iter(by_seed.items()))
        modes = coverage(row, points)
        inside = (points >= (x_limits[0], y_limits[0])) & (points <= (x_limits[1], y_limits[1]))
        outside = float(1 - np.mean(inside.all(axis=1)))
        if modes is not None:
            names |= _sign_names(modes)
        panels.append(
            PlotPanel(
                title=single_line(row.label) or "(no name)",
                note=_scatter_note(seed, modes, outside),
                x_limits=x_limits,
                y_limits=y_limits,
                draw=partial(_draw_scatter, points=points, colour=style_of(row, styles).colour, modes=modes),
            )
        )
    return PanelGroup(
        title=_title(table.titles),
        legend=[LegendEntry("sample", SAMPLE), *(LegendEntry(*sign) for sign in SIGNS.items() if sign[0] in names)],
        panels=panels,
        most_columns=MOST_COLUMNS,
        height=None,
        x_label="x₁",
        y_label="x₂",
    )


def _sign_names(modes: Coverage) -> set[str]:
    """What the signs of these modes mean."""
    if modes.is_covered is None:
        return {MODE}
    return {COVERED if is_covered else MISSED for is_covered in modes.is_covered}


def _square(table: PointTable) -> tuple[Limits, Limits]:
    """The limits of both axes, of equal length: where the real points are, or else the modes or the samples."""
    mixture = table.dataset.mixture
    known = table.real
    if known is None:
        known = np.concatenate([points for _, s in table.rows for points in s.values()])
        known = known if mixture is None else mixture.centres
    low, high = known.min(axis=0), known.max(axis=0)
    reach = (0.5 + MARGIN) * (float((high - low).max()) or 1.0)
    x, y = (float(centre) for centre in (low + high) / 2)
    return (x - reach, x + reach), (y - reach, y + reach)


def _scatter_note(seed: int, modes: Coverage | None, outside: float) -> str:
    """`7 of 8 modes, seed 0`."""
    words = [f"seed {seed}"]
    if modes is not None and modes.is_covered is not None:
        words.insert(0, f"{modes.is_covered.sum()} of {len(modes.modes)} modes")
    return ", ".join(words + [f"{_percent(outside)} outside"] * (outside > NOTICEABLE))


def _draw_scatter(axes: "Axes", points: Floats, colour: str, modes: Coverage | None) -> None:
    from matplotlib.lines import Line2D

    axes.scatter(points[:, 0], points[:, 1], s=DOT, c=colour, alpha=DOT_ALPHA, linewidths=0, zorder=2)
    if modes is None:
        return
    is_covered = np.ones(len(modes.modes), bool) if modes.is_covered is None else modes.is_covered
    for of, sign in ((is_covered, RING), (~is_covered, CROSS)):
        axes.add_artist(Line2D(*modes.modes[of].T, **sign, zorder=3))


def _title(titles: tuple[str, ...]) -> str:
    return " · ".join(map(single_line, titles))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
