"""Densities of points on a line, against SciPy's, exact mixtures and the derived limits."""

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm

from baselines.common.limits import limit_density
from benchmark.analysis.points.densities import density_tables, kernel_density, mixture_density
from benchmark.data.base import MixtureComponents

GRID = np.linspace(-5, 5, 401)
POINTS = np.random.default_rng(0).standard_normal((5000, 1)).astype(np.float32)
NO_OPTIONS = {"game": "non_saturating", "lambda_gp": 0.0}


def only(tables):
    (table,) = tables
    return table


def test_a_kernel_density_is_that_of_scipy():
    points = np.random.default_rng(1).gamma(2, size=3000)
    reference = gaussian_kde(points, "scott")(GRID)
    assert kernel_density(points, GRID) == pytest.approx(reference, abs=1e-3 * reference.max())


@pytest.mark.parametrize("points", [np.full(100, 0.5), np.array([0.5])])
def test_a_generator_of_one_point_has_a_narrow_density(points):
    density = kernel_density(points, GRID)
    assert GRID[density.argmax()] == pytest.approx(0.5, abs=0.02)
    assert np.trapezoid(density, GRID) == pytest.approx(1, abs=1e-2)
    assert density.max() > 5


def test_the_density_of_a_mixture():
    mixture = MixtureComponents(np.array([[-1.0], [2.0]]), 0.3)
    expected = (norm.pdf(GRID, -1, 0.3) + norm.pdf(GRID, 2, 0.3)) / 2
    assert mixture_density(mixture, GRID) == pytest.approx(expected)


def test_a_table_has_the_densities_of_every_finished_training(experiment_row):
    rows = [
        experiment_row("GAN", [POINTS, 0.5 * POINTS], dataset="normal_line"),
        experiment_row("stopped", [POINTS], dataset="normal_line", status="diverged"),
        experiment_row("no samples yet", [{}], dataset="normal_line"),
        experiment_row("images", [{1: {}}], dataset="stacked_digits"),
    ]
    table = only(density_tables({"Line": rows}, {"normal_line": POINTS}))
    assert table.titles == ("Line",)
    assert [row.row.label for row in table.rows] == ["GAN"]
    by_seed = table.rows[0].by_seed
    assert by_seed[1].max() == pytest.approx(2 * by_seed[0].max(), rel=1e-2)
    assert table.real == pytest.approx(kernel_density(POINTS[:, 0].astype(float), table.grid))
    assert table.grid[0] < -3 < 3 < table.grid[-1]


def test_without_real_points_the_density_of_their_distribution_is_known(experiment_row):
    table = only(density_tables({"Line": [experiment_row("GAN", [POINTS], dataset="normal_line")]}, {}))
    assert table.real == pytest.approx(norm.pdf(table.grid))


def test_points_that_are_not_finite_are_left_out(experiment_row):
    broken = np.concatenate([POINTS, [[np.nan], [np.inf]]]).astype(np.float32)
    rows = [experiment_row("GAN", [broken, np.full((9, 1), np.nan, np.float32)], dataset="normal_line")]
    (row,) = only(density_tables({"Line": rows}, {"normal_line": POINTS})).rows
    assert list(row.by_seed) == [0]
    assert np.isfinite(row.by_seed[0]).all()


def test_the_share_of_samples_beyond_the_grid_is_known(experiment_row):
    far = np.concatenate([POINTS[:4500], POINTS[:500] + 100])
    (row,) = only(
        density_tables({"Line": [experiment_row("GAN", [far], dataset="normal_line")]}, {"normal_line": POINTS})
    ).rows
    assert row.outside == pytest.approx(0.1)


@pytest.mark.parametrize("method", ["gan", "ssgan"])
def test_a_method_that_plays_the_derived_game_has_a_limit(experiment_row, method):
    options = NO_OPTIONS | {"weight_d": 1.0, "weight_g": 1.0, "batches": "each_four_ways"}
    rows = [experiment_row("A", [POINTS], dataset="normal_line", method=method, options=options)]
    table = only(density_tables({"Line": rows}, {}))
    expected = limit_density(method, norm.pdf, table.grid, [0, 2, 4, 6])
    assert table.rows[0].limit == pytest.approx(expected)


@pytest.mark.parametrize(
    "method, options",
    [("gan", {"game": "hinge"}), ("ssgan", NO_OPTIONS | {"weight_d": 1.0, "weight_g": 0.2}), ("pacgan", NO_OPTIONS)],
)
def test_other_games_and_methods_have_no_known_limit(experiment_row, method, options):
    rows = [experiment_row("A", [POINTS], dataset="normal_line", method=method, options=options)]
    assert only(density_tables({"Line": rows}, {})).rows[0].limit is None


def test_two_tables_of_the_same_trials_are_one(experiment_row):
    rows = [experiment_row("GAN", [POINTS], dataset="normal_line")]
    other = [experiment_row("GAN", [POINTS], dataset="normal_line", steps=7)]
    tables = density_tables({"Theory": rows, "Figure": rows, "Shorter": other}, {})
    assert [table.titles for table in tables] == [("Theory", "Figure"), ("Shorter",)]
