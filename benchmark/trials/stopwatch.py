"""Where a trial's time goes, and when a checkpoint is worth its share of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

SECONDS = 60.0  # between two checkpoints, at the least
SHARE = 0.02  # of all other time that all checkpoints may take

Doing = Literal["training", "measuring", "saving", "waiting"]

clock = time.perf_counter  # never set back, whatever becomes of the date


@dataclass
class Stopwatch:
    """Seconds of wall time by what they went into, one thing at a time; it begins with `training`.

    A trial waits while another one, which is trained beside it in the same process, is looked after.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(get_args(Doing), 0.0))
    doing: Doing = "training"
    since: float = field(default_factory=lambda: clock())

    @contextmanager
    def on(self, doing: Doing) -> Iterator[None]:
        """What is done inside goes to another account."""
        before, self.doing = self._turned(), doing
        try:
            yield
        finally:
            self._turned()
            self.doing = before

    def turn_to(self, doing: Doing) -> None:
        """From now on it is that."""
        self._turned()
        self.doing = doing

    def so_far(self) -> dict[str, float]:
        """All accounts up to this moment."""
        self._turned()
        return dict(self.seconds)

    def _turned(self) -> Doing:
        now = clock()
        self.seconds[self.doing] += now - self.since
        self.since = now
        return self.doing


@dataclass
class CheckpointPolicy:
    """When to save: with so many seconds in between, and never so that all saves take more than SHARE in all.

    What the next one takes is taken to be what the last one took, so a slow disk is written to less often.
    """

    watch: Stopwatch
    apart: float | None = None  # seconds between two; SECONDS unless a suite says otherwise
    took: float = 0.0
    saved: float = field(default_factory=lambda: clock())

    def due(self) -> bool:
        """Whether a checkpoint is worth its time now."""
        if clock() - self.saved < (SECONDS if self.apart is None else self.apart):
            return False
        spent = self.watch.so_far()
        others = spent["training"] + spent["measuring"]
        return spent["saving"] + self.took <= SHARE * others

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around a save, whether it succeeds or not."""
        before = self.watch.so_far()["saving"]
        try:
            with self.watch.on("saving"):
                yield
        finally:
            self.took = self.watch.seconds["saving"] - before
            self.saved = clock()
