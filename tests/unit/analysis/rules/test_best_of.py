"""tests.unit.analysis.rules.test_best_of"""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis.rules.best_of import (
    best_half_width,
    expected_best,
    expected_best_interval,
    normal_best,
    prediction_pivot,
)

DRAWS = 200_000


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=7), st.data())
def test_the_expected_best_is_the_mean_over_all_subsets(values, data):
    k = data.draw(st.integers(1, len(values)))
    for better, best in (("lower", min), ("higher", max)):
        subsets = [best(chosen) for chosen in combinations(values, k)]
        assert expected_best(np.array(values), k, better) == pytest.approx(np.mean(subsets), abs=1e-9)


def test_cells_are_independent():
    values = np.random.default_rng(0).normal(size=(4, 2, 5))
    found = expected_best(values, 3, "lower")
    assert found.shape == (4, 2)
    assert found[2, 1] == pytest.approx(expected_best(values[2, 1], 3, "lower"))


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="needs at least 3 values; there are 2"):
        expected_best(np.ones(2), 3, "lower")


@pytest.mark.parametrize("k, expected", [(1, 0), (2, 1 / np.sqrt(np.pi)), (3, 1.5 / np.sqrt(np.pi))])
def test_the_best_of_normal_values_has_its_closed_form(k, expected):
    assert normal_best(k) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [3, 8])
def test_the_best_of_one_is_students_prediction_interval(n):
    """At every quantile, the simulated distribution has the exact probability, up to four standard errors."""
    pivot = prediction_pivot(n, 1, "lower")
    for probability in (0.025, 0.05, 0.5, 0.95, 0.975):
        exact = stats.t.cdf(pivot.quantile(probability) / np.sqrt(1 + 1 / n), n - 1)
        assert exact == pytest.approx(probability, abs=4 * np.sqrt(probability * (1 - probability) / DRAWS))


def test_higher_is_lower_mirrored():
    """Two independent simulations of mirror images."""
    low, high = (prediction_pivot(5, 3, better) for better in ("lower", "higher"))
    for probability in (0.025, 0.2, 0.5, 0.975):
        assert high.cdf(-low.quantile(probability)) == pytest.approx(1 - probability, abs=0.005)


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("n, k", [(3, 3), (5, 3), (5, 1)])
def test_the_interval_of_the_expected_best_covers_it(n, k, better):
    cells, sign = 20_000, 1 if better == "higher" else -1
    truth = 10 + sign * 2 * normal_best(k)
    values = np.random.default_rng([n, k]).normal(10, 2, (cells, n))
    low, high = expected_best_interval(values, k, better, 0.95)
    covered = np.mean((low <= truth) & (truth <= high))
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / cells))


@pytest.mark.parametrize("k", [1, 3])
def test_the_width_of_the_best_is_that_of_its_quantiles(k):
    best = np.random.default_rng(1).normal(size=(DRAWS, k)).max(axis=1)
    low, high = np.quantile(best, [0.05, 0.95])
    assert best_half_width(k, 0.90) == pytest.approx((high - low) / 2, abs=0.01)
