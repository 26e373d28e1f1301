"""Standard output and error that survive the end of their reader: a pipe, a terminal, a full disk."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

from benchmark.execution.signals import stop_as

T = TypeVar("T")
GONE = {errno.EPIPE: signal.SIGPIPE, errno.EIO: signal.SIGHUP}  # error of a write -> signal of the same cause


class GuardedStream:
    """A text stream whose first failed write stops the command cleanly; all later text is dropped.

    The file descriptor is redirected to the null device, so that libraries and child processes can write to it.

    Args:
        stream: the stream to write to.
        is_status: whether the stream holds messages only, which other errors, such as a full disk, may drop.
    """

    def __init__(self, stream: TextIO, is_status: bool) -> None:
        self._stream, self._is_status = stream, is_status

    def write(self, text: str) -> int:
        """Write text. Raises SystemExit if the reader has gone and no handler stops the command."""
        return self._guarded(lambda: self._stream.write(text), len(text))

    def flush(self) -> None:
        """Flush the stream; raises as `write` does."""
        self._guarded(self._stream.flush, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _guarded(self, operation: Callable[[], T], otherwise: T) -> T:
        try:
            return operation()
        except OSError as error:
            number = GONE.get(error.errno or 0)
            if number is None:
                if self._is_status:
                    return otherwise
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if not stop_as(number):
                raise SystemExit(128 + number) from None
            return otherwise


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard standard output and error inside the block. Streams that the caller has closed go to the null device."""
    for descriptor in range(3):  # a file opened later would otherwise become standard output
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    out, error = (stream or Path(os.devnull).open("w") for stream in before)  # noqa: SIM115
    sys.stdout, sys.stderr = GuardedStream(out, False), GuardedStream(error, True)
    try:
        yield
        _flush()
    except BaseException:
        with suppress(SystemExit):  # must not hide why the command ends
            _flush()
        raise
    finally:
        sys.stdout, sys.stderr = before


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
