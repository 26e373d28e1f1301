"""The live view of a run: a table on a terminal, plain lines in a file."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmark.config.suite import Suite
from benchmark.execution.events import AttemptFailed, Event, RunListener, TrialFinished, TrialStarted
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Progress

LINE_SECONDS = 10.0  # between two progress lines of one trial, in a file
WILL_RETRY = "failed, will be tried again from its checkpoint"
STYLES = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "diverged": "yellow",
    "again": "magenta",
    "waiting": "dim",
}


@dataclass(kw_only=True)
class TrialLine:
    """One trial in the view. `state` is a key of STYLES; `again` means that a failed trial waits for a retry."""

    label: str
    steps: int
    state: str = "waiting"
    step: int = 0
    steps_per_second: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # of training and evaluation, once the trial has ended
    last_printed: float = 0.0

    @property
    def time(self) -> str:
        """The remaining time of a running trial, or the duration of a finished one."""
        if self.state == "running" and self.steps_per_second > 0:
            return f"{format_clock((self.steps - self.step) / self.steps_per_second)} left"
        return format_clock(self.seconds) if self.seconds else ""

    @property
    def measurement(self) -> str:
        """The last metric values, in one line."""
        return "  ".join(f"{key} {value:.4g}" for key, value in self.metrics.items())


def trial_lines(suite: Suite, trial_ids: Iterable[str]) -> dict[str, TrialLine]:
    """A line for each of these trials of a suite, by trial id."""
    lines = {
        spec.trial_id: TrialLine(label=f"{cell.row} · {cell.table} · seed {spec.seed}", steps=spec.steps)
        for cell in reversed(suite.cells)
        for spec in cell.specs
    }
    return {trial_id: lines[trial_id] for trial_id in trial_ids}


class LiveView(RunListener):
    """Shows the trials of one run."""

    def __init__(self, lines: dict[str, TrialLine], console: Console) -> None:
        self.lines = lines  # by trial id
        self.console = console
        self._live: Live | None = None
        self._start = time.monotonic()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table on the terminal inside the block; if the console is a file, events become lines instead."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self, console=self.console, refresh_per_second=4) as self._live:
            yield
        self._live = None

    def handle(self, event: Event) -> None:
        """Update the line of a trial. Failures and notes are printed above the table too."""
        match event:
            case TrialStarted(trial_id):
                line = self.lines[trial_id]
                line.state, line.last_printed = "running", time.monotonic()
                self._print(line, "started")
            case Progress():
                self._show_progress(self.lines[event.trial_id], event)
            case AttemptFailed(trial_id, reason):
                line = self.lines[trial_id]
                line.state, line.steps_per_second = "again", 0.0
                self._print(line, f"{WILL_RETRY}: {reason}", always=True)
            case TrialFinished(record):
                self._show_result(self.lines[record.trial_id], record)

    def _show_progress(self, line: TrialLine, progress: Progress) -> None:
        line.step, line.steps_per_second, line.metrics = progress.step, progress.steps_per_second, progress.metrics
        if progress.note:
            self._print(line, progress.note, always=True)
        if time.monotonic() - line.last_printed >= LINE_SECONDS:
            line.last_printed = time.monotonic()
            step = f"step {line.step}/{line.steps} ({100 * line.step / line.steps:.0f} %)"
            self._print(line, f"{step}  {line.steps_per_second:.1f} steps/s  {line.time}  {line.measurement}")

    def _show_result(self, line: TrialLine, record: TrialRecord) -> None:
        line.state, line.metrics = record.status, record.metrics
        if record.history:
            line.step = record.history[-1].step
        if record.cost:
            line.seconds = record.cost.train_seconds + record.cost.evaluation_seconds
        text = f"{record.status}  {line.measurement}  {record.error}".rstrip()
        self._print(line, text, always=record.status == "failed")

    def _print(self, line: TrialLine, text: str, always: bool = False) -> None:
        if always or self._live is None:
            clock = format_clock(time.monotonic() - self._start)
            self.console.print(f"[{clock:>7}] {line.label}: {text}", markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Table:
        ended = sum(line.state not in ("waiting", "running", "again") for line in self.lines.values())
        title = f"{ended} of {len(self.lines)} trials ended, {format_clock(time.monotonic() - self._start)}"
        table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
        for column in ("trial", "state", "step", "steps/s", "time", "last measurement"):
            table.add_column(column, justify="right" if column in ("step", "steps/s", "time") else "left")
        for line in self._visible_lines():
            table.add_row(
                Text(line.label),
                Text(line.state, style=STYLES.get(line.state, "")),
                f"{line.step}/{line.steps}",
                f"{line.steps_per_second:.1f}" if line.steps_per_second else "",
                line.time,
                Text(line.measurement),
            )
        return table

    def _visible_lines(self) -> list[TrialLine]:
        """As many lines as fit on the screen; running trials come first if not all fit."""
        room = max(self.console.size.height - 4, 5)
        lines = list(self.lines.values())
        if len(lines) <= room:
            return lines
        order = {"running": 0, "again": 1, "failed": 2, "waiting": 3}
        return sorted(lines, key=lambda line: order.get(line.state, 4))[:room]


def format_clock(seconds: float) -> str:
    """`42 s`, `3:07`, `2:03:00` or `4 d 3 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 48 * 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
