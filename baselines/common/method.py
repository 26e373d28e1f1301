"""The method contract: an ordered list of players and one loss per player.

The training loop is the same for every method. For each player in turn it takes a fresh batch, calls the method for
that player's loss and updates that player. A method's file should read like the paper's equations.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from baselines.common import random_streams
from baselines.common.random_streams import Rng
from baselines.common.transformations import ROTATIONS, TransformationSet
from baselines.networks.base import DiscriminatorOutput, Network
from baselines.networks.layers.memory_format import has_gradient
from baselines.networks.layers.spectral_norm import PowerMethod


class Options(BaseModel):
    """A method's named switches and weights. Every field is part of the trial's identity.

    The description of a field cites the source of its default: an equation or a line of code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class StepInputs(ABC):
    """The inputs of one player's loss in one update.

    Attributes:
        real: (N, C, H, W) real images in the network's image range, or (N, D) real points.
        rng: the trial's random stream; every random number of a loss comes from it.
        labels: (N,) manual labels of `real`, -1 where an image has none; None for methods that use no labels.
        logged: a loss may add scalars here that are recorded beside its terms; they must not require a gradient.
    """

    real: Tensor
    rng: Rng
    labels: Tensor | None = None
    logged: dict[str, Tensor] = field(default_factory=dict)

    @property
    @abstractmethod
    def progress(self) -> float:
        """The fraction of the training that is done, in [0, 1)."""

    @abstractmethod
    def schedule_weight(self, weight: Callable[[float], float]) -> float | Tensor:
        """The value of `weight(progress)`.

        Losses use this method rather than `progress`: in a captured graph the result is a scalar tensor that is
        refilled before every replay, where a float would be frozen at its value during capture.
        """

    def require_labels(self) -> Tensor:
        """The (N,) manual labels. Raises ValueError if there are none."""
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
        """The fraction of the training that is done, in [0, 1)."""
        return self._progress

    def schedule_weight(self, weight: Callable[[float], float]) -> float:
        """The value of `weight(progress)`."""
        return weight(self._progress)


class Method(nn.Module, ABC):
    """A GAN, or a classifier trained beside GANs: its modules, and one loss per player.

    Submodules and buffers are the method's whole state; they are saved and restored with the trial.

    Class attributes:
        title: name in reports and figures.
        paper, year: the publication that introduced the method.
        about: one line on what the method does.
        Options: the pydantic model of the method's options.
        players: names of the players, in the order of their updates. A player's parameters are those of the attribute
            of its name, unless `player_modules` says otherwise.
        roles: what the method needs of a network: generator, discriminator, encoder, conditions.
        task_classes: number of logits of the discriminator's class head; 0 for no class head.
        has_generator: whether `generator` is among its modules. If not, nothing is sampled, and `latent_dim` is 0.
        basis: what the implementation follows, `official-code`, `derived-from-text` or `derived-from-abstract`; a tag
            of every run.
        has_rotation_head: whether `rotation_logits` is implemented.
        has_sequential_tasks: whether `sequential_tasks` is implemented.
        is_per_image: whether `discriminate` takes single images; False if it takes packs of them.
        uses_gradient_penalty: whether a loss differentiates the discriminator with respect to its input by default.

    Args:
        network: the family that builds the players.
        distribution: prior of the latents, `uniform` on [-1, 1] or `normal`.
        options: a validated instance of `Options`.
        num_classes: number of manual classes of the dataset; 0 for unlabelled datasets.

    Attributes:
        power_iterations: how many power iterations a discriminator under spectral norm takes in an update of the
            `discriminator`, and of any other player (`generator`). None: every batch has a call of its own, and every
            call takes one iteration.
        transformations: the set whose indices a self-supervised task predicts, which belongs to the dataset. Methods
            and their terms are named after rotations, the transformations of images.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    year: ClassVar[int]
    about: ClassVar[str]
    Options: ClassVar[type[Options]] = Options
    players: ClassVar[tuple[str, ...]] = ("discriminator", "generator")
    roles: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    task_classes: ClassVar[int] = 0
    has_generator: ClassVar[bool] = True
    basis: ClassVar[str] = "official-code"
    has_rotation_head: ClassVar[bool] = False
    has_sequential_tasks: ClassVar[bool] = False
    is_per_image: ClassVar[bool] = True
    uses_gradient_penalty: ClassVar[bool] = False

    def __init__(self, network: Network, distribution: str, options: Any, num_classes: int = 0) -> None:
        super().__init__()
        self.power_iterations: Mapping[str, int] | None = {"discriminator": 1, "generator": 1}
        self.transformations: TransformationSet = ROTATIONS
        self.options = options
        self.num_classes = num_classes
        self.latent_dim = network.latent_dim
        self.distribution = distribution
        if self.has_generator:
            self.generator = network.generator(self.num_conditions)
        self.discriminator = self.build_discriminator(network)

    @property
    def num_conditions(self) -> int:
        """Number of conditions of a conditional generator and discriminator; 0 for an unconditional GAN."""
        return 0

    def build_discriminator(self, network: Network) -> nn.Module:
        """A new discriminator with the heads that this method needs."""
        return network.discriminator(self.task_classes, self.num_conditions)

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """The fraction of real images whose manual labels are used with these options, in [0, 1]."""
        del options
        return 0.0

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """Check what the options model alone cannot.

        Args:
            options: the options as written in the suite, without defaults.
            batch_size: number of real images per update.
            num_classes: number of manual classes of the dataset.

        Returns:
            The reason why the method cannot be trained with this configuration, or None if it can.
        """
        del options, batch_size, num_classes
        return None

    def updates_per_step(self, player: str, discriminator_steps: int) -> int:
        """Number of updates of a player in one training step; `discriminator_steps` is the recipe's."""
        return discriminator_steps if player == "discriminator" else 1

    def after_update(self, player: str) -> None:
        """Called by the training loop after every update of a player. Does nothing by default."""
        del player

    @abstractmethod
    def loss(self, player: str, inputs: StepInputs) -> dict[str, Tensor]:
        """The loss of one player, as named and weighted terms of which the player minimises the sum.

        Args:
            player: one of `players`.
            inputs: a batch of real images, the player's own, and the random stream.

        Returns:
            Differentiable scalars by name; the names are the same in every call for a player.
        """

    def player_modules(self, player: str) -> tuple[nn.Module, ...]:
        """The modules whose parameters a player's update changes."""
        return (getattr(self, player),)

    def generator_input(self, n: int, rng: Rng) -> tuple[Tensor, ...]:
        """Inputs of the generator for n images: (n, latent_dim) latents and, if conditional, (n,) conditions."""
        return (self.latents(n, rng),)

    def latents(self, n: int, rng: Rng) -> Tensor:
        """(n, latent_dim) samples from the prior: uniform on [-1, 1] or standard normal."""
        if self.distribution == "uniform":
            return random_streams.uniform(rng, n, self.latent_dim) * 2 - 1
        return random_streams.normal(rng, n, self.latent_dim)

    def discriminate(self, images: Tensor) -> DiscriminatorOutput:
        """The discriminator's output for (N, C, H, W) images or (N, D) points, or packs: (N, mC, H, W) or (N, mD)."""
        output: DiscriminatorOutput = self.discriminator(images)
        return output

    def rotation_logits(self, images: Tensor) -> Tensor:
        """The discriminator's prediction of the rotation of real images, for metrics.

        Args:
            images: (N, C, S, S) real images, each rotated by r times 90 degrees.

        Returns:
            (N, 4) logits of r.

        Raises:
            NotImplementedError: if `has_rotation_head` is False.
        """
        del images
        raise NotImplementedError(f"{type(self).__name__} has no rotation head")

    def sequential_tasks(self) -> tuple[int, int]:
        """The classes of the one-versus-rest tasks of the last update and of the next one, for metrics.

        Raises:
            NotImplementedError: if `has_sequential_tasks` is False.
        """
        raise NotImplementedError(f"{type(self).__name__} is not trained on one task after the other")

    @cached_property
    def has_batch_norm(self) -> bool:
        """Whether the discriminator has batch norm. Cached, because every update asks."""
        return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.discriminator.modules())

    @cached_property
    def power_method(self) -> PowerMethod:
        """The power method of the discriminator's layers under spectral norm."""
        return PowerMethod(self.discriminator)

    def discriminate_batches(self, *batches: Tensor) -> list[DiscriminatorOutput]:
        """The discriminator's output for each of several batches.

        All batches go through the discriminator in one call, which is fastest, unless the discriminator has batch
        norm: then each batch has a call and thus statistics of its own (PacGAN model.py:71-73, MSGAN msdistgan.py).
        If the discriminator is not being trained, batches that need no gradient go through in a separate call, because
        in a common call a gradient with respect to them would be computed in vain.

        A call takes one power iteration under spectral norm; `power_iterations` beyond those are taken beforehand, so
        that a common call normalises as the separate calls of other codes do on average.
        """
        if self.has_batch_norm or self.power_iterations is None:
            return [self.discriminate(batch) for batch in batches]
        is_trained = any(map(has_gradient, self.discriminator.parameters()))
        needs_gradient = [is_trained or has_gradient(batch) for batch in batches]
        iterations = self.power_iterations["discriminator" if is_trained else "generator"]
        self.power_method.iterate(iterations - len(set(needs_gradient)))
        outputs: dict[int, DiscriminatorOutput] = {}
        for group in (True, False):
            indices = [i for i, needed in enumerate(needs_gradient) if needed is group]
            outputs |= zip(indices, self._discriminate_jointly([batches[i] for i in indices]), strict=True)
        return [outputs[i] for i in range(len(batches))]

    def _discriminate_jointly(self, batches: list[Tensor]) -> list[DiscriminatorOutput]:
        if len(batches) < 2:
            return [self.discriminate(batch) for batch in batches]
        sizes = [len(batch) for batch in batches]
        joint = self.discriminate(torch.cat(batches))
        return [
            DiscriminatorOutput(*parts) for parts in zip(*(torch.split(part, sizes) for part in joint), strict=True)
        ]
