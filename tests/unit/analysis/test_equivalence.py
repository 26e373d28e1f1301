"""tests.unit.analysis.test_equivalence"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis.aggregate import Aggregate
from benchmark.analysis.equivalence import (
    FIXED,
    PublishedUncertainty,
    difference_to_published,
    published_uncertainty,
    tost_p_value,
)

samples = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=8)


def aggregate(values):
    return Aggregate(dict(enumerate(values)))


@settings(max_examples=40)
@given(samples, samples)
def test_with_two_spreads_the_interval_is_welchs(ours, theirs):
    if min(np.std(ours), np.std(theirs)) < 1e-3:
        return
    known = published_uncertainty("training_seeds", float(np.std(theirs, ddof=1)), len(theirs))
    found = difference_to_published(aggregate(ours), float(np.mean(theirs)), 1.0, known)
    reference = stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval(0.95)), rel=1e-6, abs=1e-6)
    assert found.equivalence_interval == pytest.approx(tuple(reference.confidence_interval(0.90)), rel=1e-6, abs=1e-6)


@settings(max_examples=40)
@given(samples, st.floats(-100, 100))
def test_against_a_fixed_value_the_interval_of_the_mean_is_shifted(values, published):
    found = difference_to_published(aggregate(values), published, None, FIXED)
    low, high = aggregate(values).interval
    assert found.interval == pytest.approx((low - published, high - published), abs=1e-9)
    assert found.p_value is None


@settings(max_examples=60)
@given(samples, st.floats(0, 50), st.floats(0, 20))
def test_equivalence_is_two_one_sided_tests(values, margin, error):
    found = difference_to_published(aggregate(values), 10.0, margin, PublishedUncertainty("", error, 4))
    low, high = found.equivalence_interval
    if min(abs(low + margin), abs(high - margin)) > 1e-6:
        assert (found.p_value <= 0.05) == (-margin <= low and high <= margin)
    assert found.interval[0] <= low <= high <= found.interval[1]


def test_scipy_agrees_on_each_side():
    values = np.array([4.0, 5.0, 7.0, 6.5])
    sides = [
        stats.ttest_1samp(values, 5.0 - 3.0, alternative="greater").pvalue,
        stats.ttest_1samp(values, 5.0 + 3.0, alternative="less").pvalue,
    ]
    assert difference_to_published(aggregate(values.tolist()), 5.0, 3.0, FIXED).p_value == pytest.approx(max(sides))


@pytest.mark.parametrize("estimate, p_value", [(0.5, 0.0), (-1.0, 0.0), (1.1, 1.0)])
def test_without_variance_the_estimate_decides(estimate, p_value):
    assert tost_p_value(estimate, 0.0, 2, 1.0) == p_value
    found = difference_to_published(aggregate([5 + estimate] * 3), 5.0, 1.0, FIXED)
    assert found.interval == pytest.approx((estimate, estimate))


@pytest.mark.parametrize("values", [[3.0], [3.0, math.nan], [3.0, math.inf]])
def test_one_value_or_a_non_finite_one_has_no_interval(values):
    found = difference_to_published(aggregate(values), 1.0, 1.0, FIXED)
    if len(values) == 1:
        assert (found.estimate, found.interval, found.equivalence_interval, found.p_value) == (2.0, None, None, None)
    else:
        assert found is None


@pytest.mark.parametrize(
    "kind, spread, seeds, error, degrees, words",
    [
        ("training_seeds", 6.0, 9, 2.0, 8, "spread over 9 trainings is counted in"),
        ("training_seeds", 6.0, None, None, None, "fixed number, because its source does not say over how many"),
        ("training_seeds", 6.0, 1, None, None, "fixed number"),
        ("training_seeds", None, 9, None, None, "fixed number, because its source states no spread"),
        ("standard_error", 6.0, 50, 6.0, 49, "standard error over 50 trainings is counted in"),
        ("standard_error", 6.0, None, 6.0, None, "degrees of freedom are those of the measured seeds"),
        ("sampling_seeds", 6.0, 3, None, None, "only the noise of drawing samples"),
        ("not_stated", 6.0, 3, None, None, "does not say what its spread is taken over"),
        ("none", None, None, None, None, "fixed number, because its source states no spread"),
    ],
)
def test_only_a_spread_over_trainings_is_counted(kind, spread, seeds, error, degrees, words):
    known = published_uncertainty(kind, spread, seeds)
    assert (known.standard_error, known.df) == (error, degrees)
    assert words in known.basis
    assert difference_to_published(aggregate([1.0, 2.0]), 1.0, 1.0, known).basis == known.basis


@settings(max_examples=40)
@given(samples, st.floats(0.01, 50), st.integers(2, 60))
def test_unknown_published_seeds_never_narrow_the_interval(values, error, seeds):
    """As long as it is over at least as many trainings as the measured one."""
    if seeds < len(values):
        return
    vague, told = (
        difference_to_published(
            aggregate(values), 0.0, None, published_uncertainty("standard_error", error, n)
        ).interval
        for n in (None, seeds)
    )
    assert vague[0] <= told[0] + 1e-9
    assert told[1] <= vague[1] + 1e-9


def test_a_look_that_spends_a_third_of_the_error_rates_has_wider_intervals():
    values = [4.0, 5.0, 7.0, 6.5]
    error = float(stats.sem(values))
    found = difference_to_published(aggregate(values), 5.0, 3.0, FIXED, share=1 / 3)
    assert found.interval == pytest.approx(stats.t.interval(1 - 0.05 / 3, 3, 0.625, error))
    assert found.equivalence_interval == pytest.approx(stats.t.interval(1 - 0.10 / 3, 3, 0.625, error))
    assert found.p_value == difference_to_published(aggregate(values), 5.0, 3.0, FIXED).p_value
