"""Stop signals, with real signals to this process."""

import os
import signal
import threading
import time

import pytest

from benchmark.execution.signals import STOPPING, Stopped, StopSignal, signals_ignored, stop_as

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # handlers run between two instructions


@pytest.mark.parametrize("number", ALL)
def test_one_signal_requests_a_stop_and_ctrl_c_after_it_interrupts(number, caplog):
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
        with pytest.raises(Stopped) as stopped:
            send(signal.SIGINT)
    assert stopped.value.exit_code == stop.stopped().exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_sigterm_and_sighup_may_come_several_times():
    stop = StopSignal()
    with stop.installed():
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            send(number)
    assert stop.requested
    assert stop.number == signal.SIGTERM


@pytest.mark.parametrize("number", ALL)
def test_the_first_signal_interrupts_outside_the_trials_and_a_repeated_one_does_not_disturb_cleaning_up(number):
    with StopSignal(interrupts=True).installed():
        with pytest.raises(Stopped) as stopped:
            send(number)
        send(signal.SIGTERM)
    assert stopped.value.exit_code == 128 + number


def test_sighup_stays_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = StopSignal(interrupts=True)
        with stop.installed():
            send(signal.SIGHUP)
        assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_can_request_a_stop_with_its_own_exit_code():
    stop = StopSignal()
    with stop.installed():
        thread = threading.Thread(target=stop_as, args=(signal.SIGPIPE,))
        thread.start()
        thread.join()
        time.sleep(0.01)
        assert stop.requested
        assert stop.stopped().exit_code == 141
    assert not stop_as(signal.SIGPIPE)


def test_ignored_signals_do_nothing():
    before = signal.getsignal(signal.SIGINT)
    with signals_ignored():
        for number in ALL:
            send(number)
    assert signal.getsignal(signal.SIGINT) == before
