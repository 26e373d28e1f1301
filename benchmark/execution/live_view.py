"""The live view of all trials: a table on a terminal, plain lines in a file."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchmark.config.suite import Suite
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Progress

LINE_SECONDS = 10.0  # between two lines of one trial, in a file
STYLES = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "diverged": "yellow",
    "again": "magenta",
    "waiting": "dim",
}


@dataclass
class TrialLine:
    """One trial in the view."""

    label: str
    steps: int
    state: str = "waiting"
    step: int = 0
    speed: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    said: float = 0.0

    @property
    def time(self) -> str:
        """How long a running trial will still take, or how long an ended one took."""
        if self.state == "running" and self.speed > 0:
            return f"{format_duration((self.steps - self.step) / self.speed)} left"
        return format_duration(self.seconds) if self.seconds else ""

    @property
    def numbers(self) -> str:
        """The last measurement in short."""
        return "  ".join(f"{key} {value:.4g}" for key, value in self.metrics.items())


def trial_lines(suite: Suite, trial_ids: Iterable[str]) -> dict[str, TrialLine]:
    """A line for each of these trials of a suite."""
    labels = {
        spec.trial_id: (f"{cell.row} · {cell.table} · seed {spec.seed}", spec.steps)
        for cell in reversed(suite.cells)
        for spec in cell.specs
    }
    return {trial_id: TrialLine(*labels[trial_id]) for trial_id in trial_ids}


class LiveView:
    """Shows the trials of one run; a `RunListener` of the runners."""

    def __init__(self, lines: dict[str, TrialLine], console: Console) -> None:
        self.lines = lines  # by trial id
        self.console = console
        self.live: Live | None = None
        self.start = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the table on the terminal while trials run; in a file, lines do."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self, console=self.console, refresh_per_second=4) as self.live:
            yield
        self.live = None

    def started(self, trial_id: str) -> None:
        """A worker has taken up the trial."""
        line = self.lines[trial_id]
        line.state, line.said = "running", time.monotonic()
        self._say(line, "started")

    def progressed(self, progress: Progress) -> None:
        """A worker said how far it is."""
        line = self.lines[progress.trial_id]
        line.step, line.speed, line.metrics = progress.step, progress.steps_per_second, progress.metrics
        if progress.note:
            self._say(line, progress.note, always=True)
        if time.monotonic() - line.said >= LINE_SECONDS:
            line.said = time.monotonic()
            share = 100 * line.step / line.steps
            self._say(
                line,
                f"step {line.step}/{line.steps} ({share:.0f} %)  {line.speed:.1f} steps/s  {line.time}  {line.numbers}",
            )

    def failed(self, trial_id: str, reason: str) -> None:
        """An attempt has failed, and another one will follow: told on a terminal too, where the table goes on."""
        line = self.lines[trial_id]
        line.state, line.speed = "again", 0.0
        self._say(line, f"failed, will be tried again from its checkpoint: {reason}", always=True)

    def finished(self, record: TrialRecord) -> None:
        """The trial has ended, well or badly."""
        line = self.lines[record.trial_id]
        line.state, line.metrics = record.status, record.metrics
        if record.history:
            line.step = record.history[-1].step
        if record.cost:
            line.seconds = record.cost.train_seconds + record.cost.evaluation_seconds
        said = f"{record.status}  {line.numbers}  {record.error}".rstrip()
        self._say(line, said, always=record.status == "failed")

    def _say(self, line: TrialLine, what: str, always: bool = False) -> None:
        if always or self.live is None:
            clock = format_duration(time.monotonic() - self.start)
            self.console.print(f"[{clock:>7}] {line.label}: {what}", markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Table:
        ended = sum(line.state not in ("waiting", "running", "again") for line in self.lines.values())
        title = f"{ended} of {len(self.lines)} trials ended, {format_duration(time.monotonic() - self.start)}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("trial", "state", "step", "steps/s", "time", "last measurement"):
            table.add_column(column, justify="right" if column in ("step", "steps/s", "time") else "left")
        for line in self._window():
            style = STYLES.get(line.state, "")
            table.add_row(
                line.label,
                f"[{style}]{line.state}[/]" if style else line.state,
                f"{line.step}/{line.steps}",
                f"{line.speed:.1f}" if line.speed else "",
                line.time,
                line.numbers,
            )
        return table

    def _window(self) -> list[TrialLine]:
        """As many lines as the screen holds, running ones first when not all fit."""
        room = max(self.console.size.height - 4, 5)
        lines = list(self.lines.values())
        if len(lines) <= room:
            return lines
        order = {"running": 0, "again": 1, "failed": 2, "waiting": 3}
        return sorted(lines, key=lambda line: order.get(line.state, 4))[:room]


def format_duration(seconds: float) -> str:
    """`42 s`, `3:07`, `2:03:00` or `4 d 3 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 48 * 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
