"""Players and the steps of a training loop."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from baselines.common.method import StepInputs
from benchmark.core.precision import autocast, tf32_mode
from benchmark.core.spec import TrialSpec
from benchmark.data.sampler import Batch
from benchmark.training.cuda_graphs import GraphedUpdates, MakeTurn, Terms


class TrainingDiverged(Exception):  # noqa: N818 - a result, not an error
    """A loss or a weight is no longer a finite number, or all weights of a player are zero."""


def stream_seed(seed: int, use: str) -> int:
    """The seed of one of a trial's random streams. It has 32 bits: torch's CPU generator ignores higher ones."""
    return int(np.random.SeedSequence([seed, *use.encode()]).generate_state(1)[0])


@dataclass
class Player:
    """A group of parameters with its own optimiser, and how often it plays in one step."""

    name: str
    updates_per_step: int
    parameters: Sequence[Tensor]
    optimizer: torch.optim.Optimizer

    def learn_at(self, rate: float) -> None:
        """Set the learning rate."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


class Loop(ABC):
    """The steps of a training, of one trial or of several as one: players in turn, each with its own batch."""

    spec: TrialSpec
    device: torch.device
    players: list[Player]
    captures: GraphedUpdates | None
    moving = ""  # the player whose parameters, and no others, have gradients

    @property
    @abstractmethod
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""

    @abstractmethod
    def stepped(self) -> None:
        """What follows when all players have played."""

    @abstractmethod
    def drawn(self) -> Batch:
        """The images of a turn."""

    @abstractmethod
    def parameters(self) -> Iterable[Tensor]:
        """Of all players."""

    @abstractmethod
    def losses(self, player: str, drawn: Batch, make_turn: MakeTurn) -> tuple[Terms, Terms]:
        """A player's loss in terms, and what is watched beside them."""

    @abstractmethod
    def played(self, player: str) -> None:
        """What follows the update of a player."""

    @abstractmethod
    def add(self, terms: Terms) -> None:
        """To the sums. They have memory of their own: a replay writes over what the one before returned."""

    def advance(self) -> None:
        """One step: every player in its turn."""
        for player in self.players:
            player.learn_at(self.spec.optimizer.lr_at(player.name, self.progress))
            for _ in range(player.updates_per_step):
                drawn, update = self.drawn(), partial(self.update, player)
                if self.captures:
                    self.add(self.captures.play(player.name, player.optimizer, update, drawn, self.progress))
                else:
                    self.add(update(drawn))
        self.stepped()

    def update(self, player: Player, drawn: Batch, make_turn: MakeTurn = StepInputs) -> Terms:
        """The player's loss on these images, and one step of its optimiser. But for numbers that `make_turn` gives to
        the loss, all of it happens on the device.

        Returns what the turn adds to the mean of every term.
        """
        terms = self.differentiated(player, drawn, make_turn)
        player.optimizer.step()
        self.played(player.name)
        return terms

    def differentiated(self, player: Player, drawn: Batch, make_turn: MakeTurn = StepInputs) -> Terms:
        """The gradients of the player's loss. Returns what `update` does."""
        self._move(player)
        with tf32_mode(self.spec.precision, self.device):
            with autocast(self.spec.precision, self.device):
                losses, watched = self.losses(player.name, drawn, make_turn)
            player.optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        return {
            f"{player.name}/{term}": value.detach() / player.updates_per_step
            for term, value in (losses | watched).items()
        }

    def _move(self, player: Player) -> None:
        """Gradients for a player's own parameters alone."""
        if self.moving != player.name:
            own = set(map(id, player.parameters))
            for parameter in self.parameters():
                parameter.requires_grad_(id(parameter) in own)
            self.moving = player.name
