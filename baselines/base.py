"""The method contract: an ordered list of players and one loss per player.

The training loop is the same for every GAN: draw the player's own batch, ask the method for that player's
loss, step that player. A reader of a method's file should recognise the paper's equations.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from baselines.networks.base import Judgement, Network


class Options(BaseModel):
    """A method's named switches and weights; every field is part of the trial's identity.

    A switch that came when results were already stored has a default that does what was done before, and is left
    out of the identity while it has that value (`exclude_if`), so that those results stay found.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Turn:
    """What a player may draw on in its turn.

    `real`: (N, C, H, W) images in the network's range. `progress`: share of the training done, in [0, 1).
    `rng`: the trial's random stream; every random number of a loss must come from it.
    """

    real: Tensor
    progress: float
    rng: torch.Generator


class Method(nn.Module, ABC):
    """A GAN. Submodules and buffers are its whole state, saved and restored with the trial."""

    title: ClassVar[str]
    paper: ClassVar[str]
    year: ClassVar[int]
    about: ClassVar[str]
    Options: ClassVar[type[Options]] = Options
    players: ClassVar[tuple[str, ...]] = ("discriminator", "generator")
    roles: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    classes: ClassVar[int] = 0
    uses_logit: ClassVar[bool] = True  # False where no loss looks at the real/fake head: it stays as it began

    def __init__(self, network: Network, distribution: str, options: Any) -> None:
        super().__init__()
        self.options = options
        self.latent_dim = network.latent_dim
        self.distribution = distribution
        self.generator = network.generator()
        self.discriminator = network.discriminator(self.classes)

    @classmethod
    def problem(cls, options: dict[str, Any], batch_size: int) -> str | None:
        """Why these options cannot train with this batch size, or None."""
        del options, batch_size
        return None

    @abstractmethod
    def loss(self, player: str, turn: Turn) -> dict[str, Tensor]:
        """The player's loss as named, weighted scalar terms; the player minimises their sum."""

    def modules_of(self, player: str) -> tuple[nn.Module, ...]:
        """The modules whose parameters a player moves."""
        return (getattr(self, player),)

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, latent_dim) draws from the prior: uniform on [-1, 1] or standard normal."""
        device = rng.device
        if self.distribution == "uniform":
            return torch.rand(n, self.latent_dim, generator=rng, device=device) * 2 - 1
        return torch.randn(n, self.latent_dim, generator=rng, device=device)

    def judge(self, images: Tensor) -> Judgement:
        """The discriminator's view of (N, C, H, W) images."""
        judgement: Judgement = self.discriminator(images)
        return judgement

    def judge_each(self, *batches: Tensor) -> list[Judgement]:
        """The discriminator's view of several batches, taken in one call on all of them."""
        sizes = [len(batch) for batch in batches]
        whole = self.judge(torch.cat(batches))
        return [Judgement(*parts) for parts in zip(*(torch.split(part, sizes) for part in whole), strict=True)]
