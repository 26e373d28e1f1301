"""The schedule of a chaos test: which processes are killed, how and when, drawn from a seed to be reproducible."""

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from signal import Signals
from typing import Literal

Runner = Literal["ray", "inprocess"]
Target = Literal["worker", "board", "raylet", "gcs", "driver", "mlflow"]

# How often each target is hit, in per cent. `board` is our own Ray actor beside the driver.
SHARES: dict[Runner, dict[Target, int]] = {
    "ray": {"worker": 26, "driver": 30, "raylet": 12, "gcs": 10, "board": 6, "mlflow": 16},
    "inprocess": {"driver": 100},
}
EARLY_PROBABILITY = 0.2
# Two SIGINTs are an impatient user: the second one comes a moment after the first.
SIGNALS: dict[Target, list[tuple[Signals, ...]]] = {
    "worker": [(signal.SIGKILL,), (signal.SIGTERM,)],
    "board": [(signal.SIGKILL,)],
    "raylet": [(signal.SIGKILL,), (signal.SIGTERM,)],
    "gcs": [(signal.SIGKILL,), (signal.SIGTERM,)],
    "driver": [(signal.SIGKILL,), (signal.SIGKILL,), (signal.SIGTERM,), (signal.SIGINT,), (signal.SIGINT,) * 2],
    "mlflow": [(signal.SIGKILL,), (signal.SIGTERM,)],
}


@dataclass(frozen=True)
class Kill:
    """One kill. `moment`, `pause` and `choice` are fractions in [0, 1).

    Args:
        target: the kind of process.
        signals: the signals that it receives, one after the other.
        early: whether the kill comes while a command starts, instead of while it trains.
        moment: when the kill comes, as a fraction of that time.
        pause: the length of the pause after it: to the second signal, or to the restart of the MLflow server.
        choice: which of several processes of that kind is hit.
    """

    target: Target
    signals: tuple[Signals, ...]
    early: bool
    moment: float
    pause: float
    choice: float

    def __str__(self) -> str:
        return f"{self.target} {'+'.join(number.name for number in self.signals)}"


def draw_kills(runner: Runner, count: int, seed: int) -> Iterator[Kill]:
    """Draw `count` kills. Targets and signals are balanced by their shares, so that even a few kills are mixed."""
    rng = random.Random(f"{runner} {seed}")
    counts: dict[Target, int] = dict.fromkeys(SHARES[runner], 0)
    orders = {target: rng.sample(SIGNALS[target], len(SIGNALS[target])) for target in counts}
    for _ in range(count):
        # The target that is furthest behind its share, with some randomness.
        target = max(counts, key=lambda name: SHARES[runner][name] * rng.uniform(0.5, 1.5) / (counts[name] + 1))
        signals = orders[target][counts[target] % len(orders[target])]
        counts[target] += 1
        yield Kill(target, signals, rng.random() < EARLY_PROBABILITY, rng.random(), rng.random(), rng.random())
