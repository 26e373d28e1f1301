"""What is killed, how, and when: drawn once from a seed, so that a storm can be had again."""

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from signal import Signals
from typing import Literal

Runner = Literal["ray", "inprocess"]
Target = Literal["worker", "board", "raylet", "gcs", "driver", "mlflow"]

# How often each is hit, in hundredths; `board` is our own actor beside the driver.
SHARES: dict[Runner, dict[Target, int]] = {
    "ray": {"worker": 26, "driver": 30, "raylet": 12, "gcs": 10, "board": 6, "mlflow": 16},
    "inprocess": {"driver": 100},
}
EARLY = 0.2
# SIGINT twice is a user without patience: the second one comes a moment later.
WAYS: dict[Target, list[tuple[Signals, ...]]] = {
    "worker": [(signal.SIGKILL,), (signal.SIGTERM,)],
    "board": [(signal.SIGKILL,)],
    "raylet": [(signal.SIGKILL,), (signal.SIGTERM,)],
    "gcs": [(signal.SIGKILL,), (signal.SIGTERM,)],
    "driver": [(signal.SIGKILL,), (signal.SIGKILL,), (signal.SIGTERM,), (signal.SIGINT,), (signal.SIGINT,) * 2],
    "mlflow": [(signal.SIGKILL,), (signal.SIGTERM,)],
}


@dataclass(frozen=True)
class Kill:
    """`early`: while a command is starting, else while it trains.

    `moment` and `later` are in [0, 1): of the time in which it comes, and of what follows (a pause, a restart).
    `choice`, too, says which of several processes it hits.
    """

    target: Target
    signals: tuple[Signals, ...]
    early: bool
    moment: float
    later: float
    choice: float

    def __str__(self) -> str:
        return f"{self.target} {'+'.join(one.name for one in self.signals)}"


def schedule(runner: Runner, count: int, seed: int) -> Iterator[Kill]:
    """So many kills. Every target and every way comes as soon as its share allows: few kills are mixed too."""
    rng = random.Random(f"{runner} {seed}")
    done: dict[Target, int] = dict.fromkeys(SHARES[runner], 0)
    ways = {target: rng.sample(WAYS[target], len(WAYS[target])) for target in done}
    for _ in range(count):
        # the one that is furthest behind its share, with some luck
        target = max(done, key=lambda one: SHARES[runner][one] * rng.uniform(0.5, 1.5) / (done[one] + 1))
        signals = ways[target][done[target] % len(ways[target])]
        done[target] += 1
        yield Kill(target, signals, rng.random() < EARLY, rng.random(), rng.random(), rng.random())
