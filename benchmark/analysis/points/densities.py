"""Densities on a line: of real points, of every training of a method, and of the method's limit where one is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.points.tables import Floats, PointTable, RealSamples, point_tables

if TYPE_CHECKING:
    from benchmark.data.base import Dataset, MixtureComponents

POINTS = 401  # of the grid
TAIL = 0.0005  # share of real points beyond each end, before the margin
MARGIN = 0.2  # on each side, relative to the range of the others
NARROWEST = 0.004  # bandwidth of a kernel relative to the grid: that of a generator that makes one point
BINS = 25  # per bandwidth, to which points are rounded

# The options for which `limit_density` was derived. Others, such as the batches that are shifted, change nothing.
DERIVED_FOR: Mapping[str, object] = {
    "game": "non_saturating",
    "lambda_gp": 0.0,
    "weight_d": 1.0,
    "weight_g": 1.0,
    "fake_class": "rotated",
    "generator_loss": "eq9",
    "form": "cross_entropy",
}


@dataclass(frozen=True, kw_only=True)
class RowDensity:
    """Densities on the grid of a table. `outside`: the share of samples beyond the grid. `limit`: None if unknown."""

    row: LeaderboardRow
    by_seed: dict[int, Floats]
    outside: float
    limit: Floats | None


@dataclass(frozen=True, kw_only=True)
class DensityTable:
    """The densities of a table of points on a line. `real`: that of the real points, or of their distribution."""

    titles: tuple[str, ...]
    grid: Floats
    real: Floats | None
    rows: list[RowDensity]


def density_tables(tables: Mapping[str, list[LeaderboardRow]], real: RealSamples) -> list[DensityTable]:
    """The densities of all tables of points on a line that have samples. `real`: real points by dataset."""
    return [_densities(table) for table in point_tables(tables, real, 1)]


def _densities(table: PointTable) -> DensityTable:
    grid, mixture = _grid(table), table.dataset.mixture
    real = kernel_density(table.real[:, 0], grid) if table.real is not None else None
    if real is None and mixture is not None:
        real = mixture_density(mixture, grid)
    rows = []
    for row, by_seed in table.rows:
        pooled = np.concatenate(list(by_seed.values()))
        rows.append(
            RowDensity(
                row=row,
                by_seed={seed: kernel_density(points[:, 0], grid) for seed, points in by_seed.items()},
                outside=float(np.mean((pooled < grid[0]) | (pooled > grid[-1]))),
                limit=_limit(row, table.dataset, grid),
            )
        )
    return DensityTable(titles=table.titles, grid=grid, real=real, rows=rows)


def _grid(table: PointTable) -> Floats:
    """Where the real points are, with a margin; where those of the methods are if the real ones are unknown."""
    known = table.real if table.real is not None else np.concatenate([p for _, s in table.rows for p in s.values()])
    low, high = np.quantile(known, (TAIL, 1 - TAIL))
    margin = MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, POINTS)


def kernel_density(points: Floats, grid: Floats) -> Floats:
    """(len(grid),) Gaussian kernel density of (n,) points, with Scott's bandwidth n^(-1/5) times their deviation.

    Points are rounded to a twenty-fifth of the bandwidth, so that equal ones are evaluated once.
    """
    from scipy.stats import norm

    n = len(points)
    scott = n ** (-1 / 5) * float(np.std(points, ddof=1)) if n > 1 else 0.0
    bandwidth = max(scott, NARROWEST * float(grid[-1] - grid[0]))
    bins, counts = np.unique(np.round(points * (BINS / bandwidth)), return_counts=True)
    kernels = norm.pdf(grid[:, None], bins * (bandwidth / BINS), bandwidth)
    return np.asarray(kernels @ counts / n)


def mixture_density(mixture: "MixtureComponents", points: Floats) -> Floats:
    """The density of a mixture of normal distributions on a line."""
    from scipy.stats import norm

    return np.asarray(norm.pdf(points[:, None], mixture.centres[:, 0], mixture.std).mean(axis=1))


def _limit(row: LeaderboardRow, dataset: "type[Dataset]", grid: Floats) -> Floats | None:
    """The limit density of a method whose task is to predict shifts of points from a known distribution."""
    mixture, options = dataset.mixture, row.spec.options
    is_derived = all(options.get(name, value) == value for name, value in DERIVED_FOR.items())
    if mixture is None or dataset.transformations != "shifts" or not is_derived:
        return None
    from baselines.common.limits import limit_density
    from baselines.common.transformations import SIZE, STRIDE

    shifts = [STRIDE * k for k in range(SIZE)]
    return limit_density(row.spec.method, lambda points: mixture_density(mixture, points), grid, shifts)
