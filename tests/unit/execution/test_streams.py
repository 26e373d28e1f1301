"""Output whose reader goes away, with real pipes and pseudo-terminals."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.execution.signals import StopSignal
from benchmark.execution.streams import GuardedStream

COMMAND = [sys.executable, "-m", "benchmark", "papers"]  # which imports little


@pytest.fixture
def unread():
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        yield stream


def test_a_lost_reader_requests_a_stop_once_and_later_text_is_dropped(unread):
    stop, stream = StopSignal(), GuardedStream(unread, is_status=False)
    with stop.installed():
        assert stream.write("one\n") == 4
        stream.write("two\n")
        stream.flush()
        assert stop.requested
        assert stop.number == signal.SIGPIPE


def test_without_a_handler_the_command_ends(unread):
    with pytest.raises(SystemExit) as ended:
        GuardedStream(unread, is_status=False).write("one\n")
    assert ended.value.code == 141


def test_a_terminal_that_is_closed_counts_as_a_hang_up():
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w", buffering=1) as terminal:
        os.close(ours)
        with pytest.raises(SystemExit) as ended:
            GuardedStream(terminal, is_status=True).write("one\n")
    assert ended.value.code == 129


def test_a_full_disk_drops_messages_but_not_results():
    with Path("/dev/full").open("wb", buffering=0) as file:
        full = io.TextIOWrapper(file, write_through=True)
        GuardedStream(full, is_status=True).write("one\n")
        with pytest.raises(OSError, match="No space left"):
            GuardedStream(full, is_status=False).write("one\n")
        full.detach()


def test_a_command_ends_quietly_when_head_has_enough():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(COMMAND, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_command_runs_with_closed_streams():
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *COMMAND])
    assert done.returncode == 0
