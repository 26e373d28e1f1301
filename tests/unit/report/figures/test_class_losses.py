"""The figure of losses of single classes highlights the classes below the full set."""

from pathlib import Path

import pytest
from matplotlib.collections import PathCollection

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.report.figures import class_losses, curves, draw, leaderboard
from benchmark.report.figures.style import FAINT, choose_styles, style_of
from tests.support.claim_suite import records_of
from tests.support.figure_contents import clipped, labels, overlapping, texts

LONG = "A very long name of a method that nobody can read at once"


@pytest.fixture(autouse=True)
def look():
    with draw.figure_style():
        yield


def record(full, *classes):
    return {20: {"loss": full} | {f"loss_{k}": value for k, value in enumerate(classes)}}


@pytest.fixture
def row(experiment_row):
    """Of two seeds, the second class is below the full set in the mean."""

    def make(label="SS", method="gan", records=None, **fields):
        measured = records or [record(1.0, 1.5, 0.6, 1.1), record(1.2, 1.7, 1.0, 1.2)]
        return experiment_row(label, measured, metric="class_loss", dataset="two_classes", method=method, **fields)

    return make


def means(axes):
    """(class, mean, colour, face) of the large dots."""
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    return [(*line.get_xydata()[0], line.get_color(), line.get_markerfacecolor()) for line in dots]


def test_the_full_set_is_a_line_and_classes_below_it_are_filled(row):
    tables = {"T": [row()]}
    colour = style_of(tables["T"][0], choose_styles(tables)).colour
    (axes,) = class_losses.draw_class_losses(tables).axes
    (full,) = [line for line in axes.lines if line.get_marker() == "None"]
    assert full.get_ydata()[0] == pytest.approx(1.1)
    band = axes.patches[0]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((1.0, 1.2))
    assert means(axes) == [
        (0, pytest.approx(1.6), FAINT, "white"),
        (1, pytest.approx(0.8), colour, colour),
        (2, pytest.approx(1.15), FAINT, "white"),
    ]


def test_every_seed_is_a_dot(row):
    (axes,) = class_losses.draw_class_losses({"T": [row()]}).axes
    dots = [tuple(xy) for one in axes.collections if isinstance(one, PathCollection) for xy in one.get_offsets()]
    assert dots == [(0, 1.5), (0, 1.7), (1, 0.6), (1, 1.0), (2, 1.1), (2, 1.2)]


def test_methods_are_side_by_side_and_the_classes_below_are_counted(row):
    rows = [row(), row("MS", "msgan", [record(0.1, 0.2, 0.3, 0.4)])]
    figure = class_losses.draw_class_losses({"T": rows})
    first, second = (axes.get_position() for axes in figure.axes)
    assert first.y0 == second.y0
    assert first.x1 < second.x0
    words = " ".join(texts(figure)).replace("\n", " ")
    assert "1 of 3 classes smaller, 2 seeds" in words
    assert "0 of 3 classes smaller, 1 seed" in words
    assert [labels(axes, "x") for axes in figure.axes] == [["0", "1", "2"]] * 2


def test_only_finished_trials_with_losses_count(row, experiment_row):
    partial = row("Partial", records=[{20: {"loss_1": 1.0}}, {20: {}}])
    other = experiment_row("Other", [{5: {"turn": 1.0}}], dataset="two_classes")
    assert class_losses.draw_class_losses({"T": [row("Stopped", status="failed"), partial, other]}) is None


def test_classifiers_of_one_generator_each_are_one_panel(row):
    """Each judges its own generator; what it says of the others does not count."""
    rows = [
        row("collapsed to 2", records=[record(9.0, 9.0, 9.0, 0.7)], options={"fake_class": 2}),
        row("all classes", records=[record(1.0, 0.0, 0.0, 0.0)], options={"fake_class": None}),
        row("collapsed to 0", records=[record(9.0, 1.4, 9.0, 9.0)], options={"fake_class": 0}),
        row("collapsed to 1, longer", records=[record(9.0, 9.0, 9.0, 9.0)], options={"fake_class": 1}, steps=7),
    ]
    (losses,) = class_losses.class_losses(rows)
    assert (losses.row.label, losses.full, losses.classes) == ("all classes", [1.0], {2: [0.7], 0: [1.4]})
    assert losses.below == {2}
    (axes,) = class_losses.draw_class_losses({"T": rows}).axes
    assert [(position, mean) for position, mean, *_ in means(axes)] == [(2, 0.7), (0, 1.4)]
    assert labels(axes, "x") == ["0", "2"]
    assert class_losses.draw_class_losses({"T": rows[1:2]}) is None, "its own classifier says nothing of the others"


@pytest.mark.parametrize("count", [1, 2, 12])
def test_no_word_is_clipped_or_covers_another(row, count):
    rows = [row(f"{n} {LONG}") for n in range(count)]
    figure = class_losses.draw_class_losses({LONG * 3: rows, "Again": rows[:1]}, banner="The first 120 of 130 rows")
    assert len(figure.axes) == count + 1
    assert not clipped(figure)
    assert not overlapping(figure)


def test_losses_of_single_classes_are_in_no_other_figure(row):
    """A table of ten classes would have ten columns more, and as many panels in two figures."""
    tables = {"T": [row()]}
    assert leaderboard.split(tables) == ({"loss"}, set())
    assert [panel.title for block in curves.measure(tables).blocks for line in block.rows for panel in line] == [
        "title of loss, % ↑"
    ]


def test_the_suite_of_collapsed_generators_has_a_panel_for_ss_and_one_for_ms():
    """Each row of one class under MS gives the loss of its class to the panel of all classes."""

    def value(row, seed, step):
        base = 10.0 * float(row.removeprefix("MS ")) if row.startswith("MS ") else -1.0
        suffixes = ("", *(f"_class{number}" for number in range(10)))
        keys = [f"{loss}_task_loss{suffix}" for loss in ("ss", "ms") for suffix in suffixes]
        return dict.fromkeys(keys, base + seed)

    suite = load_suite(Path("suites/collapsed_generator.yaml"))
    rows = [row for row in leaderboard_rows(suite, records_of(suite, value)) if row.table == "MNIST"]
    ss, ms = class_losses.class_losses(rows)
    assert (ss.row.label, sorted(ss.classes)) == ("SS", list(range(10)))
    assert (ms.row.label, ms.full) == ("MS", [-1.0, 0.0, 1.0, 2.0, 3.0])
    assert ms.classes == {number: [10.0 * number + seed for seed in range(5)] for number in range(10)}
