"""tests.unit.report.figures.test_leaderboard"""

import math
from pathlib import Path

import pytest
from matplotlib.collections import PathCollection

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.config.suite import load_suite
from benchmark.report.figures import draw, leaderboard
from benchmark.report.figures.style import COLUMNS
from tests.support.figure_contents import clipped, labels, overlapping, texts

SUITES = Path(__file__).parents[4] / "suites"
LONG = "A very long name of a method that nobody can read at once"


@pytest.fixture(autouse=True)
def look():
    with draw.figure_style():
        yield


def tables_of(suite, records):
    return rows_by_table(suite, leaderboard_rows(suite, records))


def drawn(tables):
    return leaderboard.draw_leaderboard(tables, leaderboard.split(tables)[0])


def dots(axes):
    """Where the dots and diamonds of a panel are."""
    found = [one for one in axes.collections if isinstance(one, PathCollection)]
    return [float(x) for one in found for x, _ in one.get_offsets()]


@pytest.fixture(scope="module")
def shipped():
    """Tables of a suite that comes with the project, in which nothing has run."""
    return lambda name: tables_of(load_suite(SUITES / f"{name}.yaml"), {})


def test_a_panel_per_table_and_metric_with_every_label(suite, mixed):
    figure = drawn(tables_of(suite, mixed))
    assert len(figure.axes) == 6
    assert labels(figure.axes[0], "row") == ["GAN", "SSGAN", "MSGAN"]
    assert labels(figure.axes[1], "row") == []
    words = set(texts(figure))
    assert {"Checked", "failed", "not run", "all 1,000", "floor 0.020", "modes covered (of 1,000) ↑"} <= words
    assert any("2 of 3 seeds" in text for text in words)


@pytest.mark.parametrize("records", ["mixed", "none"])
def test_no_word_is_clipped_or_covers_another(suite, mixed, records):
    figure = drawn(tables_of(suite, mixed if records == "mixed" else {}))
    assert not clipped(figure)
    assert not overlapping(figure)


def test_long_names_and_large_numbers_are_not_clipped(small_suite, make_record):
    suite = small_suite(LONG, "W" * 40, "x", title=LONG * 3)
    metrics = {"modes": 123456789.25, "kl": 1e9}
    figure = drawn(tables_of(suite, {key: make_record(spec, metrics=metrics) for key, spec in suite.specs.items()}))
    assert not clipped(figure)
    assert not overlapping(figure)


@pytest.mark.parametrize("name", ["mimicry2020", "neurips2019", "cvpr2019", "neurips2021", "icml2021", "stacked_mnist"])
def test_nothing_is_clipped_in_the_shipped_suites(shipped, name):
    tables = shipped(name)
    for keys in filter(None, leaderboard.split(tables)):
        figure = leaderboard.draw_leaderboard(tables, keys)
        assert not clipped(figure)
        assert not overlapping(figure)
        lefts = {round(axes.get_position().x0, 6) for axes in figure.axes}
        assert len(lefts) <= COLUMNS


def test_published_metrics_are_in_the_main_figure_and_the_rest_in_another(shipped):
    assert leaderboard.split(shipped("mimicry2020")) == ({"fid", "kid", "isc"}, set())
    assert leaderboard.split(shipped("stacked_mnist")) == (
        {"modes", "kl"},
        {"modes_raw", "kl_raw", "modes_again", "kl_again", "modes_third", "kl_third"},
    )
    main, besides = leaderboard.split(shipped("cvpr2019"))
    assert main == {"fid", *(f"linear_probe_{place}" for place in ("block0", "block1", "block2", "block3", "best"))}
    assert besides == {"fid_50k", "rotation_accuracy"}


def test_every_metric_is_drawn_once_and_every_table_is_in_the_main_figure(shipped):
    tables = shipped("neurips2019")
    main, besides = leaderboard.split(tables)
    assert not main & besides
    everything = {key for members in tables.values() for row in members for key in row.results}
    assert main | besides == everything
    assert set(tables) <= set(texts(leaderboard.draw_leaderboard(tables, main)))


def test_tables_share_an_axis_only_with_the_same_data(shipped):
    tables = shipped("mimicry2020")
    limits = {axes.get_xlim() for axes in drawn(tables).axes}
    assert len(limits) == 3 * len(tables)
    stacked = drawn(shipped("stacked_mnist")).axes  # tables of two datasets, two metrics
    assert (len(stacked), len({axes.get_xlim() for axes in stacked})) == (10, 4)


def test_an_axis_holds_all_that_is_drawn_on_it(suite, mixed):
    tables = tables_of(suite, mixed)
    for axes in drawn(tables).axes:
        low, high = axes.get_xlim()
        assert all(low <= x <= high for x in dots(axes))


def test_nothing_to_measure_leaves_the_axis_without_numbers(suite):
    tables = {"Own": tables_of(suite, {})["Own"]}
    assert labels(drawn(tables).axes[0], "x") == []


def test_published_values_are_diamonds_full_only_when_they_may_be_compared(suite, mixed):
    figure = drawn(tables_of(suite, mixed))
    assert {640.0, 906.75, 926.75} <= set(dots(figure.axes[0]))
    assert {"published", "published, unverified or other protocol"} <= set(texts(figure))


def test_values_that_are_not_finite_are_left_out(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {s.trial_id: make_record(s, metrics={"modes": 500.0, "kl": math.inf}) for s in specs}
    modes, kl = drawn(tables_of(suite, records)).axes[-2:]
    assert 500.0 in dots(modes)
    assert dots(kl) == []
