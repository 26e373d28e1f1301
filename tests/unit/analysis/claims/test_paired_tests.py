"""One-sided paired tests: against SciPy, in their limits, and by their simulated error rates."""

import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.claims.paired_tests import LEVEL, p_values

CELLS = 20_000
RNG = np.random.default_rng


def tolerance(rate, cells=CELLS):
    """Three standard deviations of a simulated rate."""
    return 3 * (rate * (1 - rate) / cells) ** 0.5


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_t_test_is_that_of_scipy(n):
    values = RNG(n).normal(0.3, 1, (50, n))
    for relation, edge, sides in [
        ("greater", 0.0, ("greater", "less")),
        ("less", 0.0, ("less", "greater")),
        ("not_greater", 0.25, ("less", "greater")),
    ]:
        found = p_values(values, edge, relation, "t")
        for p, side in zip(found, sides, strict=True):
            expected = stats.ttest_1samp(values, edge, axis=-1, alternative=side).pvalue
            np.testing.assert_allclose(p, expected, rtol=1e-9)


@pytest.mark.parametrize("n", [1, 3, 5, 12])
def test_the_sign_test_is_the_exact_binomial_one(n):
    values = RNG(n).normal(0.3, 1, (50, n))
    p_for, p_against = p_values(values, 0.0, "greater", "sign")
    positive = (values > 0).sum(axis=-1)
    for k, p, q in zip(positive, p_for, p_against, strict=True):
        assert p == pytest.approx(stats.binomtest(k, n, 0.5, alternative="greater").pvalue)
        assert q == pytest.approx(stats.binomtest(n - k, n, 0.5, alternative="greater").pvalue)


@pytest.mark.parametrize(("n", "p"), [(3, 0.125), (4, 0.0625), (5, 0.03125), (8, 2**-8)])
def test_a_sign_test_reaches_two_to_the_minus_n_at_best(n, p):
    assert p_values(np.ones(n), 0.0, "greater", "sign")[0] == p
    assert p_values(-np.ones(n), 0.0, "less", "sign")[0] == p


def test_a_tie_counts_against_both_directions():
    p_for, p_against = p_values([0.0, 1.0, 1.0, 1.0, 1.0], 0.0, "greater", "sign")
    assert p_for == pytest.approx(6 / 32)
    assert p_against == 1.0
    assert p_values(np.zeros(5), 0.0, "greater", "sign") == (1.0, 1.0)


def test_equal_differences_give_the_limits_of_the_t_test():
    assert p_values(np.full(3, 0.5), 0.0, "greater", "t") == (0.0, 1.0)
    assert p_values(np.zeros(3), 0.0, "greater", "t") == (0.5, 0.5)
    assert p_values(np.zeros(3), 0.25, "not_greater", "t") == (0.0, 1.0)


@pytest.mark.parametrize("test", ["t", "sign"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_gives_no_p_value(test, value):
    with np.errstate(invalid="ignore"):
        assert np.isnan(p_values([value, 1.0, 1.0], 0.0, "greater", test)).all()


@pytest.mark.parametrize("test", ["t", "sign"])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("relation", "edge"), [("greater", 0.0), ("less", 0.0), ("not_greater", 0.4)])
def test_at_the_edge_each_direction_errs_in_five_per_cent_at_most(test, seeds, relation, edge):
    differences = RNG([seeds, len(relation)]).normal(edge, 1, (CELLS, seeds))
    for p in p_values(differences, edge, relation, test):
        rate = (p <= LEVEL).mean()
        assert rate <= LEVEL + tolerance(LEVEL)
        if test == "t":
            assert rate >= LEVEL - tolerance(LEVEL), "the t-test is exact for normal differences"


def test_the_sign_test_keeps_its_level_for_skewed_differences_and_the_t_test_does_not():
    """Median 0, mean far from it: the reason to use the sign test where nothing is known about the distribution."""
    skewed = 1 - np.exp(RNG(7).normal(0, 1.2, (CELLS, 10)))
    assert max((p <= LEVEL).mean() for p in p_values(skewed, 0.0, "greater", "sign")) <= LEVEL + tolerance(LEVEL)
    assert (p_values(skewed, 0.0, "less", "t")[0] <= LEVEL).mean() > 2 * LEVEL


def test_beyond_the_edge_a_claim_is_found_with_the_power_of_the_noncentral_t():
    n, effect = 5, 1.5
    differences = RNG(3).normal(effect, 1, (CELLS, n))
    power = (p_values(differences, 0.0, "greater", "t")[0] <= LEVEL).mean()
    expected = stats.nct.sf(stats.t.ppf(1 - LEVEL, n - 1), n - 1, effect * n**0.5)
    assert abs(power - expected) <= tolerance(expected)
    assert power > 0.85


def test_a_claim_of_no_improvement_needs_less_than_the_margin():
    """No more is shown by chance where left exceeds right by the margin, and nearly always where both are equal."""
    shares = {}
    for true in (0.0, 0.5, 1.0):
        differences = RNG(9).normal(true, 0.2, (CELLS, 5))
        p_for, p_against = p_values(differences, 0.5, "not_greater", "t")
        shares[true] = ((p_for <= LEVEL).mean(), (p_against <= LEVEL).mean())
    assert shares[0.0][0] > 0.98
    assert shares[0.0][1] < 0.001
    assert max(shares[0.5]) <= LEVEL + tolerance(LEVEL)
    assert shares[1.0][1] > 0.98
