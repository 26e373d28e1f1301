"""The peak of a kernel density estimate: definition, closed forms and limits."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from benchmark.evaluation.metrics.points.density_peak import DensityPeak
from tests.support.points import Plane, measured_points


def peak(points, **options):
    return measured_points(DensityPeak, np.reshape(points, (-1, 1)), **options)["density_peak"]


def by_definition(points, grid):
    """The kernel density by Scott's rule, written out: mean of N(x_i, h^2) with h = n^(-1/5) s."""
    h = len(points) ** -0.2 * np.std(points, ddof=1)
    kernels = np.exp(-(((grid[:, None] - points) / h) ** 2) / 2) / (h * math.sqrt(2 * math.pi))
    return kernels.mean(1).max()


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_the_definition_on_a_fine_grid(seed):
    points = np.random.default_rng(seed).gamma(2.0, size=400)
    assert peak(points) == pytest.approx(by_definition(points, np.linspace(-1, 12, 4001)), rel=1e-4)


def test_two_points_by_hand():
    """Points -1 and 1: s = sqrt 2, h = 2^(3/10), wider than the distance to the middle: the peak is there."""
    h = 2**0.3
    assert peak([-1.0, 1.0]) == pytest.approx(norm.pdf(1 / h) / h, rel=1e-12)


@pytest.mark.parametrize("std", [0.593, 1.0, 2.5])
def test_a_normal_samples_peak_is_that_of_the_smoothed_density(std):
    """The estimate's mean is the density of N(0, s^2 (1 + n^(-2/5))); its spread here is about 1 %."""
    n = 10_000
    peaks = [peak(np.random.default_rng(seed).normal(0, std, n)) for seed in range(3)]
    expected = norm.pdf(0) / (std * math.sqrt(1 + n**-0.4))
    assert np.mean(peaks) == pytest.approx(expected, rel=0.02)


def test_it_scales_inversely_with_the_points_and_ignores_their_place():
    points = np.random.default_rng(0).normal(size=500)
    assert peak(4 * points + 100) == pytest.approx(peak(points) / 4, rel=1e-6)


def test_one_far_outlier_hardly_changes_where_the_peak_is_sought():
    points = np.append(np.random.default_rng(0).normal(size=5000), 40.0)
    h = len(points) ** -0.2 * np.std(points, ddof=1)
    assert peak(points) == pytest.approx(norm.pdf(0) / math.sqrt(1 + h**2), rel=0.03)


def test_equal_points_have_no_density():
    assert math.isnan(peak(np.ones(50)))
    assert math.isnan(peak([0.0, 1.0, math.nan]))


def test_it_does_not_depend_on_the_batches():
    points = np.random.default_rng(1).normal(size=60)
    assert peak(points, cuts=[1, 7, 30]) == peak(points)


def test_points_in_a_plane_are_refused():
    problem = DensityPeak.check_config(DensityPeak.Options(), Plane, 100)
    assert problem == "'density_peak' measures points in 1 dimension, and those of plane have 2"
