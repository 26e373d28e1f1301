"""Mean and standard deviation of points on a line."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.evaluation.metrics.points.point_moments import PointMoments
from tests.support.points import Line, Plane, measured_points


def test_the_moments_of_four_points_by_hand():
    """Mean 4; squared deviations 9 + 1 + 1 + 9 = 20, divided by 3."""
    values = measured_points(PointMoments, [[1.0], [3.0], [5.0], [7.0]])
    assert values == {"mean": 4.0, "std": pytest.approx((20 / 3) ** 0.5, rel=1e-12)}


@given(seed=st.integers(0, 10**6), n=st.integers(2, 300), shift=st.floats(-50, 50))
@settings(max_examples=40, deadline=None)
def test_they_equal_torchs(seed, n, shift):
    points = np.random.default_rng(seed).normal(shift, 2.0, (n, 1))
    line = torch.from_numpy(points)
    values = measured_points(PointMoments, points)
    assert values["mean"] == pytest.approx(float(line.mean()), rel=1e-9, abs=1e-9)
    assert values["std"] == pytest.approx(float(line.std()), rel=1e-9)


def test_a_normal_samples_moments_are_within_their_standard_errors():
    points = np.random.default_rng(0).normal(0.5, 0.593, (10_000, 1))
    values = measured_points(PointMoments, points)
    assert abs(values["mean"] - 0.5) < 4 * 0.593 / 100
    assert abs(values["std"] - 0.593) < 4 * 0.593 / (2 * 10_000) ** 0.5


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=20, deadline=None)
def test_they_do_not_depend_on_the_batches(cuts):
    points = np.random.default_rng(1).normal(size=(60, 1))
    assert measured_points(PointMoments, points, cuts=cuts) == measured_points(PointMoments, points)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_points_are_refused(n):
    with pytest.raises(ValueError, match="needs at least 2 samples"):
        measured_points(PointMoments, np.zeros((n, 1)))


def test_only_points_on_a_line_have_them():
    options = PointMoments.Options()
    assert PointMoments.check_config(options, Line, 100) is None
    assert "in 1 dimension, and those of plane have 2" in PointMoments.check_config(options, Plane, 100)
