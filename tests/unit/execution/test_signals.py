"""Stop signals, with real signals to this process."""

import os
import signal
import time

import pytest

from benchmark.execution.signals import STOPPING, StopSignal, signals_ignored, sigterm_as_interrupt


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # handlers run between two instructions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_requests_a_stop_and_a_second_one_interrupts(number, caplog):
    before = signal.getsignal(number)
    stop = StopSignal()
    with stop.installed():
        assert not stop.requested
        send(number)
        assert stop.requested
        for _ in range(100):
            if caplog.messages:
                break
            time.sleep(0.05)
        assert caplog.messages == [STOPPING]
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert signal.getsignal(number) == before


def test_sigterm_raises_keyboard_interrupt_outside_the_trials():
    with sigterm_as_interrupt(), pytest.raises(KeyboardInterrupt):
        send(signal.SIGTERM)


def test_ignored_signals_do_nothing():
    before = signal.getsignal(signal.SIGINT)
    with signals_ignored():
        send(signal.SIGINT)
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) == before
