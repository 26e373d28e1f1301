"""The live view: lines in a file, a table on a terminal."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmark.config.suite import load_suite
from benchmark.execution.events import TrialStarted
from benchmark.execution.live_view import LiveView, format_clock, trial_lines
from benchmark.trials.job import Progress


@pytest.fixture
def view(small_suite):
    suite = load_suite(Path(small_suite()))
    out = io.StringIO()
    return LiveView(trial_lines(suite, suite.specs), Console(file=out, width=100)), out, list(suite.specs)


def test_a_file_gets_a_line_per_event_and_no_control_codes(view, monkeypatch):
    view, out, (first, *_) = view
    monkeypatch.setattr("benchmark.execution.live_view.LINE_SECONDS", 0.0)
    with view.live():
        view.handle(TrialStarted(first))
        view.handle(Progress(first, 3, 1.5, {"modes": 7.0}))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "GAN · Digits · seed 0: step 3/6 (50 %)  1.5 steps/s  2 s left  modes 7" in lines[1]
    assert "\x1b" not in out.getvalue()


def test_the_table_shows_running_trials_first_when_not_all_fit(small_suite):
    suite = load_suite(Path(small_suite()), seeds=20)
    console = Console(file=io.StringIO(), width=100, height=12)
    view = LiveView(trial_lines(suite, suite.specs), console)
    last = list(suite.specs)[-1]
    view.lines[last].state = "running"
    console.print(view)
    rows = console.file.getvalue().splitlines()
    assert "running" in rows[2]
    assert len(rows) <= 12


@given(st.floats(0, 1e8))
def test_durations_are_short(seconds):
    text = format_clock(seconds)
    assert len(text) <= 12
    parts = text.replace(" d", "").replace(" h", "").replace(" s", "").replace(":", " ").split()
    assert all(part.isdigit() for part in parts)


def test_square_brackets_in_names_are_shown(view):
    """They would be read as markup: an error for `[/x=0.2]`, and nothing for `[ours]`."""
    view, out, _ = view
    for line in view.lines.values():
        line.label = "GAN [ours] [/x=0.2]"
    Console(file=out, width=200).print(view)
    assert "GAN [ours] [/x=0.2]" in out.getvalue()
