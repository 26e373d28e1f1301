"""Mixtures in the plane: centres, weights and spread of the points."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from benchmark.data.points.mixtures import DistGANGrid, PacGANGrid, PacGANRing, UnrolledRing, UnrolledRingEight

ALL = [PacGANRing, PacGANGrid, DistGANGrid, UnrolledRing, UnrolledRingEight]


def points_of(dataset):
    train, test, _ = dataset.read(Path())
    return train.images, test.images


def shares_by_mode(points, centres):
    """The share of points nearest to each of the centres, and their deviations from it."""
    nearest = cdist(points, centres).argmin(1)
    return np.bincount(nearest, minlength=len(centres)) / len(points), points - centres[nearest]


@pytest.mark.parametrize("dataset", ALL, ids=lambda dataset: dataset.name)
def test_points_have_the_declared_centres_weights_and_spread(dataset):
    points, held_out = points_of(dataset)
    centres = np.unique(np.round(dataset.mixture.centres, 12), axis=0)
    shares, deviations = shares_by_mode(points.astype(float), centres)
    expected = cdist(centres, np.round(dataset.mixture.centres, 12)).__lt__(1e-9).sum(1) / len(dataset.mixture.centres)
    assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 * 0.75 / len(points))
    assert deviations.std() == pytest.approx(dataset.mixture.std, rel=0.01)
    assert np.abs(deviations.mean(0)).max() < 5 * dataset.mixture.std / np.sqrt(len(points))
    assert np.corrcoef(deviations.T)[0, 1] == pytest.approx(0, abs=0.03)
    assert not {tuple(p) for p in held_out[:100].tolist()} & {tuple(p) for p in points.tolist()}


def test_pacgans_are_the_configured_ones():
    """config.py: cos and sin of id 2 pi / 8; range(-4, 5, 2) squared; 100,000 points."""
    assert [points_of(d)[0].shape for d in (PacGANRing, PacGANGrid)] == [(100_000, 2)] * 2
    assert np.allclose(PacGANRing.mixture.centres[1], [2**-0.5, 2**-0.5])
    assert {tuple(c) for c in PacGANGrid.mixture.centres.tolist()} == {
        (i, j) for i in (-4, -2, 0, 2, 4) for j in (-4, -2, 0, 2, 4)
    }
    assert (PacGANRing.mixture.std, PacGANGrid.mixture.std) == (0.01, 0.05)


def test_dist_gans_grid_lies_in_the_unit_square_and_ends_near_its_border():
    points, _ = points_of(DistGANGrid)
    assert len(points) == 50_000
    assert points.min() > -0.005
    assert points.max() < 1.005
    assert points.max() > 0.995
    assert DistGANGrid.mixture.std / (DistGANGrid.mixture.centres[:, 0].max() - 0.5) == pytest.approx(0.05 / 4)


def test_the_notebooks_ring_has_seven_modes_and_the_intended_one_eight():
    """X-12: linspace(0, 2 pi, 8) ends where it begins."""

    def distinct(dataset):
        return len(np.unique(np.round(dataset.mixture.centres, 12), axis=0))

    assert (distinct(UnrolledRing), distinct(UnrolledRingEight)) == (7, 8)
    points, _ = points_of(UnrolledRing)
    assert np.mean(cdist(points, [[1.0, 0.0]]) < 0.1) == pytest.approx(0.25, abs=0.01)
