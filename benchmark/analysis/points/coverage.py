"""Which modes of a mixture the samples of a training cover."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.points.tables import Floats
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics


class Coverage(NamedTuple):
    """(K, D) different modes, and whether each is covered, (K,); None if no metric of the protocol defines that."""

    modes: Floats
    is_covered: NDArray[np.bool_] | None


def coverage(row: LeaderboardRow, points: Floats) -> Coverage | None:
    """The modes that (n, D) points cover by the first metric of the row's protocol that counts modes.

    None if the dataset is no mixture.
    """
    dataset = registry.datasets[row.spec.dataset]
    if dataset.mixture is None:
        return None
    for bound in bind_metrics(row.spec.protocol):
        covered = bound.metric.covered_modes(bound.options, dataset, points)
        if covered is not None:
            return Coverage(*covered)
    return Coverage(np.unique(np.round(dataset.mixture.centres.astype(np.float64), 12), axis=0), None)
