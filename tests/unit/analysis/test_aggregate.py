"""tests.unit.analysis.test_aggregate"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis.aggregate import Aggregate, mean_interval

numbers = st.floats(-1e6, 1e6, allow_nan=False)
samples = st.lists(numbers, min_size=1, max_size=12)


def aggregate(values):
    return Aggregate(dict(enumerate(values)))


@settings(max_examples=40)
@given(samples)
def test_the_mean_lies_within_its_values_and_its_interval(values):
    found = aggregate(values)
    assert min(values) <= found.mean <= max(values)
    if len(values) < 2:
        assert found.std is None
        assert found.interval is None
    else:
        low, high = found.interval
        assert low <= found.mean <= high
        assert found.std >= 0


@settings(max_examples=40)
@given(st.lists(numbers, min_size=2, max_size=12))
def test_scipy_agrees(values):
    found = aggregate(values)
    assert found.std == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-6)
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    if error > 1e-6:
        assert found.interval == pytest.approx(
            stats.t.interval(0.95, len(values) - 1, loc=found.mean, scale=error), rel=1e-9, abs=1e-6
        )


@settings(max_examples=40)
@given(st.lists(numbers, min_size=2, max_size=8), st.floats(0.5, 0.9))
def test_more_confidence_needs_a_wider_interval(values, confidence):
    narrow, wide = mean_interval(values, confidence), mean_interval(values, 0.95)
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


@settings(max_examples=40)
@given(samples, st.randoms())
def test_the_order_of_seeds_does_not_matter(values, rng):
    shuffled = rng.sample(values, len(values))
    assert aggregate(shuffled).mean == aggregate(values).mean
    assert aggregate(shuffled).interval == aggregate(values).interval


def test_two_values_by_hand():
    found = aggregate([1.0, 3.0])
    assert (found.n, found.mean, found.std) == (2, 2.0, pytest.approx(math.sqrt(2)))
    assert found.interval == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_value_makes_the_mean_nan(bad):
    found = aggregate([1.0, bad, 2.0])
    assert math.isnan(found.mean)
    assert found.std is None
    assert found.interval is None


def test_sampling_noise_does_not_enter_the_spread_over_seeds():
    values = {0: 1.0, 1: 3.0, 2: 5.0}
    found = Aggregate(values, sampling={0: 3.0, 2: 4.0})
    assert found.sampling_std == pytest.approx(math.sqrt(12.5))
    assert (found.std, found.interval) == (Aggregate(values).std, Aggregate(values).interval)
    assert Aggregate(values).sampling_std is None
