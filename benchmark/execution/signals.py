"""Stopping cleanly: the first Ctrl-C or SIGTERM lets running trials write a checkpoint, the second ends everything.

Clusters send SIGTERM before they take a machine away.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPING = "stopping: running trials write a checkpoint and end; Ctrl-C again stops at once and loses what came since"


class StopSignal:
    """Whether the user or the machine has requested the end of the run."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside the block; the second signal raises KeyboardInterrupt."""
        with _handlers(self._on_signal):
            yield

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # The signal may interrupt a print, which is not re-entrant, so another thread writes the message.
        threading.Thread(target=logger.warning, args=(STOPPING,), daemon=True).start()


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt inside the block, as Ctrl-C does; for everything before the trials."""
    with _handlers(signal.default_int_handler, (signal.SIGTERM,)):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """SIGINT and SIGTERM are ignored inside the block, for the few seconds in which processes are ended."""
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Signal handlers that libraries such as Ray install inside the block are removed at its end."""
    with _handlers(None):
        yield


@contextmanager
def _handlers(handler: Any, numbers: tuple[signal.Signals, ...] = STOP_SIGNALS) -> Iterator[None]:
    """Install a handler (None installs none) and restore the old ones. Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in numbers}
    for number in numbers if handler is not None else ():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old_handler in previous.items():
            signal.signal(number, old_handler)
