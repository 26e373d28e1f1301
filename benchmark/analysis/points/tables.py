"""The sample points of finished trials, by table, row and seed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.core import registry
from benchmark.data.base import Dataset

Floats = NDArray[np.float64]
RealSamples = Mapping[str, bytes | np.ndarray]  # by dataset: the PNG of a grid of images, or (n, D) points


class RowPoints(NamedTuple):
    """(n, D) finite samples of each finished training of a row, by seed."""

    row: LeaderboardRow
    by_seed: dict[int, Floats]


@dataclass(frozen=True, kw_only=True)
class PointTable:
    """The samples of the rows of a table that share a dataset. `real`: (n, D) real points, if they are known."""

    titles: tuple[str, ...]
    dataset: type[Dataset]
    real: Floats | None
    rows: list[RowPoints]


def point_tables(tables: Mapping[str, list[LeaderboardRow]], real: RealSamples, dimension: int) -> list[PointTable]:
    """The tables of points of a dimension, without rows that have no samples; tables of the same trials are one."""
    found: dict[object, PointTable] = {}
    for title, members in tables.items():
        for name in dict.fromkeys(row.spec.dataset for row in members):
            dataset = registry.datasets[name]
            own = [row for row in members if row.spec.dataset == name] if dataset.shape == (dimension,) else []
            rows = [RowPoints(row, points) for row in own if (points := _points_by_seed(row))]
            if not rows:
                continue
            key = tuple((row.label, tuple(trial.spec.trial_id for trial in row.trials)) for row, _ in rows)
            if key in found:
                found[key] = replace(found[key], titles=(*found[key].titles, title))
                continue
            real_points = real.get(name)
            known = _finite(real_points) if isinstance(real_points, np.ndarray) else None
            found[key] = PointTable(titles=(title,), dataset=dataset, real=known, rows=rows)
    return list(found.values())


def _points_by_seed(row: LeaderboardRow) -> dict[int, Floats]:
    records = {trial.spec.seed: trial.record for trial in row.trials if trial.record and trial.status == "finished"}
    points = {seed: record.sample_points for seed, record in records.items()}
    finite = {seed: _finite(samples) for seed, samples in points.items() if samples is not None}
    return {seed: samples for seed, samples in finite.items() if len(samples)}


def _finite(points: np.ndarray) -> Floats:
    known = points.astype(np.float64)
    return np.asarray(known[np.isfinite(known).all(axis=1)])
