"""The figure of tasks in turn shows both accuracies at every switch, and the second cycle apart."""

import pytest
from matplotlib.collections import PolyCollection

from benchmark.report.figures import curves, draw, leaderboard, tasks
from benchmark.report.figures.style import PALETTE, choose_styles, style_of
from tests.support.figure_contents import clipped, labels, overlapping, texts

LONG = "A very long name of a method that nobody can read at once"
FIELDS = {"dataset": "two_classes", "steps": 40, "options": {"updates_per_task": 10}}


@pytest.fixture(autouse=True)
def look():
    with draw.figure_style():
        yield


def history(offset=0.0):
    """Accuracies that rise by 2 per evaluation; at a switch, the next task starts at 50."""
    return {step: {"turn": 80.0 + offset + step % 10 / 5, "turn_next": 50.0 + offset} for step in range(5, 41, 5)}


def curve(axes, index=0):
    """The vertices of the mean of a row."""
    lines = [line for line in axes.lines if line.get_zorder() == 3]
    return list(map(tuple, lines[index].get_xydata()))


def test_a_switch_shows_the_last_task_and_then_the_next(experiment_row):
    row = experiment_row("Plain", [history(), history(4.0)], **FIELDS)
    (axes,) = tasks.draw_tasks({"T": [row]}).axes
    assert curve(axes) == [
        *((5, 83.0), (10, 82.0), (10, 52.0), (15, 83.0), (20, 82.0), (20, 52.0)),
        *((25, 83.0), (30, 82.0), (30, 52.0), (35, 83.0), (40, 82.0)),
    ], "the training ends with the last task"
    (band,) = [one for one in axes.collections if isinstance(one, PolyCollection)]
    at_switch = [y for x, y in band.get_paths()[0].vertices if x == 10]
    assert (min(at_switch), max(at_switch)) == (50.0, 84.0)


def test_switches_are_dotted_and_the_second_cycle_is_apart(experiment_row):
    row = experiment_row("Plain", [history()], **FIELDS)
    assert tasks.switches(row) == ([10, 20, 30], [20])
    (axes,) = tasks.draw_tasks({"T": [row]}).axes
    switches = {line.get_xdata()[0] for line in axes.lines if line.get_zorder() == 1.2}
    (cycle,) = [line for line in axes.lines if line.get_zorder() == 1.3]
    assert switches == {10, 30}
    assert cycle.get_xdata()[0] == 20
    (shade,) = axes.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (20, 40)


def test_several_updates_per_step_shorten_a_task(experiment_row):
    row = experiment_row("Plain", [history()], discriminator_steps=2, **FIELDS)
    assert tasks.switches(row).tasks == [5, 10, 15, 20, 25, 30, 35]


def test_rows_of_one_method_have_colours_of_their_own(experiment_row):
    rows = [experiment_row("Plain", [history()], **FIELDS), experiment_row("Rotation", [history(5)], **FIELDS)]
    (axes,) = tasks.draw_tasks({"T": rows}).axes
    assert [line.get_color() for line in axes.lines if line.get_zorder() == 3] == list(PALETTE[:2])
    other = [rows[0], experiment_row("Other", [history()], method="msgan", **FIELDS)]
    styles = choose_styles({"T": other})
    (axes,) = tasks.draw_tasks({"T": other}).axes
    assert [line.get_color() for line in axes.lines if line.get_zorder() == 3] == [
        style_of(row, styles).colour for row in other
    ]


def test_only_finished_trials_on_tasks_in_turn_are_drawn(experiment_row):
    stopped = experiment_row("Stopped", [history()], status="diverged", **FIELDS)
    other = experiment_row("Other", [{5: {"loss": 1.0}}], metric="class_loss", **FIELDS)
    empty = experiment_row("Not run", [{}], **FIELDS)
    assert tasks.draw_tasks({"T": [stopped, other, empty]}) is None
    figure = tasks.draw_tasks({"T": [stopped, experiment_row("Plain", [history()], **FIELDS)], "Other": [other]})
    assert len(figure.axes) == 1
    assert {"T", "Plain", "training step"} <= set(texts(figure))
    assert not {"Stopped", "Other"} & set(texts(figure))


@pytest.mark.parametrize("count", [1, 2, 12])
def test_no_word_is_clipped_or_covers_another(experiment_row, count):
    rows = [experiment_row(f"{n} {LONG}", [history(n)], **FIELDS) for n in range(count)]
    figure = tasks.draw_tasks({LONG * 3: rows}, banner="The first 120 of 130 rows")
    assert not clipped(figure)
    assert not overlapping(figure)
    assert len(figure.axes) == -(-count // tasks.MOST_ROWS)
    assert all(len(labels(axes, side)) > 1 for axes in figure.axes for side in ("x", "y"))


def test_accuracies_on_tasks_in_turn_have_one_figure(experiment_row):
    tables = {"T": [experiment_row("Plain", [history()], **FIELDS)]}
    assert curves.draw_curves(tables) is None
    assert leaderboard.split(tables) == ({"turn"}, set())


def test_a_single_cycle_has_no_sign_of_a_second(experiment_row):
    row = experiment_row("Plain", [history()], **FIELDS | {"options": {"updates_per_task": 20}})
    assert tasks.switches(row) == ([20], [])
    words = texts(tasks.draw_tasks({"T": [row]}))
    assert "next task" in words
    assert "next cycle" not in words
