"""The phases of a trial's time, and that checkpoints take at most their share of it, also on a slow disk."""

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


def test_every_second_belongs_to_one_phase(clock):
    watch = Stopwatch()
    clock.now += 5
    with watch.phase("measuring"):
        clock.now += 7
        with watch.phase("saving"):
            clock.now += 2
        clock.now += 1
    clock.now += 3
    assert watch.totals() == {"training": 8, "measuring": 8, "saving": 2, "waiting": 0}


def test_a_phase_that_raises_is_counted(clock):
    watch = Stopwatch()
    with suppress(OSError), watch.phase("saving"):
        clock.now += 4
        raise OSError
    clock.now += 1
    assert watch.totals() == {"training": 1, "measuring": 0, "saving": 4, "waiting": 0}


def train(clock, seconds, step, save):
    """A training whose steps and saves take these seconds. Returns the totals, and the times of the saves."""
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
def test_checkpoints_take_at_most_their_share(step, save):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(stopwatch, "clock", clock)
        spent, saves = train(clock, 20_000, step, save)
    assert spent["saving"] <= max(MAX_SHARE * spent["training"] * 1.001, save), (
        "nobody knows the cost of the first save"
    )
    assert all(later - sooner >= MIN_INTERVAL for sooner, later in pairwise(saves))
    wanted = (
        max(MIN_INTERVAL, save / MAX_SHARE) + 2 * step
    )  # no more than this is ever lost, as far as the share allows it
    gaps = [later - sooner for sooner, later in pairwise(saves[1:])]
    assert not gaps or max(gaps) <= wanted + save + 1e-6


def test_a_slow_disk_is_written_to_less_often(clock):
    made = CheckpointPolicy(Stopwatch())
    clock.now += 61
    assert made.is_due()
    with made.timed_save():
        clock.now += 30
    clock.now += 61
    assert not made.is_due()
    clock.now += 60 / MAX_SHARE
    assert made.is_due()


def test_a_suite_can_shorten_the_interval_but_not_raise_the_share(clock):
    made = CheckpointPolicy(Stopwatch(), interval=2.0)
    clock.now += 3
    assert made.is_due()
    with made.timed_save():
        clock.now += 0.5
    clock.now += 3
    assert not made.is_due(), "half a second is more than 2 % of six"
    clock.now += 2 * 0.5 / MAX_SHARE
    assert made.is_due()
