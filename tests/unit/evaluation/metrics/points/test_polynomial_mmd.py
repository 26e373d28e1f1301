"""MMD^2 for the polynomial kernel: definition, another implementation, closed form for Gaussians, unbiasedness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel

from benchmark.evaluation.metrics.points.polynomial_mmd import PolynomialMMD, polynomial_mmd
from tests.support.points import Line, Plane, measured_points


def by_pairs(x, y):
    """The unbiased estimate from scikit-learn's kernel matrices, pair by pair."""
    k = lambda a, b: polynomial_kernel(a, b, degree=2, gamma=1, coef0=1)  # noqa: E731
    within = sum((k(z, z).sum() - np.trace(k(z, z))) / (len(z) * (len(z) - 1)) for z in (x, y))
    return within - 2 * k(x, y).mean()


def for_gaussians(mean, covariance, other_mean, other_covariance):
    """The population value: 2 |m - m'|^2 + |S - S'|^2 with S = covariance + m m^T."""
    second = covariance + np.outer(mean, mean) - other_covariance - np.outer(other_mean, other_mean)
    return 2 * np.sum((mean - other_mean) ** 2) + np.sum(second**2)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 9), m=st.integers(2, 9), d=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_it_equals_scikit_learns_kernel_pair_by_pair(seed, n, m, d):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(1, 2, size=(m, d))
    assert polynomial_mmd(x, y) == pytest.approx(by_pairs(x, y), rel=1e-9, abs=1e-9)


def test_zeros_and_ones_by_hand():
    """On a line the kernel is 1 among zeros, (1 + 1)^2 among ones and 1 between them: 1 + 4 - 2."""
    assert polynomial_mmd(np.zeros((3, 1)), np.ones((5, 1))) == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_the_mean_over_draws_is_the_closed_form_for_two_gaussians(d):
    """Also for equal ones, where it is 0: the estimate is unbiased. Means of 200 draws within 4 standard errors."""
    rng = np.random.default_rng(d)
    mean, other = np.zeros(d), np.linspace(0.3, 0.6, d)
    root = rng.normal(size=(d, d))
    for other_mean, other_covariance in ((other, root @ root.T), (mean, np.eye(d))):
        draws = [
            polynomial_mmd(
                rng.multivariate_normal(mean, np.eye(d), 300),
                rng.multivariate_normal(other_mean, other_covariance, 250),
            )
            for _ in range(200)
        ]
        error = np.std(draws) / np.sqrt(len(draws))
        assert abs(np.mean(draws) - for_gaussians(mean, np.eye(d), other_mean, other_covariance)) < 4 * error


def test_the_metric_compares_with_the_real_points_and_ignores_batches():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(n, 2)).astype(np.float32) for n in (60, 40))
    values = measured_points(PolynomialMMD, x, real=y)
    assert values == {"mmd2": pytest.approx(by_pairs(x.astype(float), y.astype(float)), abs=1e-9)}
    assert measured_points(PolynomialMMD, x, real=y, cuts=[3, 20, 59]) == values


def test_too_few_points_of_either_kind_are_refused():
    with pytest.raises(ValueError, match="at least 2 samples"):
        measured_points(PolynomialMMD, np.zeros((1, 2)), real=np.zeros((5, 2)))
    with pytest.raises(ValueError, match="at least 2 real samples, and there are 1"):
        measured_points(PolynomialMMD, np.zeros((5, 2)), real=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="at least 2 real samples, and there are 0"):
        measured_points(PolynomialMMD, np.zeros((5, 2)))
    assert "n_real is 1, but" in PolynomialMMD.check_config(PolynomialMMD.Options(n_real=1), Line, 100)
    assert PolynomialMMD.check_config(PolynomialMMD.Options(n_real=2), Plane, 100) is None
