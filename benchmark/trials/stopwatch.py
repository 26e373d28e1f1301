"""Where a trial's time goes, and when a checkpoint is worth its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

MIN_INTERVAL = 60.0  # seconds between two checkpoints, at least
MAX_SHARE = 0.02  # of the time spent on training and measuring, for all checkpoints together

Phase = Literal["training", "measuring", "saving", "waiting"]

clock = time.perf_counter  # monotonic: a change of the date does not affect it


@dataclass
class Stopwatch:
    """Seconds of wall time by phase. One phase runs at a time; the first is `training`.

    A trial is `waiting` while its process works on another trial of the same seed group.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(get_args(Phase), 0.0))
    current: Phase = "training"
    since: float = field(default_factory=lambda: clock())

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Counts the time inside the context for another phase, then returns to the one before."""
        before = self.current
        self.switch(phase)
        try:
            yield
        finally:
            self.switch(before)

    def switch(self, phase: Phase) -> None:
        """End the current phase and begin another."""
        self._count()
        self.current = phase

    def totals(self) -> dict[str, float]:
        """Seconds of every phase up to this moment."""
        self._count()
        return dict(self.seconds)

    def _count(self) -> None:
        now = clock()
        self.seconds[self.current] += now - self.since
        self.since = now


@dataclass
class CheckpointPolicy:
    """When to save: at most once per interval, and so that all saves together take at most MAX_SHARE of the time.

    The next save is expected to take as long as the last one, so a slow disk is written to less often.
    """

    watch: Stopwatch
    interval: float | None = None  # seconds; None: MIN_INTERVAL
    last_cost: float = 0.0  # seconds of the last save
    last_save: float = field(default_factory=lambda: clock())

    def is_due(self) -> bool:
        """Whether a checkpoint is worth its time now."""
        if clock() - self.last_save < (MIN_INTERVAL if self.interval is None else self.interval):
            return False
        seconds = self.watch.totals()
        return seconds["saving"] + self.last_cost <= MAX_SHARE * (seconds["training"] + seconds["measuring"])

    @contextmanager
    def timed_save(self) -> Iterator[None]:
        """A context for a save, whether it succeeds or not."""
        before = self.watch.totals()["saving"]
        try:
            with self.watch.phase("saving"):
                yield
        finally:
            self.last_cost = self.watch.seconds["saving"] - before
            self.last_save = clock()
