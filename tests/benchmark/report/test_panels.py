import math

import pytest

from benchmark.report import figures, panels, rows
from benchmark.report.tables import by_table


def tables_of(suite, records):
    return by_table(suite, rows(suite, records))


def test_a_panel_per_table_and_metric_with_every_label(suite, mixed):
    figure = panels.leaderboard(tables_of(suite, mixed))
    assert len(figure.axes) == 6
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["GAN", "SSGAN", "MSGAN"]
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"failed", "not run", "all 1,000", "floor 0.020"} <= words
    assert any("2 of 3 seeds" in text for text in words)


def test_curves_need_a_measurement(suite, mixed):
    assert panels.curves(tables_of(suite, {})) is None
    assert len(panels.curves(tables_of(suite, mixed)).axes) == 6


def test_a_curve_is_the_mean_over_finished_seeds_at_common_steps(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {spec.trial_id: make_record(spec) for spec in specs}
    shorter = make_record(specs[0])
    records[specs[0].trial_id] = shorter.model_copy(update={"history": shorter.history[1:]})
    axes = panels.curves(tables_of(suite, records)).axes[0]
    steps, means = axes.lines[0].get_data()
    assert list(steps) == [80, 120, 160, 200]
    assert means[-1] == pytest.approx(sum(r.metrics["modes"] for r in records.values()) / 3)


def test_a_trial_that_stopped_is_drawn_apart(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {specs[0].trial_id: make_record(specs[0], "diverged", "nan")}
    axes = panels.curves(tables_of(suite, records)).axes[0]
    assert axes.lines[0].get_linestyle() == ":"
    assert axes.lines[1].get_marker() == "x"


def test_values_that_are_not_numbers_are_left_out(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {s.trial_id: make_record(s, metrics={"modes": 500.0, "kl": math.inf}) for s in specs}
    tables = tables_of(suite, records)
    axes = panels.curves(tables).axes[1]
    assert all(map(math.isfinite, axes.lines[0].get_ydata()))
    with figures._look():
        figures._png(panels.leaderboard(tables))


def test_many_decades_get_a_logarithmic_axis(suite, specs_of, make_record):
    specs = specs_of(suite, "Own", "GAN")
    records = {s.trial_id: make_record(s, metrics={"modes": 500.0, "kl": 0.001}) for s in specs}
    modes, kl = panels.curves(tables_of(suite, records)).axes
    assert (modes.get_yscale(), kl.get_yscale()) == ("linear", "log")
