"""Trainers whose updates are captured on a CPU, by a backend that counts and overwrites what a replay returned."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmark.training.recorded_graphs import RecordedGraphs
from benchmark.training.trainer import Trainer


class CountingGraphs(RecordedGraphs):
    """Graphs as those of a GPU, which share memory: the next replay overwrites what the one before returned."""

    def __init__(self, *generators: torch.Generator) -> None:
        super().__init__(*generators)
        self.captures = self.replays = 0
        self.last: dict[str, Tensor] = {}  # what the last replay returned

    def capture(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        terms, replay_recording = super().capture(work)
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            for value in self.last.values():
                value.fill_(torch.nan)
            replay_recording()
            self.last = terms

        return terms, replay


def with_graphs(eager: Trainer, graph_backend: Any = CountingGraphs) -> Trainer:
    """The same untrained trainer, but with captured updates."""
    return Trainer(
        eager.spec,
        eager.method,
        images=eager.images,
        image_range=eager.image_range,
        device=eager.device,
        graph_backend=graph_backend,
    )
