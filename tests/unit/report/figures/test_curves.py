"""tests.unit.report.figures.test_curves"""

import math

import pytest

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.report.figures import curves
from benchmark.report.figures import draw as figures
from benchmark.report.figures.style import Style, choose_styles
from tests.support.figure_contents import clipped, dashed, diamonds, labels, overlapping, texts


@pytest.fixture(autouse=True)
def look():
    with figures.figure_style():
        yield


def tables_of(suite, records):
    return rows_by_table(suite, leaderboard_rows(suite, records))


def colour(suite, label):
    return next(style.colour for (_, name), style in choose_styles(tables_of(suite, {})).items() if name == label)


@pytest.fixture
def finished(suite, make_record):
    """Panels by (table, metric) when every training ended with this measurement."""

    def draw(**metrics):
        records = {key: make_record(spec, metrics=metrics or None) for key, spec in suite.specs.items()}
        found = curves.draw_curves(tables_of(suite, records)).axes
        places = [(table, key) for table in suite.tables for key in ("modes", "kl")]
        return dict(zip(places, found, strict=True))

    return draw


def test_without_a_measurement_there_is_no_figure(suite, mixed):
    assert curves.draw_curves(tables_of(suite, {})) is None
    assert len(curves.draw_curves(tables_of(suite, mixed)).axes) == 6


def test_no_word_is_clipped_or_covers_another(suite, mixed):
    figure = curves.draw_curves(tables_of(suite, mixed))
    assert not clipped(figure)
    assert not overlapping(figure)
    assert all(len(labels(axes, side)) > 1 for axes in figure.axes for side in ("x", "y"))


def test_a_curve_is_the_mean_over_finished_seeds_at_common_steps(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {spec.trial_id: make_record(spec) for spec in specs}
    shorter = make_record(specs[0])
    records[specs[0].trial_id] = shorter.model_copy(update={"history": shorter.history[1:]})
    axes = curves.draw_curves(tables_of(suite, records)).axes[0]
    steps, means = axes.lines[0].get_data()
    assert list(steps) == [80, 120, 160, 200]
    assert means[-1] == pytest.approx(sum(r.metrics["modes"] for r in records.values()) / 3)


def test_a_band_reaches_from_the_lowest_to_the_highest_seed(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {spec.trial_id: make_record(spec) for spec in specs}
    axes = curves.draw_curves(tables_of(suite, records)).axes[0]
    (band,) = axes.collections[0].get_paths()
    ends = [y for x, y in band.vertices if x == 200]
    last = [record.metrics["modes"] for record in records.values()]
    assert (min(ends), max(ends)) == (min(last), max(last))


def test_a_trial_that_stopped_is_drawn_apart(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {specs[0].trial_id: make_record(specs[0], "diverged", "nan")}
    axes = curves.draw_curves(tables_of(suite, records)).axes[0]
    assert axes.lines[0].get_linestyle() == ":"
    assert axes.lines[1].get_marker() == "x"


def test_values_that_are_not_finite_are_left_out(finished):
    axes = finished(modes=500.0, kl=math.inf)["Own", "kl"]
    assert all(map(math.isfinite, axes.lines[0].get_ydata()))


def test_many_decades_get_a_logarithmic_axis(finished):
    found = finished(modes=500.0, kl=0.001)
    assert [found["Own", key].get_yscale() for key in ("modes", "kl")] == ["linear", "log"]


def test_published_values_are_lines_in_the_colour_of_their_method(suite, finished):
    axes = finished()["Checked", "modes"]
    for label, value in {"GAN": 640.0, "SSGAN": 906.75, "MSGAN": 926.75}.items():
        assert dashed(axes, colour(suite, label)) == [value]
        (face,) = [face for edge, face, height in diamonds(axes) if (edge, height) == (colour(suite, label), value)]
        assert face == edge_or_white(suite, "Checked", label)
    assert diamonds(finished()["Own", "modes"]) == []


def edge_or_white(suite, table, label):
    row = next(row for row in leaderboard_rows(suite, {}) if (row.table, row.label) == (table, label))
    return colour(suite, label) if row.results["modes"].reference.is_comparable else "white"


def test_one_that_is_unverified_has_a_hollow_diamond_and_a_key_of_its_own(suite, finished):
    axes = finished(modes=120.0, kl=1.0)["Remembered", "modes"]
    assert [(edge, face) for edge, face, _ in diamonds(axes)] == [(colour(suite, "GAN"), "white")]
    assert "published, unverified or other protocol" in texts(axes.figure)


def test_those_far_from_the_curves_are_numbers_at_the_edge_and_leave_the_axis_alone(suite, make_record):
    made = {key: make_record(spec, metrics={"modes": 20.0, "kl": 1.0}) for key, spec in suite.specs.items()}
    ended = {key: record.model_copy(update={"history": record.history[-1:]}) for key, record in made.items()}
    axes = curves.draw_curves(tables_of(suite, ended)).axes[0]
    assert sorted(labels(axes, "far")) == ["640 ↑", "906.75 ↑", "926.75 ↑"]
    assert dashed(axes, colour(suite, "MSGAN")) == []
    assert 0.8 < next(height for edge, _, height in diamonds(axes) if edge == colour(suite, "MSGAN")) < 1
    low, high = axes.get_ylim()
    assert (20 - low) / (high - low) < 0.9, "the curves leave room for them"
    assert not overlapping(axes.figure)


def test_the_published_value_never_takes_more_than_a_part_of_the_panel():
    """A value is either near, and its line is drawn, or it is a number at the edge."""
    style = Style("#000000", "o", None)
    for log in (False, True):
        for value in (-1e6, 1e-9, 5.0, 20.0, 1e9):
            one = curves.PublishedPoint(value, style, True)
            near, above, below = curves.split_by_distance([one], [10.0, 30.0], log)
            assert len(near) + len(above) + len(below) == 1
            assert not near or 0 < value < 100
            assert not above or value > 30
            assert not below or value < 10
