"""The network contract, and the layers that several families share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Shape = tuple[int, int, int]


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of N images.

    `logit`: (N,) real/fake logit. `class_logits`: (N, K) logits of the self-supervised head, K may be 0.
    `features`: (N, F) the last layer before the heads. `condition_logits`: (N, C) what each condition adds to the
    logit, C may be 0.
    """

    logit: Tensor
    class_logits: Tensor
    features: Tensor
    condition_logits: Tensor

    def logit_given(self, condition: Tensor) -> Tensor:
        """(N,) real/fake logits under a (N,) `condition` each, in a discriminator that was built with some.

        D(x, y) = psi(f(x)) + f(x) V_y (Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018, eq. 2).
        """
        return self.logit + self.condition_logits.gather(1, condition.unsqueeze(1)).squeeze(1)


class NetworkOptions(BaseModel):
    """A family's named switches; every field is part of the trial's identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Width = Annotated[int, Field(strict=True, ge=1, le=1024, description="the unit of the published channel counts")]


class Widths(NetworkOptions):
    """The unit in which each player's channels are counted; 64 is as published."""

    generator_width: Width = 64
    discriminator_width: Width = 64


class EncoderWidths(Widths):
    """Three players."""

    encoder_width: Width = 64


class Network(ABC):
    """A family of networks for images of one shape."""

    about: ClassVar[str]
    Options: ClassVar[type[NetworkOptions]] = NetworkOptions
    shapes: ClassVar[frozenset[Shape]]
    roles: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    image_range: ClassVar[tuple[float, float]]

    def __init__(self, shape: Shape, latent_dim: int, options: Any) -> None:
        self.shape = shape
        self.latent_dim = latent_dim
        self.options = options

    @classmethod
    def check_config(cls, options: dict[str, Any], roles: frozenset[str]) -> str | None:
        """Why these options cannot serve a method with these roles, or None."""
        del options, roles
        return None

    @abstractmethod
    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) latents -> (N, C, H, W) images in `image_range`.

        With `conditions` > 0, which only families with the role `conditions` take, a second input are (N,) conditions.
        """

    @abstractmethod
    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, C, H, W) images -> Judgement with `classes` self-supervised logits. It has its Heads as `heads`."""

    def classifier(self, num_classes: int) -> nn.Module:
        """(N, C, H, W) images -> Judgement of `classes` alone, by a discriminator's layers without spectral norm."""
        switch = {"spectral_norm": False} if hasattr(self.options, "spectral_norm") else {}
        plain = type(self)(self.shape, self.latent_dim, self.options.model_copy(update=switch))
        return drop_adversarial_head(plain.discriminator(num_classes))

    def packed(self, images: int) -> "Network":
        """The family for `images` images as one, stacked along their channels."""
        return type(self)((images * self.shape[0], *self.shape[1:]), self.latent_dim, self.options)

    def encoder(self) -> nn.Module:
        """(N, C, H, W) images -> (N, latent_dim) latents; only families with the role `encoder`."""
        raise NotImplementedError(f"{type(self).__name__} has no encoder")


def reject_conditions(network: Network, num_conditions: int) -> None:
    """Raises NotImplementedError when conditions are asked of a family that has no conditional players."""
    if num_conditions:
        raise NotImplementedError(f"{type(network).__name__} has no conditional players")


class Heads(nn.Module):
    """The real/fake head and, with `classes` or `conditions` > 0, the class head and a projection of each condition.

    All are linear on flat features. `judged`: the width of what the real/fake head and the projection look at, where
    that is something else, pooled maps say.
    """

    def __init__(self, features: int, task_classes: int, judged: int | None = None, num_conditions: int = 0) -> None:
        super().__init__()
        judged = features if judged is None else judged
        self.logit: nn.Module | None = nn.Linear(judged, 1)
        self.classes = nn.Linear(features, task_classes) if task_classes else None
        self.conditions = nn.Linear(judged, num_conditions, bias=False) if num_conditions else None

    def forward(self, features: Tensor, judged: Tensor | None = None) -> DiscriminatorOutput:
        """(N, F) features, (N, `judged`) where the real/fake head has its own -> Judgement, in float32 at least."""
        with autocast_disabled(features):
            features = to_float32(features)
            return self._judgement(features, features if judged is None else to_float32(judged))

    def _judgement(self, features: Tensor, judged: Tensor) -> DiscriminatorOutput:
        none = features.new_zeros(len(features), 0)
        return DiscriminatorOutput(
            logit=self.logit(judged).squeeze(1) if self.logit else features.new_zeros(len(features)),
            class_logits=self.classes(features) if self.classes else none,
            features=features,
            condition_logits=self.conditions(judged) if self.conditions else none,
        )


def drop_adversarial_head(discriminator: nn.Module) -> nn.Module:
    """Takes away the real/fake head, for a game that never asks for it: the logit is 0."""
    heads = discriminator.get_submodule("heads")
    if not isinstance(heads, Heads):
        raise TypeError(f"{type(discriminator).__name__} has no Heads as heads")
    heads.logit = None
    return discriminator


def autocast_disabled(x: Tensor) -> AbstractContextManager[object]:
    """Where nothing is done in a lower precision, whatever is around it."""
    kind = x.device.type
    lowered = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if lowered else nullcontext()


def to_float32(x: Tensor) -> Tensor:
    """The same numbers as float32, or as float64 where they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def xavier_(module: nn.Module) -> nn.Module:
    """Glorot-uniform weights and zero biases for every linear and convolutional layer, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def spectral_norm_(module: nn.Module, besides: Sequence[nn.Module | None] = ()) -> nn.Module:
    """Divides the weights of every linear and convolutional layer by their largest singular value, in place.

    `besides`: layers to leave as they are.
    Call it on initialised weights. One power iteration per pass in training mode, none in evaluation. It is the
    parametrisation, not the older hook of `torch.nn.utils`: there the weight itself is a parameter and both
    singular vectors are buffers, so that optimiser, state and exact resume need to know nothing of it, and the
    vectors are copied for each pass, so that several passes may come before one backward pass.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and layer not in besides:
            parametrizations.spectral_norm(layer)
            found = layer.get_submodule("parametrizations.weight")
            found[0] = _InFullPrecision(found[0])  # type: ignore[operator,index]
    return module


class _InFullPrecision(nn.Module):
    """A parametrisation that a lower precision of what is around it does not reach."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, weight: Tensor) -> Tensor:
        with autocast_disabled(weight):
            found: Tensor = self.of(weight)
        return found
