"""Modes, high-quality points and reverse KL of mixtures under the two published rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, entropy

from benchmark.core import registry
from benchmark.evaluation.metrics.points.mixture import RULES, Mixture, count_high_quality, reverse_kl
from tests.support.examples import NoFiles32
from tests.support.points import Line, Plane, measured_points

GRID = np.array([[i, j] for i in range(-4, 5, 2) for j in range(-4, 5, 2)], dtype=float)
STD = 0.05


def measured(points, centres=GRID, std=STD, weights=None, **options):
    weights = np.full(len(centres), 1 / len(centres)) if weights is None else weights
    known = {"centres": centres, "weights": weights, "std": np.array(std)}
    return measured_points(Mixture, points, statistics=known, **options)


def as_pacgans_code(points, centres, variance):
    """MetricLogger, loop by loop: the nearest centre by Mahalanobis distance, which must be below 3."""
    detail = np.zeros(len(centres))
    for point in points:
        distances = [math.sqrt(((point - centre) ** 2 / variance).sum()) for centre in centres]
        if min(distances) < 3:
            detail[int(np.argmin(distances))] += 1
    return len(np.nonzero(detail)[0]), 100 * detail.sum() / len(points), math.log(len(centres)) - entropy(detail)


@given(seed=st.integers(0, 10**6), spread=st.floats(0.5, 4))
@settings(max_examples=6, deadline=None)
def test_it_equals_pacgans_rule_point_by_point(seed, spread):
    rng = np.random.default_rng(seed)
    points = GRID[rng.integers(0, 9, 60)] + rng.normal(0, spread * STD, (60, 2))
    modes, quality, kl = as_pacgans_code(points, GRID, np.full(2, STD**2))
    assert measured(points) == {
        "modes_covered": modes,
        "high_quality": pytest.approx(quality, rel=1e-12),
        "reverse_kl": pytest.approx(kl, abs=1e-12),
    }


def test_a_known_histogram_by_hand():
    """Of 8 points, 4 + 2 are good in two modes, one is too far and one is lost: KL = log 25 - H(2/3, 1/3)."""
    points = [[0, 0]] * 4 + [[2, 2]] * 2 + [[4, 4.151], [99, 0]]
    h = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert measured(points) == {
        "modes_covered": 2.0,
        "high_quality": 75.0,
        "reverse_kl": pytest.approx(math.log(25) - h, abs=1e-12),
    }


@pytest.mark.parametrize(("distance", "good"), [(2.999, 100.0), (3.0, 0.0)])
def test_pacgans_limit_is_open(distance, good):
    assert measured([[distance, 0.0]], centres=np.zeros((1, 2)), std=1.0)["high_quality"] == good


def test_dist_gans_limit_is_closed_and_twenty_points_cover_a_mode():
    """The limit is 0.141 at a standard deviation of 0.05: 0.1 sqrt(2), as normalize_toydata computes it."""
    assert RULES["dist_gan"].radius * 0.05 == pytest.approx(0.1 * math.sqrt(2))
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    on_limit = [[0.1 * math.sqrt(2) * (1 - 1e-12), 0.0]] * 20
    points = on_limit + [[9.0, 0.0]] * 19 + [[0.16, 9.0]] * 40
    values = measured(points, centres=centres, std=0.05, rule="dist_gan")
    assert values["modes_covered"] == 1
    assert values["high_quality"] == pytest.approx(100 * 39 / 79)
    assert measured(points, centres=centres, std=0.05)["modes_covered"] == 2, "by PacGAN's rule one point is enough"


@pytest.mark.parametrize(("rule", "expected"), [("pacgan", chi2.cdf(9, 2)), ("dist_gan", chi2.cdf(8, 2))])
def test_a_perfect_generator_covers_all_modes_with_the_share_of_a_chi_square(rule, expected):
    """98.9 % and 98.2 % of a Gaussian's mass; the KL of n samples is about (K - 1) / 2n, as for stacked digits."""
    rng = np.random.default_rng(0)
    n = 20_000
    values = measured(GRID[rng.integers(0, 25, n)] + rng.normal(0, STD, (n, 2)), rule=rule)
    assert values["modes_covered"] == 25
    assert values["high_quality"] == pytest.approx(
        100 * expected, abs=4 * 100 * math.sqrt(expected * (1 - expected) / n)
    )
    assert values["reverse_kl"] == pytest.approx(24 / (2 * n), abs=6e-4)


def test_components_with_one_centre_are_one_mode_of_larger_weight():
    """linspace(0, 2 pi, 8) ends where it begins, up to rounding: seven modes, of which one weighs a quarter."""

    class Doubled(Plane):
        name = "doubled"
        mixture = Plane.mixture._replace(
            centres=np.array([[np.sin(t), np.cos(t)] for t in np.linspace(0, 2 * np.pi, 8)])
        )

    known = Mixture.dataset_statistics(Mixture.Options(), Doubled)
    assert known["centres"].shape == (7, 2)
    assert sorted(known["weights"].tolist()) == [0.125] * 6 + [0.25]
    faithful = np.repeat(Doubled.mixture.centres, 5, axis=0)
    values = measured_points(Mixture, faithful, statistics=known)
    assert values == {"modes_covered": 7.0, "high_quality": 100.0, "reverse_kl": pytest.approx(0, abs=1e-12)}


@given(counts=st.lists(st.integers(0, 50), min_size=2, max_size=30).filter(any))
@settings(max_examples=50, deadline=None)
def test_the_reverse_kl_equals_scipys(counts):
    counts = np.array(counts)
    weights = np.arange(1, len(counts) + 1) / np.arange(1, len(counts) + 1).sum()
    assert reverse_kl(counts, weights) == pytest.approx(entropy(counts, weights), rel=1e-9, abs=1e-12)


def test_without_good_points_the_kl_is_that_of_the_worst_generator():
    """With one mode of twenty-five covered it is log 25, and no other histogram has more."""
    nothing, one = measured([[1.0, 1.0], [math.nan, 0.0]]), measured([[0.0, 0.0]])
    assert (nothing["modes_covered"], nothing["high_quality"]) == (0, 0)
    assert nothing["reverse_kl"] == pytest.approx(one["reverse_kl"]) == pytest.approx(math.log(25))
    weights = np.array([0.5, 0.3, 0.2])
    assert reverse_kl(np.zeros(3, int), weights) == pytest.approx(reverse_kl(np.array([0, 0, 7]), weights))


def test_each_point_counts_once_even_between_two_centres():
    centres = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert count_high_quality(np.array([[0.4, 0.0]] * 3), centres, 1.0, RULES["pacgan"]).tolist() == [3, 0]


def test_the_values_do_not_depend_on_the_batches():
    rng = np.random.default_rng(0)
    points = GRID[rng.integers(0, 25, 90)] + rng.normal(0, STD, (90, 2))
    assert measured(points, cuts=[1, 40, 41]) == measured(points)


def test_datasets_without_modes_are_refused():
    options = Mixture.Options()
    assert Mixture.check_config(options, Plane, 10) is None
    assert "counts the modes of a mixture, and line is none" in Mixture.check_config(options, Line, 10)
    assert "measures points, and no_files_32 holds images; use 'fid'" in Mixture.check_config(options, NoFiles32, 10)


def test_the_report_states_the_rule():
    assert "3 standard deviations" in Mixture.describe(Mixture.Options(), 2500)
    assert "20 such points" in Mixture.describe(Mixture.Options(rule="dist_gan"), 2000)


@pytest.mark.parametrize("rule", RULES)
def test_the_covered_modes_are_those_that_it_counts(rule):
    """Of the ring with seven modes, of which some samples miss two and visit one too rarely for Dist-GAN's rule."""
    dataset, options = registry.datasets["unrolled_ring"], Mixture.Options(rule=rule)
    centres = np.unique(np.round(dataset.mixture.centres, 12), axis=0)
    points = np.concatenate([np.repeat(centres[2:], 30, axis=0), centres[:1].repeat(5, axis=0)])
    modes, is_covered = Mixture.covered_modes(options, dataset, points)
    assert np.array_equal(modes, centres)
    assert is_covered.tolist() == [rule == "pacgan", False, *[True] * 5]
    statistics = Mixture.dataset_statistics(options, dataset)
    assert measured_points(Mixture, points, statistics=statistics, rule=rule)["modes_covered"] == is_covered.sum()


def test_a_dataset_that_is_no_mixture_has_no_modes_to_cover():
    assert Mixture.covered_modes(Mixture.Options(), Line, np.zeros((3, 1))) is None
