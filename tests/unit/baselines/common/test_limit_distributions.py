"""Every step of docs/limit_distributions.md, checked numerically on the line N(0, 1) with four shifts of 2.

The references are independent of `limits`: optimal classifiers by direct minimisation, the generator's loss from the
losses of `baselines.methods`, and the limit by minimising a functional of Kullback-Leibler divergences with mirror
descent.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize
from scipy.special import logsumexp, softmax
from scipy.stats import gaussian_kde, norm
from torch.nn.functional import cross_entropy

from baselines.common import limits, losses
from baselines.methods import msgan

SHIFTS = (0.0, 2.0, 4.0, 6.0)
K = len(SHIFTS)
METHODS = ("gan", "ssgan", "msgan", "ssgan_la")
H = 1 / 8  # of the coarse grid, on which the trapezoidal rule is exact to 1e-12 for N(0, 1)
GRID = np.arange(-64, 65) * H
PER_SHIFT = 16  # points of the coarse grid in a shift

FINE_H = 1 / 256  # for densities with kinks
FINE = np.arange(-8 * 256, 8 * 256 + 1) * FINE_H

# standard deviation and peak of the density, to the digits on which grids of integration of 1/8 and 1/512 agree
EXACT = {
    "gan": (1.0, 0.39894228),
    "ssgan": (0.592985, 0.621748),
    "msgan": (0.69263119, 0.53033383),
    "ssgan_la": (1.0, 0.39894228),
}


def limit(method, grid=GRID):
    density = limits.limit_density(method, norm.pdf, grid, SHIFTS)
    assert density is not None
    return density


def tensor(values):
    return torch.tensor(np.asarray(values), dtype=torch.float64)


# -- the optimal discriminators ----------------------------------------------------------------------------------------


def masses(q):
    """Head -> per class, the (n + (K - 1) PER_SHIFT,) mass that the optimal discriminator sees at every point y.

    `q`: (n,) density of fakes on GRID, positive. Row k of `real` and `fake` is the density shifted by 2k, on the same
    points y.
    """
    padded = {"real": torch.as_tensor(norm.pdf(GRID)), "fake": torch.as_tensor(q)}
    rows = {
        name: torch.stack([torch.nn.functional.pad(d, (k * PER_SHIFT, (K - 1 - k) * PER_SHIFT)) for k in range(K)])
        for name, d in padded.items()
    }
    real, fake = rows["real"] / K, rows["fake"] / K  # every point takes part in all K shifts
    return {
        "gan": torch.stack([padded["real"], padded["fake"]]),
        "ssgan": real,
        "msgan": torch.cat([real, fake.sum(0, keepdim=True)]),
        "ssgan_la": torch.stack([real, fake], dim=1).flatten(0, 1),  # real in shift k is class 2k, fake 2k + 1
    }


def optimal_logits(q):
    """The closed form: with softmax, log mass is an optimal logit of each class."""
    return {name: mass.log() for name, mass in masses(q).items()}


@pytest.mark.parametrize("head", METHODS)
@pytest.mark.parametrize("point", [-1.0, 0.0, 0.5, 2.0, 4.5])
def test_the_optimal_discriminator_has_class_probabilities_proportional_to_the_masses(head, point):
    """Direct minimisation of the cross-entropy over the logits at a point ends at mass / total mass."""
    mass = masses(norm.pdf(GRID, 0.3, 0.8))[head][:, np.searchsorted(GRID, point)].numpy()
    share = mass / mass.sum()

    def cross_entropy_at_the_point(logits):
        return logsumexp(logits) - share @ logits, softmax(logits) - share

    found = minimize(cross_entropy_at_the_point, np.zeros(len(share)), jac=True, method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(softmax(found.x), share, atol=1e-7)


# -- the generator's loss at a point -----------------------------------------------------------------------------------


def generator_loss(method, q):
    """(n,) loss of a fake at every point of GRID against optimal discriminators, by the losses of `baselines`."""
    logits, n = optimal_logits(q), len(GRID)
    at = {k: slice(k * PER_SHIFT, k * PER_SHIFT + n) for k in range(K)}  # of the points x + 2k

    def mean_over_shifts(loss):
        return torch.stack([loss(k) for k in range(K)]).mean(0)

    def class_loss(head, k, label):
        return cross_entropy(logits[head][:, at[k]].T, torch.full((n,), label), reduction="none")

    adversarial = losses.log_real(logits["gan"][0] - logits["gan"][1])
    task = {
        "gan": lambda: 0.0,
        "ssgan": lambda: mean_over_shifts(lambda k: class_loss("ssgan", k, k)),
        "msgan": lambda: mean_over_shifts(lambda k: class_loss("msgan", k, k) - class_loss("msgan", k, msgan.FAKE)),
        "ssgan_la": lambda: mean_over_shifts(
            lambda k: class_loss("ssgan_la", k, 2 * k) - class_loss("ssgan_la", k, 2 * k + 1)
        ),
    }[method]()
    return (task + (0.0 if method == "ssgan_la" else adversarial)).numpy()


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_constant_where_the_limit_has_mass_and_larger_where_it_has_none(method):
    """The condition of equilibrium: no point has a smaller loss than those where the fakes lie."""
    q = limit(method)
    loss, has_mass = generator_loss(method, np.maximum(q, 1e-300)), q > 0
    level = loss[has_mass & (np.abs(GRID) < 4)]
    np.testing.assert_allclose(level, level[0], atol=2e-5)
    assert np.all(loss[~has_mass] > level[0])
    assert np.all(has_mass) == (method != "ssgan")


def test_ssgan_has_no_mass_beyond_the_points_whose_shift_is_too_ambiguous():
    """The limit is exactly 0 where s >= c, and the edge a solves s(a) = c; in between, the density is positive."""
    nodes, weights = np.polynomial.legendre.leggauss(80)

    def mean_cross_entropy(x):
        return limits.mean_cross_entropy(norm.pdf, np.atleast_1d(x), SHIFTS)

    def mass(edge):
        density = norm.pdf(edge * nodes) * np.expm1(mean_cross_entropy(edge) - mean_cross_entropy(edge * nodes))
        return edge * weights @ density

    edge = brentq(lambda a: mass(a) - 1, 1, 3, xtol=1e-12)
    assert edge == pytest.approx(1.600518, abs=1e-6)
    fine = np.arange(-4000, 4001) / 1000
    np.testing.assert_array_equal(limit("ssgan", fine) > 0, np.abs(fine) < edge)
    assert mean_cross_entropy(edge)[0] == pytest.approx(1.122934, abs=1e-6)


def test_the_cross_entropy_is_even_convex_and_grows_like_three_x():
    """s is a mean of logarithms of sums of exponentials of linear functions: smallest at 0, 3 |x| - 7 in the tails."""
    s = limits.mean_cross_entropy(norm.pdf, GRID, SHIFTS)
    np.testing.assert_allclose(s, s[::-1], atol=1e-12)
    assert np.all(np.diff(s, 2) > -1e-12)
    assert s[-1] == pytest.approx(3 * GRID[-1] - 7, abs=1e-3)


# -- the limit as the minimiser of a functional ------------------------------------------------------------------------


def divergence(a, b):
    return (torch.special.xlogy(a, a) - torch.special.xlogy(a, b)).sum() * H


def functional(method, q):
    """The functional of the module's table, from its definition, for a tensor of n densities on GRID."""
    p = tensor(norm.pdf(GRID))
    adversarial = 2 * divergence((p + q) / 2, p)
    if method == "ssgan":
        real = torch.stack([torch.nn.functional.pad(p, (k * PER_SHIFT, (K - 1 - k) * PER_SHIFT)) for k in range(K)])
        posterior = torch.log(real / real.sum(0))
        shifted = torch.stack([torch.nn.functional.pad(q, (k * PER_SHIFT, (K - 1 - k) * PER_SHIFT)) for k in range(K)])
        seen = real > 0
        return adversarial - (shifted[seen] * posterior[seen]).sum() * H / K
    if method == "msgan":
        shifted = torch.stack([torch.nn.functional.pad(q, (k * PER_SHIFT, (K - 1 - k) * PER_SHIFT)) for k in range(K)])
        information = divergence(shifted / K, shifted.mean(0).expand(K, -1) / K)
        return adversarial + divergence(q, p) - information
    return divergence(q, p) if method == "ssgan_la" else adversarial


def minimise(method, start, steps=150, rate=0.9):
    """The minimiser of the functional over densities on GRID by mirror descent, from the density `start`."""
    log_q = torch.log_softmax(tensor(np.log(start)), 0) - np.log(H)
    for _ in range(steps):
        q = log_q.exp().requires_grad_()
        functional(method, q).backward()
        log_q = torch.log_softmax(log_q - rate * q.grad / H, 0) - np.log(H)
    return log_q.exp().numpy()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [(0.0, 2.0), (1.5, 0.7)], ids=["wide", "off-centre"])
def test_the_limit_minimises_the_functional_from_any_start(method, start):
    np.testing.assert_allclose(minimise(method, norm.pdf(GRID, *start) + 1e-9), limit(method), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_functional_has_the_generators_loss_as_its_derivative(method):
    """Up to a constant, with the discriminator held fixed: the game's gradient is that of the functional."""
    q = tensor(norm.pdf(GRID, 0.3, 0.8)).requires_grad_()
    functional(method, q).backward()
    inner = np.abs(GRID) < 4
    surplus = (q.grad.numpy() / H - generator_loss(method, q.detach().numpy()))[inner]
    np.testing.assert_allclose(surplus, surplus[0], atol=1e-9)


# -- the numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_limits_have_the_moments_and_peaks_of_the_table(method):
    grid = np.arange(-4096, 4097) / 512
    q = limit(method, grid)
    mean, std = np.trapezoid(q * grid, grid), np.sqrt(np.trapezoid(q * grid**2, grid))
    assert np.trapezoid(q, grid) == pytest.approx(1, abs=1e-6)
    assert mean == pytest.approx(0, abs=1e-9)
    assert (std, q.max()) == pytest.approx(EXACT[method], abs=1e-6)
    assert grid[q.argmax()] == 0


@pytest.mark.parametrize("method", METHODS)
def test_the_values_of_the_issue_hold(method):
    std, peak = {"ssgan": (0.593, 0.622), "msgan": (0.693, 0.530)}.get(method, (1.000, 0.399))
    assert (round(EXACT[method][0], 3), round(EXACT[method][1], 3)) == (std, peak)


def moments(ratio, start):
    """Standard deviation and peak of p ratio(c), with the c > start that gives mass 1."""
    p = norm.pdf(FINE)
    level = brentq(lambda c: np.sum(p * ratio(c)) * FINE_H - 1, start + 1e-6, start + 5)
    q = p * ratio(level)
    return np.sqrt(np.sum(q * FINE**2) * FINE_H), q.max()


def test_other_games_have_other_limits():
    """The table of the page's section "What would change the limits"."""
    s = limits.mean_cross_entropy(norm.pdf, FINE, SHIFTS)
    for weight, expected in ((1.0, (0.593, 0.622)), (0.5, (0.720, 0.527)), (0.2, (0.865, 0.454))):
        found = moments(lambda c, w=weight: np.expm1(np.maximum(c - w * s, 0)), weight * s.min())
        assert found == pytest.approx(expected, abs=5e-4)

    # min over q of E_q[log(q / (p + q)) + s]: with c < s everywhere, q = p / (exp(s - c) - 1)
    saturating = moments(lambda c: 1 / np.expm1(s + c), -s.min())
    assert saturating == pytest.approx((0.667, 0.622), abs=5e-4)

    # min over q of E_q[log(1 + q / p) + s], differentiated through q / p as well: g(r) + s = c with
    ratios = np.concatenate([[0], np.geomspace(1e-6, 10, 20_000)])
    derivative = np.log1p(ratios) + ratios / (1 + ratios)
    through = moments(lambda c: np.interp(c - s, derivative, ratios), s.min())
    assert through == pytest.approx((0.675, 0.561), abs=5e-4)


def test_a_kernel_density_of_ten_thousand_points_reads_the_peak_to_about_one_percent():
    """Smoothing lowers the peak by 1 %, and the maximum of a noisy curve raises it by about as much."""
    points = np.linspace(-0.6, 0.6, 25)
    draws = np.random.default_rng(0).normal(size=(20, 10_000))
    smooth = norm.pdf(0, scale=np.sqrt(1 + 10_000**-0.4))
    assert smooth / EXACT["gan"][1] == pytest.approx(0.988, abs=1e-3)
    assert np.mean([gaussian_kde(x)(points).max() for x in draws]) / EXACT["gan"][1] == pytest.approx(1, abs=0.01)


def test_the_grid_of_evaluation_may_be_any():
    coarse, fine = np.linspace(-3, 3, 7), np.linspace(-3, 3, 6001)
    for method in METHODS:
        np.testing.assert_allclose(limit(method, coarse), limit(method, fine)[::1000], atol=1e-7)


@pytest.mark.parametrize("method, expected", [("ssgan", 0.5914), ("msgan", 0.6910), ("gan", 0.9971)])
def test_the_limit_of_data_with_the_deviation_of_the_sample(method, expected):
    q = limits.limit_density(method, lambda x: norm.pdf(x, scale=0.99713), FINE, SHIFTS)
    assert np.sqrt(np.sum(q * FINE**2) * FINE_H) == pytest.approx(expected, abs=1e-4)


def test_an_unknown_method_has_no_limit():
    assert limits.limit_density("wgan_gp", norm.pdf, GRID, SHIFTS) is None


@pytest.mark.parametrize("shifts", [(0.0,), (1.0, 2.0), (0.0, 1.0, 3.0), (0.0, -1.0)])
def test_uneven_shifts_are_refused(shifts):
    with pytest.raises(ValueError, match="not evenly spaced"):
        limits.limit_density("ssgan", norm.pdf, GRID, shifts)
