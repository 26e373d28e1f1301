"""Stopping cleanly: the first stop signal lets running trials write a checkpoint; Ctrl-C after it ends everything.

Terminals send SIGINT (Ctrl-C) and SIGHUP (closed), clusters send SIGTERM before they take a machine away. Output that
nobody reads any more, as with `| head`, stops a command in the same way.
"""

import _thread
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPING = "stopping: running trials write a checkpoint and end; Ctrl-C stops at once and loses what came since"


class Stopped(KeyboardInterrupt):
    """A command was stopped by a signal: Ctrl-C unless another is given."""

    def __init__(self, number: int | None = None) -> None:
        self.exit_code = 128 + (number or signal.SIGINT)  # as shells report a process that a signal has ended


class StopSignal:
    """Whether the user or the machine has requested the end of the run.

    Schedulers and `timeout` send SIGTERM several times, so only Ctrl-C (SIGINT) after the first signal raises Stopped.

    Args:
        interrupts: whether the first signal raises Stopped as well.

    Attributes:
        number: the first signal; SIGPIPE if the reader of the output has gone.
    """

    def __init__(self, interrupts: bool = False) -> None:
        self.requested = False
        self.number: int | None = None
        self._interrupts = interrupts

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT, SIGTERM and SIGHUP inside the block."""
        with _handlers(self.on_signal):
            yield

    def stopped(self) -> Stopped:
        """The exception with which a stopped run ends."""
        return Stopped(self.number)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        del frame
        is_first, self.requested = not self.requested, True
        self.number = self.number or number
        if (is_first and self._interrupts) or (not is_first and number == signal.SIGINT):
            raise self.stopped()
        if is_first:
            # The signal may interrupt a print, which is not re-entrant, so another thread writes the message.
            threading.Thread(target=logger.warning, args=(STOPPING,), daemon=True).start()


def stop_as(number: int) -> bool:
    """Stop the command as SIGTERM does, from any thread; `number` determines its exit code.

    Python ignores the signal SIGPIPE itself, which lost network connections raise too. Returns whether a handler is
    installed: if none is, nothing happens.
    """
    stop = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(stop, StopSignal):
        return False
    stop.number = stop.number or number
    _thread.interrupt_main(signal.SIGTERM)
    return True


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Stop signals are ignored inside the block, for the few seconds in which processes are ended."""
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Signal handlers that libraries such as Ray install inside the block are removed at its end."""
    with _handlers(None):
        yield


@contextmanager
def _handlers(handler: Any) -> Iterator[None]:
    """Install a handler (None installs none) and restore the old ones. Does nothing outside the main thread.

    SIGHUP stays ignored where it is, as under `nohup`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    if previous[signal.SIGHUP] is signal.SIG_IGN:
        del previous[signal.SIGHUP]
    for number in previous if handler is not None else ():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old_handler in previous.items():
            signal.signal(number, old_handler)
