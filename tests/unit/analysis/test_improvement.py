"""tests.unit.analysis.test_improvement"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis.improvement import holm, probability_of_improvement, rank_test

tied = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=6)
distinct = st.lists(st.integers(-50, 50).map(float), min_size=4, max_size=11, unique=True)


@settings(max_examples=40)
@given(tied, tied)
def test_the_probability_is_mann_whitneys(first, second):
    found = probability_of_improvement(first, second)
    u = stats.mannwhitneyu(first, second).statistic
    assert found.probability == pytest.approx(u / (len(first) * len(second)))
    assert 0 <= found.interval[0] <= found.interval[1] <= 1
    swapped = probability_of_improvement(second, first)
    assert swapped.probability == pytest.approx(1 - found.probability)
    assert swapped.p_value == pytest.approx(found.p_value)


@settings(max_examples=40)
@given(distinct, st.integers(1, 3))
def test_scipy_agrees_without_ties(values, n):
    first, second = values[:n], values[n:]
    assert rank_test(first, second) == pytest.approx(stats.mannwhitneyu(first, second, method="exact").pvalue)


@settings(max_examples=20, deadline=None)
@given(tied.filter(lambda x: 2 <= len(x) <= 4), tied.filter(lambda x: 2 <= len(x) <= 4))
def test_a_permutation_test_agrees_with_ties(first, second):
    def distance(x, y):
        return abs(stats.rankdata([*x, *y])[: len(x)].sum() - len(x) * (len(x) + len(y) + 1) / 2)

    exact = stats.permutation_test((first, second), distance, alternative="greater", n_resamples=10**4)
    assert rank_test(first, second) == pytest.approx(exact.pvalue)


@pytest.mark.parametrize("step", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("ceiling", [1.0, 0.6])
def test_the_exact_test_and_the_normal_approximation_agree_at_the_switch(monkeypatch, step, ceiling):
    rng = np.random.default_rng(3)
    first, second = rng.uniform(size=30).clip(max=ceiling), (rng.uniform(size=26) + step).clip(max=ceiling)
    approximate = rank_test(first, second)
    monkeypatch.setattr("benchmark.analysis.improvement.NORMAL_FROM", 100)
    exact = rank_test(first, second)
    assert approximate != exact
    assert approximate == pytest.approx(exact, abs=5e-3)


many = st.lists(st.integers(0, 30).map(float) | st.just(-math.inf), min_size=25, max_size=40)


@settings(max_examples=60)
@given(many, many)
def test_many_seeds_use_scipys_normal_approximation(first, second):
    if len({*first, *second}) > 1:
        expected = stats.mannwhitneyu(first, second, method="asymptotic").pvalue
        assert rank_test(first, second) == pytest.approx(expected, rel=1e-9)


def test_few_seeds_cannot_be_significant():
    def smallest(n):
        return rank_test(list(range(n)), list(range(n, 2 * n)))

    assert [smallest(n) for n in (2, 3, 4, 5)] == pytest.approx([2 / 6, 2 / 20, 2 / 70, 2 / 252])


def test_a_diverged_training_is_the_worst_and_ties_with_another():
    found = probability_of_improvement([1.0, -math.inf], [-math.inf, -math.inf])
    assert found.probability == 0.75
    assert rank_test([-math.inf] * 5, [-math.inf] * 5) == rank_test([0.0] * 50, [0.0] * 50) == 1.0


def test_the_interval_is_a_reproducible_bootstrap():
    first, second = [3.0, 5.0, 6.0, 9.0, 2.0], [1.0, 4.0, 7.0, 2.0]
    rng = np.random.default_rng(7)
    x = rng.choice(first, (20_000, 5))
    y = rng.choice(second, (20_000, 4))
    wins = (x[:, :, None] > y[:, None]) + 0.5 * (x[:, :, None] == y[:, None])
    found = probability_of_improvement(first, second)
    assert found.interval == pytest.approx(np.quantile(wins.mean(axis=(1, 2)), [0.025, 0.975]), abs=0.051)
    assert found == probability_of_improvement(first, second)


def test_the_two_methods_are_resampled_independently():
    low, high = probability_of_improvement(range(5), range(5)).interval
    assert low < 0.2
    assert high > 0.8


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p_values):
    corrected = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[index] * (len(p_values) - place) > level:
                break
            rejected.add(index)
        assert {index for index, p in enumerate(corrected) if p <= level} == rejected


def test_holm_by_hand():
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []
