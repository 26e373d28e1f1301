"""A clean stop: asked once, running trials write a checkpoint and end; asked twice, everything ends at once.

Ctrl-C asks; so does SIGTERM, which clusters send before they take a machine away.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

TELL_SECONDS = 0.1
ASKING = (signal.SIGINT, signal.SIGTERM)
TOLD = "stopping: running trials write a checkpoint and end; Ctrl-C again stops at once and loses what came since"


class StopSignal:
    """Whether the user, or the machine, has asked for an end. `say` tells people that it was heard."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self._heard = threading.Event()
        self._over = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether an end was asked for."""
        return self._heard.is_set()

    def ask(self) -> None:
        """Ask for an end."""
        self._heard.set()

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Listen to both signals inside; the second one raises KeyboardInterrupt."""
        self._over.clear()
        # a signal may arrive in the middle of a print, which must not be entered twice: another thread tells
        threading.Thread(target=self._tell, name="stopping", daemon=True).start()
        with _handled(self._hear):
            try:
                yield
            finally:
                self._over.set()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.asked:
            raise KeyboardInterrupt
        self.ask()

    def _tell(self) -> None:
        while not self._over.wait(TELL_SECONDS):
            if self.asked:
                self._say(TOLD)
                return


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt inside, as Ctrl-C does: before the trials there is nothing to wait for."""
    with _handled(signal.default_int_handler, (signal.SIGTERM,)):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Neither signal is heard inside: for the few seconds in which processes are ended."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def handlers_restored() -> Iterator[None]:
    """What others set inside, such as Ray, is undone."""
    with _handled(None):
        yield


@contextmanager
def _handled(handler: Any, numbers: tuple[signal.Signals, ...] = ASKING) -> Iterator[None]:
    """With this handler of signals, or None for that which is there. Only a main thread can set one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers if handler is not None else ():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
