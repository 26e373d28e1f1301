"""Where time goes, and that checkpoints take two hundredths of it at the most, on a slow disk too."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.trials import stopwatch
from benchmark.trials.stopwatch import MAX_SHARE, MIN_INTERVAL, CheckpointPolicy, Stopwatch


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(stopwatch, "clock", made)
    return made


def test_every_second_is_on_one_account(clock):
    watch = Stopwatch()
    clock.now += 5
    with watch.phase("measuring"):
        clock.now += 7
        with watch.phase("saving"):
            clock.now += 2
        clock.now += 1
    clock.now += 3
    assert watch.totals() == {"training": 8, "measuring": 8, "saving": 2, "waiting": 0}


def test_time_that_ends_in_an_error_is_counted(clock):
    watch = Stopwatch()
    with suppress(OSError), watch.phase("saving"):
        clock.now += 4
        raise OSError
    clock.now += 1
    assert watch.totals() == {"training": 1, "measuring": 0, "saving": 4, "waiting": 0}


def train(clock, seconds, step, save):
    """A training with steps and saves of so many seconds. The stopwatch, and when it saved."""
    made, saves = CheckpointPolicy(Stopwatch()), []
    end = clock.now + seconds
    while clock.now < end:
        clock.now += step
        if made.is_due():
            with made.timed_save():
                clock.now += save
            saves.append(clock.now)
    return made.watch.totals(), saves


@given(step=st.floats(0.1, 100), save=st.floats(0.0, 60))
def test_checkpoints_take_their_share_at_the_most(step, save):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(stopwatch, "clock", clock)
        spent, saves = train(clock, 20_000, step, save)
    assert spent["saving"] <= max(MAX_SHARE * spent["training"] * 1.001, save), "what a first one takes is not known"
    assert all(later - sooner >= MIN_INTERVAL for sooner, later in pairwise(saves))
    wanted = (
        max(MIN_INTERVAL, save / MAX_SHARE) + 2 * step
    )  # no more than this is ever lost, as far as the share allows it
    gaps = [later - sooner for sooner, later in pairwise(saves[1:])]
    assert not gaps or max(gaps) <= wanted + save + 1e-6


def test_a_disk_that_becomes_slow_is_written_to_less_often(clock):
    made = CheckpointPolicy(Stopwatch())
    clock.now += 61
    assert made.is_due()
    with made.timed_save():
        clock.now += 30
    clock.now += 61
    assert not made.is_due()
    clock.now += 60 / MAX_SHARE
    assert made.is_due()


def test_a_suite_may_ask_for_more_checkpoints_but_not_for_a_larger_share(clock):
    made = CheckpointPolicy(Stopwatch(), interval=2.0)
    clock.now += 3
    assert made.is_due()
    with made.timed_save():
        clock.now += 0.5
    clock.now += 3
    assert not made.is_due(), "half a second is more than two hundredths of six"
    clock.now += 2 * 0.5 / MAX_SHARE
    assert made.is_due()
