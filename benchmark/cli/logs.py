"""What a command prints: results to standard output, status and problems to standard error."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from benchmark.core.errors import printable
from benchmark.execution.signals import Stopped, StopSignal

# Names and paths of users may hold square brackets and colons, so neither console reads markup or emoji codes in text.
# The live view of a run draws on `stderr` too: rich then prints every other line above it.
stdout = Console(width=None if sys.stdout and sys.stdout.isatty() else 120, markup=False, emoji=False)
stderr = Console(stderr=True, markup=False, emoji=False)

logger = logging.getLogger("benchmark")
STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class StatusHandler(logging.Handler):
    """Prints log records to standard error, with the time of day unless it is a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record as one line, or as the lines of its message."""
        try:
            clock = "" if stderr.is_terminal else time.strftime("%H:%M:%S ", time.localtime(record.created))
            _print_status(clock + self.format(record), STYLES.get(record.levelname, ""))
        except Exception:  # as every handler of the standard library does
            self.handleError(record)


@contextmanager
def status_on_stderr() -> Iterator[None]:
    """Print what the project logs, from INFO on, and leave the logging of other libraries as it is."""
    handler, before = StatusHandler(), (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a handler of the root logger, for example one of MLflow, would print each line again
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


def live_console() -> Console:
    """The console of a live view: standard error, or nothing with --quiet."""
    return stderr if logger.isEnabledFor(logging.INFO) else Console(quiet=True)


def print_error(text: str) -> None:
    """Print the message with which a command ends to standard error, in red and without a time."""
    _print_status(text, "red")


def print_line(text: str) -> None:
    """Print one result to standard output, on one line however long it is."""
    stdout.print(text, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


@contextmanager
def stoppable(consequence: str) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a message that states the consequence, and exit code 130, 143 or 129."""
    try:
        with StopSignal(interrupts=True).installed():
            yield
    except KeyboardInterrupt as stop:
        print_error(f"stopped; {consequence}")
        raise typer.Exit(stop.exit_code if isinstance(stop, Stopped) else 130) from None


class ProgressBars:
    """One bar per task on standard error. Call an instance with the task's name, what is done, and the total."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        quiet = not logger.isEnabledFor(logging.INFO)
        self.progress = Progress(*columns, TimeRemainingColumn(), console=stderr, transient=True, disable=quiet)
        self.bars: dict[str, TaskID] = {}

    def __call__(self, task: str, done: int, total: int | None) -> None:
        """Update the bar of a task, and create it on the first call. `total`: None if it is not known."""
        if task not in self.bars:
            self.bars[task] = self.progress.add_task(task, total=total)
        self.progress.update(self.bars[task], completed=done, total=total)

    def __enter__(self) -> "ProgressBars":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()


def _print_status(text: str, style: str) -> None:
    stderr.print(printable(text), markup=False, highlight=False, soft_wrap=True, style=style)
