"""Turns of players captured as CUDA graphs, which a GPU then replays without asking the host for every kernel.

The first turns of a player are eager: they train like all others, and set up what is set up once. The next one is
captured, which executes nothing, and from then on it is replayed. A graph works on the same memory every time, so
images and labels are copied to where it looks for them, and a number that the host changes between turns must be a
tensor, which is filled before: the learning rate, and weights that a loss asks for by `StepInputs.schedule_weight`. A
loss that reads `progress` itself cannot be captured. What cannot be captured is trained as ever.

Nothing of this changes a number: a replay is the very kernels of the eager turn, and draws the same random numbers.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor

from baselines.common.method import StepInputs
from baselines.common.random_streams import Rng
from benchmark.data.sampler import Batch

EAGER_TURNS = 3  # of each player, before one is captured

Terms = dict[str, Tensor]
Weight = Callable[[float], float]
MakeTurn = Callable[[Tensor, float, Rng, Tensor | None], StepInputs]
Update = Callable[[Batch, MakeTurn], Terms]


class GraphBackend(Protocol):
    """Where turns are captured. Graphs of one recorder are replayed one at a time, and may share memory."""

    def aside(self) -> AbstractContextManager[None]:
        """Around an eager turn of a player that is captured later."""

    def record(self, work: Callable[[], Terms]) -> tuple[Terms, Callable[[], None]]:
        """Captures what `work` does, and does none of it.

        Returns the tensors that `work` returned, and what does it once and fills them. Raises whatever stands in the
        way, and has changed nothing then.
        """


class CudaGraphs:
    """The graphs of a GPU. All draw from the same generators on it, and share a pool of memory."""

    def __init__(self, *streams: torch.Generator) -> None:
        self.streams, self.device = streams, streams[0].device
        self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """On the stream of the captures, to which belongs what is set up once; torch asks for that."""
        training = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(training)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            training.wait_stream(self.stream)

    def record(self, work: Callable[[], Terms]) -> tuple[Terms, Callable[[], None]]:
        """A capture. Other threads go on meanwhile, such as the one that fetches images."""
        graph = torch.cuda.CUDAGraph()
        for rng in self.streams:
            graph.register_generator_state(rng)
        try:
            with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"):
                terms = work()
        except BaseException:
            self.pool = torch.cuda.graph_pool_handle()  # who knows in what state the other one was left
            raise
        return terms, graph.replay


class GraphedStepInputs(StepInputs):
    """A turn of which the host knows only once how far the training is. Weights that follow it are added to a list."""

    weights: list[tuple[Weight, Tensor]]

    def __init__(self, real: Tensor, rng: Rng, labels: Tensor | None, weights: list[tuple[Weight, Tensor]]) -> None:
        self.__dict__.update(real=real, rng=rng, labels=labels, logged={}, weights=weights)  # it is frozen

    @property
    def progress(self) -> float:
        """Raises RuntimeError."""
        raise RuntimeError("the loss reads `progress`; a weight that follows it is asked for by `schedule_weight`")

    def schedule_weight(self, weight: Weight) -> Tensor:
        """A scalar without a value as yet."""
        scalar = torch.empty((), device=self.real.device)
        self.weights.append((weight, scalar))
        return scalar


class GraphedUpdate:
    """One player's turn as a graph."""

    def __init__(self, recorder: GraphBackend, update: Update, drawn: Batch) -> None:
        """Raises what the recorder raises."""
        labels = None if drawn.labels is None else drawn.labels.clone()
        self.inputs = Batch(drawn.images.clone(), labels)
        self.weights: list[tuple[Weight, Tensor]] = []
        self.terms, self.replay = recorder.record(lambda: update(self.inputs, self._turn))

    def _turn(self, real: Tensor, progress: float, rng: Rng, labels: Tensor | None) -> StepInputs:
        del progress
        return GraphedStepInputs(real, rng, labels, self.weights)

    def __call__(self, drawn: Batch, progress: float) -> Terms:
        """The turn on these images, at this share of the training. The next call overwrites what this one returns."""
        self.inputs.images.copy_(drawn.images)
        if self.inputs.labels is not None and drawn.labels is not None:
            self.inputs.labels.copy_(drawn.labels)
        for weight, scalar in self.weights:
            scalar.fill_(weight(progress))
        self.replay()
        return self.terms


class GraphedUpdates:
    """Every player's turns: eager at first, then as graphs, or as ever where they cannot be. `failed`: player -> why.

    It is over when the tensors of a player or its optimiser are replaced: graphs would go on with the old ones.
    """

    def __init__(self, recorder: GraphBackend) -> None:
        self.recorder = recorder
        self.turns: Counter[str] = Counter()
        self.graphs: dict[str, GraphedUpdate] = {}
        self.failed: dict[str, str] = {}

    def play(
        self, player: str, optimizer: torch.optim.Optimizer, update: Update, drawn: Batch, progress: float
    ) -> Terms:
        """A turn, and what it returns, which is good until the next one: graphs share memory."""
        if player not in self.graphs and player not in self.failed:
            if self.turns[player] < EAGER_TURNS:
                self.turns[player] += 1
                with self.recorder.aside():
                    return update(drawn, StepInputs)
            try:
                with _capturable(optimizer):
                    self.graphs[player] = GraphedUpdate(self.recorder, update, drawn)
            except Exception as problem:
                self.failed[player] = _reason(problem)
        if player in self.failed:
            return update(drawn, StepInputs)
        return self.graphs[player](drawn, progress)


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """While this lasts the optimiser lets itself be captured. Gradients go afterwards: the next graph has their room.

    The fused Adam, which we have, does the same either way; but torch warns of eager steps with this switch on.
    """
    for group in optimizer.param_groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in optimizer.param_groups:
            group["capturable"] = False
        optimizer.zero_grad(set_to_none=True)


def _reason(problem: BaseException) -> str:
    """One line: the first thing that went wrong. That a capture could not be ended is only what follows from it."""
    while problem.__context__:
        problem = problem.__context__
    lines = f"{type(problem).__name__}: {problem}".splitlines()
    return lines[0][:200]
