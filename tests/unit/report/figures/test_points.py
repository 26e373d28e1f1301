"""The figures of points show every training's density, the limit, the samples and the modes."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from benchmark.analysis.points.densities import density_tables
from benchmark.report.figures import draw, points
from benchmark.report.figures.style import FAINT, choose_styles, style_of
from tests.support.experiment_rows import CORNERS
from tests.support.figure_contents import clipped, labels, overlapping, texts

LONG = "A very long name of a method that nobody can read at once"
LINE = np.random.default_rng(0).standard_normal((2000, 1)).astype(np.float32)
GAME = {"game": "non_saturating", "lambda_gp": 0.0}


@pytest.fixture(autouse=True)
def look():
    with draw.figure_style():
        yield


def curves(axes):
    """(n, 2) vertices of each training's density."""
    (lines,) = [one for one in axes.collections if isinstance(one, LineCollection) and one.get_zorder() == 3]
    return [path.vertices for path in lines.get_paths()]


def markers(axes, marker):
    """(x, y) of the modes that are drawn with a marker."""
    found = [line.get_xydata() for line in axes.lines if line.get_marker() == marker]
    return sorted(map(tuple, np.concatenate(found))) if found else []


def test_a_panel_shows_every_training_the_limit_and_the_real_data(experiment_row):
    rows = [
        experiment_row("GAN", [LINE, 0.5 * LINE], dataset="normal_line", method="gan", options=GAME),
        experiment_row("Hinge", [LINE], dataset="normal_line", method="gan", options={"game": "hinge"}),
    ]
    tables = {"Line": rows}
    (table,) = density_tables(tables, {"normal_line": LINE})
    first, second = points.draw_density(tables, {"normal_line": LINE}).axes
    for curve, density in zip(curves(first), table.rows[0].by_seed.values(), strict=True):
        assert curve == pytest.approx(np.column_stack([table.grid, density]))
    (limit,) = first.lines
    assert limit.get_ydata() == pytest.approx(table.rows[0].limit)
    assert len(second.lines) == 0, "no limit is known for the hinge loss"
    (real,) = [one for one in first.collections if one.get_zorder() == 1]
    assert real.get_paths()[0].vertices[:, 1].max() == pytest.approx(table.real.max())
    assert first.get_ylim() == second.get_ylim()
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim()[1] > table.rows[0].by_seed[1].max(), "the peak is in the panel"


def test_the_peak_and_the_limit_are_numbers(experiment_row):
    rows = [experiment_row("GAN", [LINE, 0.5 * LINE], dataset="normal_line", method="gan", options=GAME)]
    words = texts(points.draw_density({"Line": rows}, {}))
    (table,) = density_tables({"Line": rows}, {})
    peak = np.mean([density.max() for density in table.rows[0].by_seed.values()])
    assert f"peak {peak:.2f}, limit 0.40" in " ".join(words)
    assert {"density", "x", "real data", "limit in theory", "generated, a line per seed"} <= set(words)


def test_a_collapsed_generator_leaves_the_axis_to_the_others(experiment_row):
    rows = [
        experiment_row("GAN", [LINE], dataset="normal_line"),
        experiment_row("Collapsed", [np.zeros_like(LINE)], dataset="normal_line"),
    ]
    figure = points.draw_density({"Line": rows}, {"normal_line": LINE})
    assert figure.axes[0].get_ylim()[1] < 1.2


@pytest.mark.parametrize("count", [1, 5, 12])
def test_no_word_is_clipped_or_covers_another(experiment_row, count):
    rows = [
        experiment_row(f"{label} {n}", [LINE], dataset="normal_line", steps=n + 1)
        for n, label in zip(range(count), ["GAN", LONG, "W" * 40] * 4, strict=False)
    ]
    for real in ({}, {"normal_line": LINE}):
        figure = points.draw_density({LONG * 3: rows}, real, banner="The first 120 of 130 rows")
        assert len(figure.axes) == count
        assert not clipped(figure)
        assert not overlapping(figure)


def test_without_points_there_is_no_figure(experiment_row, suite):
    rows = [experiment_row("GAN", [{1: {}}], dataset="stacked_digits"), experiment_row("B", [LINE], dataset="corners")]
    assert points.draw_density({"T": rows[:1]}, {}) is None
    assert points.draw_scatter({"T": rows[:1]}, {}) is None


def test_a_scatter_plot_has_the_samples_and_marks_covered_and_missed_modes(experiment_row):
    samples = [np.repeat(CORNERS[:3] + 0.05, 10, axis=0).astype(np.float32), CORNERS.astype(np.float32)]
    rows = [
        experiment_row("GAN", samples, metric="near_corners", dataset="corners"),
        experiment_row("PacGAN", samples[1:], metric="near_corners", dataset="corners", method="pacgan"),
    ]
    tables = {"Corners": rows}
    real, gan, pacgan = points.draw_scatter(tables, {"corners": CORNERS.astype(np.float32)}).axes
    (dots,) = [one for one in gan.collections if isinstance(one, PathCollection)]
    assert np.asarray(dots.get_offsets()) == pytest.approx(samples[0])
    assert dots.get_facecolor()[0, :3] == pytest.approx(rgb(style_of(rows[0], choose_styles(tables)).colour))
    assert markers(gan, "o") == sorted(map(tuple, CORNERS[:3]))
    assert markers(gan, "x") == [tuple(CORNERS[3])]
    assert (len(markers(pacgan, "o")), len(markers(pacgan, "x"))) == (4, 0)
    (dots,) = [one for one in real.collections if isinstance(one, PathCollection)]
    assert dots.get_facecolor()[0, :3] == pytest.approx(rgb(FAINT))
    assert (markers(real, "o"), markers(real, "x")) == ([], [])
    assert len({axes.get_xlim() for axes in (real, gan, pacgan)}) == 1
    assert len({axes.get_ylim() for axes in (real, gan, pacgan)}) == 1
    assert {"3 of 4 modes, seed 0", "mode that is covered", "mode that is missed"} <= set(texts(gan.figure))


def rgb(colour):
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def test_a_scatter_plot_is_square_and_its_axes_are_labelled(experiment_row):
    rows = [
        experiment_row(f"{LONG} {n}", [CORNERS], metric="near_corners", dataset="corners", steps=n + 1)
        for n in range(9)
    ]
    figure = points.draw_scatter({"Corners": rows, "Alone": rows[:1]}, {})
    assert not clipped(figure)
    assert not overlapping(figure)
    assert all(axes.bbox.width == pytest.approx(axes.bbox.height, abs=2) for axes in figure.axes)
    assert len(labels(figure.axes[0], "x")) > 1
    assert len(labels(figure.axes[0], "y")) > 1


def test_samples_beyond_the_axes_are_counted(experiment_row):
    away = np.concatenate([CORNERS, CORNERS + 50]).astype(np.float32)
    rows = [experiment_row("GAN", [away], metric="turn_accuracy", dataset="corners")]
    words = " ".join(texts(points.draw_scatter({"Corners": rows}, {})))
    assert "50 % outside" in words.replace("\n", " ")
    assert "missed" not in words, "nobody has said which modes are covered"
