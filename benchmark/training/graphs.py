"""Updates of players captured as graphs, which are replayed without the calls from Python that made them.

`GraphedUpdates` wraps the trainer's update. The first updates of a player run eagerly: they train like all others, and
set up what is set up once. The next one is captured, which changes nothing, and from then on it is replayed. A graph
uses the same memory in every replay. Images and labels are therefore copied into the graph's own tensors, and a number
that the host changes between updates has to be a tensor that is filled before the replay: the learning rate, and
weights that a loss requests by `StepInputs.schedule_weight`. A loss that reads `progress` itself cannot be captured. An
update that cannot be captured runs eagerly.

Graphs change no number: a replay runs the same kernels as the eager update, and draws the same random numbers.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor

from baselines.common.method import EagerStepInputs, StepInputs
from baselines.common.random_streams import Rng
from benchmark.data.sampler import Batch
from benchmark.training.player import Player, Terms

EAGER_UPDATES = 3  # of each player, before one is captured

Weight = Callable[[float], float]
MakeInputs = Callable[[Tensor, float, Rng, Tensor | None], StepInputs]


class Update(Protocol):
    """One update of a player: the gradients of its loss on a batch, and a step of its optimiser.

    Everything happens on the device, except for numbers that the made inputs give to the loss.
    """

    def __call__(
        self, player: Player, batch: Batch, progress: float, make_inputs: MakeInputs = EagerStepInputs
    ) -> Terms:
        """Returns the update's share in the step's mean of every loss term."""


class GraphBackend(Protocol):
    """Captures work as graphs: `CudaGraphs` on a GPU, `RecordedGraphs` on a CPU.

    Graphs of one backend are replayed one at a time, and may share memory.
    """

    def warmup_stream(self) -> AbstractContextManager[None]:
        """A context for eager updates of a player whose later updates are captured."""

    def capture(self, work: Callable[[], Terms]) -> tuple[Terms, Callable[[], None]]:
        """Capture what `work` does. No tensor and no generator has changed afterwards.

        Returns:
            The tensors that `work` returned, and a function that replays the work once, which fills them.

        Raises:
            Exception: whatever prevents the capture; nothing has changed then.
        """


class GraphedStepInputs(StepInputs):
    """Inputs of an update that is captured: the progress of its replays is not known yet.

    `weights` collects the scheduled weights and the scalars that stand for their values.
    """

    def __init__(self, real: Tensor, rng: Rng, labels: Tensor | None, weights: list[tuple[Weight, Tensor]]) -> None:
        super().__init__(real, rng, labels)
        self.weights = weights

    @property
    def progress(self) -> float:
        """Raises RuntimeError."""
        raise RuntimeError("the loss reads `progress`; a weight that follows it is requested by `schedule_weight`")

    def schedule_weight(self, weight: Weight) -> Tensor:
        """A scalar, which is filled before each replay."""
        scalar = torch.empty((), device=self.real.device)
        self.weights.append((weight, scalar))
        return scalar


class GraphedUpdate:
    """One player's update as a graph."""

    def __init__(self, backend: GraphBackend, update: Update, player: Player, batch: Batch) -> None:
        """Capture the update. Raises what the backend raises."""
        self.batch = Batch(batch.images.clone(), None if batch.labels is None else batch.labels.clone())
        self.weights: list[tuple[Weight, Tensor]] = []

        def make_inputs(real: Tensor, progress: float, rng: Rng, labels: Tensor | None) -> StepInputs:
            del progress
            return GraphedStepInputs(real, rng, labels, self.weights)

        self.terms, self.replay = backend.capture(lambda: update(player, self.batch, 0.0, make_inputs))

    def __call__(self, batch: Batch, progress: float) -> Terms:
        """Replay the update on a batch. The next call overwrites the returned tensors."""
        self.batch.images.copy_(batch.images)
        if self.batch.labels is not None and batch.labels is not None:
            self.batch.labels.copy_(batch.labels)
        for weight, scalar in self.weights:
            scalar.fill_(weight(progress))
        self.replay()
        return self.terms


class GraphedUpdates:
    """Runs each player's update: the first EAGER_UPDATES eagerly, then as a graph; eagerly if the capture fails.

    `failures` maps a player whose update could not be captured to one line that says why. The graphs are stale as soon
    as a tensor of a player or its optimiser is replaced: make a new object then.
    """

    def __init__(self, backend: GraphBackend, update: Update) -> None:
        self.backend, self.update = backend, update
        self.eager_updates: Counter[str] = Counter()
        self.graphs: dict[str, GraphedUpdate] = {}
        self.failures: dict[str, str] = {}

    def __call__(self, player: Player, batch: Batch, progress: float) -> Terms:
        """One update. Graphs share memory: the next update overwrites the returned tensors."""
        name = player.name
        if name not in self.graphs and name not in self.failures:
            if self.eager_updates[name] < EAGER_UPDATES:
                self.eager_updates[name] += 1
                with self.backend.warmup_stream():
                    return self.update(player, batch, progress)
            try:
                with _capturable(player.optimizer):
                    self.graphs[name] = GraphedUpdate(self.backend, self.update, player, batch)
            except Exception as problem:
                self.failures[name] = _root_cause(problem)
        if name in self.failures:
            return self.update(player, batch, progress)
        return self.graphs[name](batch, progress)


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Marks the optimiser as capturable. Its gradients are freed afterwards, so that the next graph can use the memory.

    The fused Adam computes the same either way, but torch warns of eager steps with the mark set.
    """
    for group in optimizer.param_groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in optimizer.param_groups:
            group["capturable"] = False
        optimizer.zero_grad(set_to_none=True)


def _root_cause(problem: BaseException) -> str:
    """The first error of a chain, in one line. That the capture could not be ended is only a consequence of it."""
    while problem.__context__:
        problem = problem.__context__
    lines = f"{type(problem).__name__}: {problem}".splitlines()
    return lines[0][:200]
