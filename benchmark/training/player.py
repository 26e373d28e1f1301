"""Players: groups of parameters with an optimiser of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Terms = dict[str, Tensor]  # scalars by name; (S,) each where S seeds are trained as one model


@dataclass
class Player:
    """A group of parameters with its own optimiser, and the number of its updates in one training step."""

    name: str
    updates_per_step: int
    parameters: Sequence[Tensor]
    optimizer: torch.optim.Optimizer

    def set_lr(self, rate: float) -> None:
        """Set the learning rate."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step_means(self, terms: Terms) -> Terms:
        """The share of one update in the step's mean of every term, keyed `player/term`."""
        return {f"{self.name}/{term}": value.detach() / self.updates_per_step for term, value in terms.items()}


class GradientSwitch:
    """Lets the parameters of one player at a time, and no others, have gradients."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters  # of all players
        self.active_player = ""

    def select(self, player: Player) -> None:
        """Only this player's parameters have gradients from now on."""
        if self.active_player != player.name:
            own = set(map(id, player.parameters))
            for parameter in self.parameters:
                parameter.requires_grad_(id(parameter) in own)
            self.active_player = player.name
