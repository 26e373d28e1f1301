"""tests.unit.analysis.rules.test_difference"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis.aggregate import mean_interval
from benchmark.analysis.rules.difference import (
    InstrumentNoise,
    StandardisedDifference,
    StudentPivot,
    difference_to_published,
    published_half_width,
    standardise,
)
from benchmark.analysis.rules.uncertainty import EXACT, PublishedUncertainty, published_uncertainty

samples = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=8)
SINGLE = published_uncertainty("none", None, 1)


def compared(values, published, margin, uncertainty, better="lower", instruments=None):
    return difference_to_published(values, published, margin, uncertainty, better, instruments)


@settings(max_examples=40)
@given(samples, samples)
def test_with_two_spreads_the_interval_is_welchs(ours, theirs):
    if min(np.std(ours), np.std(theirs)) < 1e-3:
        return
    known = published_uncertainty("training_seeds", float(np.std(theirs, ddof=1)), len(theirs))
    found = compared(ours, float(np.mean(theirs)), 1.0, known)
    reference = stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval(0.95)), rel=1e-6, abs=1e-6)
    assert found.equivalence_interval == pytest.approx(tuple(reference.confidence_interval(0.90)), rel=1e-6, abs=1e-6)


@settings(max_examples=40)
@given(samples, st.floats(-100, 100))
def test_against_an_exact_value_the_interval_of_the_mean_is_shifted(values, published):
    found = compared(values, published, None, EXACT)
    low, high = mean_interval(values)
    assert found.interval == pytest.approx((low - published, high - published), abs=1e-9)
    assert found.p_value is None


@settings(max_examples=40)
@given(samples, st.floats(-100, 100))
def test_the_interval_for_one_published_training_is_a_prediction_interval(values, published):
    """It contains 0 exactly if the value lies within mean ± t(n - 1) s sqrt(1 + 1/n)."""
    found = compared(values, published, None, SINGLE)
    n, half = len(values), stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)
    half *= math.sqrt(1 + 1 / n)
    estimate = np.mean(values) - published
    assert found.interval == pytest.approx((estimate - half, estimate + half), abs=1e-7)


def test_a_published_mean_without_spread_borrows_the_measured_one():
    values = [10.0, 11.0, 12.5, 9.0]
    found = compared(values, 10.0, None, published_uncertainty("none", None, 6, "mean"))
    half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) * math.sqrt(1 / 4 + 1 / 6)
    assert found.interval[1] - found.estimate == pytest.approx(half)


@pytest.mark.parametrize("spread, error", [(9.0, 9.0), (0.1, 2.0)])
def test_a_spread_of_unknown_kind_counts_unless_the_measured_one_gives_more(spread, error):
    values = [8.0, 10.0, 12.0]  # s = 2
    found = compared(values, 10.0, None, published_uncertainty("not_stated", spread))
    half = stats.t.ppf(0.975, 2) * math.hypot(2 / math.sqrt(3), error)
    assert found.interval == pytest.approx((-half, half))


@settings(max_examples=60)
@given(samples, st.floats(0, 50), st.floats(0, 20))
def test_equivalence_is_two_one_sided_tests(values, margin, error):
    found = compared(values, 10.0, margin, PublishedUncertainty("", error, 4))
    low, high = found.equivalence_interval
    if min(abs(low + margin), abs(high - margin)) > 1e-6:
        assert (found.p_value <= 0.05) == (-margin <= low and high <= margin)
    assert found.interval[0] <= low <= high <= found.interval[1]


@settings(max_examples=60)
@given(st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=3, max_size=8), st.floats(0, 90))
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_equivalence_to_a_best_of_three_agrees_with_its_interval(better, values, margin):
    found = compared(values, 10.0, margin, published_uncertainty("none", None, 3, "best"), better)
    low, high = found.equivalence_interval
    if min(abs(low + margin), abs(high - margin)) > 1e-2 * np.std(values):
        assert (found.p_value <= 0.05) == (-margin <= low and high <= margin)
    assert found.interval[0] <= low <= high <= found.interval[1]


def test_scipy_agrees_on_each_side():
    values = np.array([4.0, 5.0, 7.0, 6.5])
    sides = [
        stats.ttest_1samp(values, 5.0 - 3.0, alternative="greater").pvalue,
        stats.ttest_1samp(values, 5.0 + 3.0, alternative="less").pvalue,
    ]
    assert compared(values.tolist(), 5.0, 3.0, EXACT).p_value == pytest.approx(max(sides))


@pytest.mark.parametrize("estimate, p_value", [(0.5, 0.0), (-1.0, 0.0), (1.1, 1.0)])
def test_without_variance_the_estimate_decides(estimate, p_value):
    exact = StandardisedDifference(np.array(estimate), np.array(0.0), StudentPivot(np.array(2.0)))
    assert exact.equivalence_p(1.0) == p_value
    found = compared([5 + estimate] * 3, 5.0, 1.0, EXACT)
    assert found.interval == pytest.approx((estimate, estimate))


@pytest.mark.parametrize("values", [[3.0, math.nan], [3.0, math.inf], []])
def test_a_value_that_is_not_finite_has_no_difference(values):
    assert compared(values, 1.0, 1.0, EXACT) is None


def test_one_value_has_no_interval():
    found = compared([3.0], 1.0, 1.0, EXACT)
    assert (found.estimate, found.interval, found.equivalence_interval, found.p_value) == (2.0, None, None, None)


def test_a_best_of_three_needs_three_seeds():
    best = published_uncertainty("none", None, 3, "best")
    assert compared([1.0, 2.0], 1.0, None, best) is None
    assert compared([1.0, 2.0, 4.0], 1.5, None, best).estimate == -0.5


@settings(max_examples=40)
@given(samples, st.floats(0.01, 50), st.integers(2, 60))
def test_an_unknown_number_of_trainings_never_narrows_the_interval(values, error, seeds):
    vague, known = (
        compared(values, 0.0, None, published_uncertainty("standard_error", error, number)).interval
        for number in (None, seeds)
    )
    assert vague[0] <= known[0] + 1e-9
    assert known[1] <= vague[1] + 1e-9


def test_the_spread_between_instruments_is_a_term_with_its_own_degrees_of_freedom():
    values, instruments = [900.0, 910.0, 935.0, 920.0], InstrumentNoise(12.0, 3)
    published = published_uncertainty("training_seeds", 30.0, 8)
    found = compared(values, 910.0, None, published, "higher", instruments)
    variances = [np.var(values, ddof=1) / 4, 144 * (1 + 1 / 3), 900 / 8]
    df = sum(variances) ** 2 / sum(v**2 / d for v, d in zip(variances, (3, 2, 7), strict=True))
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(variances))
    assert found.interval == pytest.approx((found.estimate - half, found.estimate + half))


def test_a_look_that_spends_a_third_of_the_error_rates_has_wider_intervals():
    values = [4.0, 5.0, 7.0, 6.5]
    error = float(stats.sem(values))
    found = difference_to_published(values, 5.0, 3.0, EXACT, "lower", share=1 / 3)
    assert found.interval == pytest.approx(stats.t.interval(1 - 0.05 / 3, 3, 0.625, error))
    assert found.equivalence_interval == pytest.approx(stats.t.interval(1 - 0.10 / 3, 3, 0.625, error))
    assert found.p_value == compared(values, 5.0, 3.0, EXACT).p_value


# --- out of reach ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mean, error, percent",
    [(78.5, 17.56, 37.5), (484.5, 32.99, 11.4), (601.3, 32.18, 9.0), (667.4, 29.00, 7.3)],
)
def test_pacgans_means_are_too_uncertain_for_a_tolerance_of_5_per_cent(mean, error, percent):
    """Table 3 of PacGAN, K/4: standard errors over 50 trainings."""
    published = published_uncertainty("standard_error", error, 50)
    assert round(100 * published_half_width(published) / mean, 1) == percent
    found = compared([mean] * 3, mean, 0.05 * mean, published, "higher")
    assert found.is_out_of_reach
    assert found.equivalence_interval[1] > found.margin, "even if all seeds agree with the published mean"


def test_what_remains_is_the_limit_of_many_seeds():
    rng = np.random.default_rng(0)
    values = rng.normal(100, 4, 200)
    spread = float(values.std(ddof=1))
    for uncertainty, instruments in [
        (published_uncertainty("training_seeds", 6.0, 8), None),
        (published_uncertainty("training_seeds", 6.0, 8), InstrumentNoise(2.0, 3)),
        (SINGLE, None),
        (published_uncertainty("none", None, 3, "best"), None),
    ]:
        low, high = standardise(values, 100.0, uncertainty, "lower", instruments).interval(0.90)
        expected = published_half_width(uncertainty, spread, instruments)
        assert (high - low) / 2 == pytest.approx(expected, rel=0.03)


def test_an_exact_value_is_never_out_of_reach():
    assert published_half_width(EXACT, 10.0) == 0
    assert not compared([1.0, 2.0, 3.0], 2.0, 0.01, EXACT).is_out_of_reach
    assert not compared([1.0, 2.0, 3.0], 2.0, None, SINGLE).is_out_of_reach
