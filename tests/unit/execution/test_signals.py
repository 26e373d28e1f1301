"""Signals, sent to this process for real."""

import os
import signal
import time

import pytest

from benchmark.execution.signals import TOLD, Stopping, terminated_as_interrupted, undisturbed


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # handlers run between two instructions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_asks_and_a_second_one_interrupts(number):
    said = []
    before = signal.getsignal(number)
    stop = Stopping(said.append)
    with stop.armed():
        assert not stop.asked
        send(number)
        assert stop.asked
        for _ in range(100):
            if said:
                break
            time.sleep(0.05)
        assert said == [TOLD]
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert signal.getsignal(number) == before


def test_sigterm_interrupts_what_is_around_the_trials():
    with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt):
        send(signal.SIGTERM)


def test_nothing_disturbs_the_end():
    before = signal.getsignal(signal.SIGINT)
    with undisturbed():
        send(signal.SIGINT)
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) == before
