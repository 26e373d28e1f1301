"""The network contract: a family of networks builds the players of a method for images or points of one shape."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from baselines.networks.layers.precision import autocast_disabled, to_float32

Shape = tuple[int, ...]  # (C, H, W) of an image, (D,) of a point


class DiscriminatorOutput(NamedTuple):
    """A discriminator's output for N images.

    Attributes:
        logit: (N,) real/fake logits.
        class_logits: (N, K) logits of the self-supervised class head; K may be 0.
        features: (N, F) the last features before the heads.
        condition_logits: (N, C) what each condition adds to the real/fake logit; C may be 0.
    """

    logit: Tensor
    class_logits: Tensor
    features: Tensor
    condition_logits: Tensor

    def logit_given(self, condition: Tensor) -> Tensor:
        """(N,) real/fake logits under the (N,) conditions, for a discriminator that was built with conditions.

        D(x, y) = psi(f(x)) + f(x) V_y (Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018, eq. 2).
        """
        return self.logit + self.condition_logits.gather(1, condition.unsqueeze(1)).squeeze(1)


class NetworkOptions(BaseModel):
    """A family's named switches. Every field is part of the trial's identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Width = Annotated[int, Field(strict=True, ge=1, le=1024, description="the unit of the published channel counts")]


class Widths(NetworkOptions):
    """The unit in which each player's channels are counted; 64 is as published."""

    generator_width: Width = 64
    discriminator_width: Width = 64


class EncoderWidths(Widths):
    """Widths of families that also have an encoder."""

    encoder_width: Width = 64


class Network(ABC):
    """A family of networks for images, or points, of one shape. Every method of it builds a new, initialised module.

    Where a docstring says (N, C, H, W) images, a family for points has (N, D) points.

    Class attributes:
        about: one line on the family.
        Options: the pydantic model of the family's options.
        shapes: shapes (C, H, W) of images, or (D,) of points, that the family supports.
        roles: the players and features that it offers: generator, discriminator, encoder, conditions.
        image_range: range of the generator's images, to which real images are scaled; None for points, which are not.

    Args:
        shape: (C, H, W) of the images or (D,) of the points, one of `shapes`.
        latent_dim: dimension of the generator's latents.
        options: a validated instance of `Options`.
    """

    about: ClassVar[str]
    Options: ClassVar[type[NetworkOptions]] = NetworkOptions
    shapes: ClassVar[frozenset[Shape]]
    roles: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    image_range: ClassVar[tuple[float, float] | None]

    def __init__(self, shape: Shape, latent_dim: int, options: Any) -> None:
        self.shape = shape
        self.latent_dim = latent_dim
        self.options = options

    @classmethod
    def check_config(cls, options: dict[str, Any], roles: frozenset[str]) -> str | None:
        """Check what the options model alone cannot.

        Args:
            options: the options as written in the suite, without defaults.
            roles: the roles that the method needs.

        Returns:
            The reason why a network with these options cannot serve such a method, or None if it can.
        """
        del options, roles
        return None

    @abstractmethod
    def generator(self, num_conditions: int = 0) -> nn.Module:
        """A generator: (N, latent_dim) latents -> (N, C, H, W) images in `image_range`.

        Args:
            num_conditions: if positive, the generator's second input are (N,) condition indices.

        Raises:
            NotImplementedError: if `num_conditions` is positive and the family lacks the role `conditions`.
        """

    @abstractmethod
    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """A discriminator: (N, C, H, W) images -> DiscriminatorOutput. Its `Heads` are the attribute `heads`.

        Args:
            task_classes: number of logits of the self-supervised class head; 0 for none.
            num_conditions: number of conditions of the projection; 0 for none.

        Raises:
            NotImplementedError: if `num_conditions` is positive and the family lacks the role `conditions`.
        """

    def classifier(self, num_classes: int) -> nn.Module:
        """A classifier: (N, C, H, W) images -> DiscriminatorOutput, of which only `class_logits` are meaningful.

        It has the discriminator's layers without spectral norm.
        """
        switch = {"spectral_norm": False} if hasattr(self.options, "spectral_norm") else {}
        plain = type(self)(self.shape, self.latent_dim, self.options.model_copy(update=switch))
        return drop_adversarial_head(plain.discriminator(num_classes))

    def packed(self, images: int) -> "Network":
        """The family for packs of so many images, stacked along their channels, or of so many points, concatenated."""
        return type(self)((images * self.shape[0], *self.shape[1:]), self.latent_dim, self.options)

    def encoder(self) -> nn.Module:
        """An encoder: (N, C, H, W) images -> (N, latent_dim) latents.

        Raises:
            NotImplementedError: if the family lacks the role `encoder`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no encoder")


def reject_conditions(network: Network, num_conditions: int) -> None:
    """Raise NotImplementedError if conditions are requested from a family without conditional players."""
    if num_conditions:
        raise NotImplementedError(f"{type(network).__name__} has no conditional players")


class Heads(nn.Module):
    """The linear heads of a discriminator: real/fake, self-supervised classes, and a projection of each condition.

    Args:
        features: number of features that the class head sees.
        task_classes: number of classes; 0 for no class head.
        adversarial_features: number of features that the real/fake head and the projection see; by default `features`.
        num_conditions: number of conditions; 0 for no projection.
    """

    def __init__(
        self, features: int, task_classes: int, adversarial_features: int | None = None, num_conditions: int = 0
    ) -> None:
        super().__init__()
        adversarial_features = features if adversarial_features is None else adversarial_features
        self.logit: nn.Module | None = nn.Linear(adversarial_features, 1)
        self.classes = nn.Linear(features, task_classes) if task_classes else None
        self.conditions = nn.Linear(adversarial_features, num_conditions, bias=False) if num_conditions else None

    def forward(self, features: Tensor, adversarial: Tensor | None = None) -> DiscriminatorOutput:
        """(N, F) features, and those of the real/fake head if they differ -> output in float32 or float64."""
        with autocast_disabled(features):
            features = to_float32(features)
            return self._output(features, features if adversarial is None else to_float32(adversarial))

    def _output(self, features: Tensor, adversarial: Tensor) -> DiscriminatorOutput:
        none = features.new_zeros(len(features), 0)
        return DiscriminatorOutput(
            logit=self.logit(adversarial).squeeze(1) if self.logit else features.new_zeros(len(features)),
            class_logits=self.classes(features) if self.classes else none,
            features=features,
            condition_logits=self.conditions(adversarial) if self.conditions else none,
        )


class Discriminator(nn.Module):
    """A body that makes features, optional global pooling of them, and heads.

    `pooling`: None if the body's output is flat, else how (N, C, H, W) maps become (N, C) features.
    """

    def __init__(self, body: nn.Module, heads: Heads, pooling: Literal["sum", "mean"] | None = None) -> None:
        super().__init__()
        self.body = body
        self.heads = heads
        self.pooling = pooling

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """(N, C, H, W) images -> DiscriminatorOutput."""
        features = self.body(x)
        output: DiscriminatorOutput = self.heads(pooled(features, self.pooling) if self.pooling else features)
        return output


def pooled(maps: Tensor, pooling: Literal["sum", "mean"]) -> Tensor:
    """(N, C, H, W) -> (N, C), the sum or mean over all positions."""
    return maps.sum((2, 3)) if pooling == "sum" else maps.mean((2, 3))


def drop_adversarial_head(discriminator: nn.Module) -> nn.Module:
    """Remove the real/fake head, for losses that do not use it; its logit becomes 0."""
    heads = discriminator.get_submodule("heads")
    if not isinstance(heads, Heads):
        raise TypeError(f"{type(discriminator).__name__} has no Heads as heads")
    heads.logit = None
    return discriminator
