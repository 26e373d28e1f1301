"""The method contract: an ordered list of players and one loss per player.

The training loop is the same for every GAN: draw the player's own batch, ask the method for that player's
loss, step that player. A reader of a method's file should recognise the paper's equations.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from baselines.common import random_streams
from baselines.common.random_streams import Rng
from baselines.networks.base import DiscriminatorOutput, Network
from baselines.networks.layers.memory_format import has_gradient


class Options(BaseModel):
    """A method's named switches and weights; every field is part of the trial's identity.

    The description of a field says where its default stands: an equation, or a line of code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class StepInputs(ABC):
    """What a player's loss may use in one update.

    Attributes:
        real: (N, C, H, W) images in the network's range.
        rng: the trial's random stream; every random number of a loss must come from it.
        labels: (N,) manual labels of `real`, -1 where none is given; None for methods that use none.
        logged: scalars that the loss adds to be recorded beside its terms; they must need no gradient.
    """

    real: Tensor
    rng: Rng
    labels: Tensor | None = None
    logged: dict[str, Tensor] = field(default_factory=dict)

    @property
    @abstractmethod
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""

    @abstractmethod
    def schedule_weight(self, weight: Callable[[float], float]) -> float | Tensor:
        """The weight at the current `progress`.

        Losses that depend on the progress use this. An update that is captured once and replayed keeps the numbers of
        the host, so there the weight is a scalar tensor, which is filled before each replay.
        """

    def require_labels(self) -> Tensor:
        """The labels. Raises ValueError if there are none."""
        if self.labels is None:
            raise ValueError("this method needs labels, and the step has none")
        return self.labels


class EagerStepInputs(StepInputs):
    """Inputs of an update that runs once, at a known progress."""

    def __init__(self, real: Tensor, progress: float, rng: Rng, labels: Tensor | None = None) -> None:
        super().__init__(real, rng, labels)
        self._progress = progress

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""
        return self._progress

    def schedule_weight(self, weight: Callable[[float], float]) -> float:
        """The weight at the current `progress`."""
        return weight(self._progress)


class Method(nn.Module, ABC):
    """A GAN. Submodules and buffers are its whole state, saved and restored with the trial."""

    title: ClassVar[str]
    paper: ClassVar[str]
    year: ClassVar[int]
    about: ClassVar[str]
    Options: ClassVar[type[Options]] = Options
    players: ClassVar[tuple[str, ...]] = ("discriminator", "generator")
    roles: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    task_classes: ClassVar[int] = 0
    basis: ClassVar[str] = "official-code"  # what the implementation follows; a tag of every run
    has_rotation_head: ClassVar[bool] = False  # whether `rotation_logits` can be asked for
    is_per_image: ClassVar[bool] = True  # whether `judge` takes single images, and not packs of them

    def __init__(self, network: Network, distribution: str, options: Any, num_classes: int = 0) -> None:
        """`distribution`: of the latents. `labels`: how many manual classes the dataset has."""
        super().__init__()
        self.options = options
        self.num_classes = num_classes
        self.latent_dim = network.latent_dim
        self.distribution = distribution
        self.generator = network.generator(self.num_conditions)
        self.discriminator = self.build_discriminator(network)

    @property
    def num_conditions(self) -> int:
        """Of how many conditions the players are told one; 0: of none."""
        return 0

    def build_discriminator(self, network: Network) -> nn.Module:
        """The discriminator that this method plays with."""
        return network.discriminator(self.task_classes, self.num_conditions)

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """The share of real images whose manual label these options use, in [0, 1]."""
        del options
        return 0.0

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """Why these options cannot train with this batch size and so many manual classes, or None."""
        del options, batch_size, num_classes
        return None

    def updates_per_step(self, player: str, discriminator_steps: int) -> int:
        """How often a player plays in one step."""
        return discriminator_steps if player == "discriminator" else 1

    def after_update(self, player: str) -> None:
        """What follows the update of a player; the loop calls it."""
        del player

    @abstractmethod
    def loss(self, player: str, inputs: StepInputs) -> dict[str, Tensor]:
        """The player's loss as named, weighted scalar terms; the player minimises their sum."""

    def player_modules(self, player: str) -> tuple[nn.Module, ...]:
        """The modules whose parameters a player moves."""
        return (getattr(self, player),)

    def generator_input(self, n: int, rng: Rng) -> tuple[Tensor, ...]:
        """What the generator makes n images of: (n, latent_dim) latents, and (n,) conditions where there are any."""
        return (self.latents(n, rng),)

    def latents(self, n: int, rng: Rng) -> Tensor:
        """(n, latent_dim) draws from the prior: uniform on [-1, 1] or standard normal."""
        if self.distribution == "uniform":
            return random_streams.uniform(rng, n, self.latent_dim) * 2 - 1
        return random_streams.normal(rng, n, self.latent_dim)

    def discriminate(self, images: Tensor) -> DiscriminatorOutput:
        """The discriminator's view of (N, C, H, W) images."""
        judgement: DiscriminatorOutput = self.discriminator(images)
        return judgement

    def rotation_logits(self, images: Tensor) -> Tensor:
        """(N, 4) logits of how often each of (N, C, S, S) images was turned, given that it is real; see `rotations`."""
        del images
        raise NotImplementedError(f"{type(self).__name__} names no rotations")

    @cached_property
    def has_batch_norm(self) -> bool:
        """Whether a layer of the discriminator normalises by its batch. Looked up once: it is asked in every turn."""
        return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.discriminator.modules())

    def discriminate_batches(self, *batches: Tensor) -> list[DiscriminatorOutput]:
        """The discriminator's view of several batches: in one call on all of them, which is fastest, or, where a
        batch norm would mix their statistics, in a call for each (PacGAN model.py:71-73, MSGAN msdistgan.py).

        While the discriminator itself is not moved, batches that nothing learns from have a call of their own: beside
        others they would have gradients, which nobody asks for.
        """
        if self.has_batch_norm:
            return [self.discriminate(batch) for batch in batches]
        moved = any(map(has_gradient, self.discriminator.parameters()))
        found: dict[int, DiscriminatorOutput] = {}
        for learnt in (True, False):
            places = [i for i, batch in enumerate(batches) if (moved or has_gradient(batch)) is learnt]
            found |= zip(places, self._judge_together([batches[i] for i in places]), strict=True)
        return [found[i] for i in range(len(batches))]

    def _judge_together(self, batches: list[Tensor]) -> list[DiscriminatorOutput]:
        if len(batches) < 2:
            return [self.discriminate(batch) for batch in batches]
        sizes = [len(batch) for batch in batches]
        whole = self.discriminate(torch.cat(batches))
        return [
            DiscriminatorOutput(*parts) for parts in zip(*(torch.split(part, sizes) for part in whole), strict=True)
        ]
