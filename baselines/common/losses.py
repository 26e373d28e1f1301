"""Adversarial losses on real/fake logits, and the gradient norms of gradient penalties."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from baselines.common import random_streams
from baselines.common.random_streams import Rng
from baselines.networks.base import DiscriminatorOutput

GameName = Literal["non_saturating", "hinge"]


def log_real(logit: Tensor) -> Tensor:
    """-log s(logit) per image, s the logistic function (Goodfellow et al. 2014, eq. 1)."""
    return softplus(-logit)


def log_fake(logit: Tensor) -> Tensor:
    """-log(1 - s(logit)) per image (Goodfellow et al. 2014, eq. 1)."""
    return softplus(logit)


def hinge_real(logit: Tensor) -> Tensor:
    """max(0, 1 - logit) per image (Miyato et al. 2018, eq. 16)."""
    return relu(1 - logit)


def hinge_fake(logit: Tensor) -> Tensor:
    """max(0, 1 + logit) per image (Miyato et al. 2018, eq. 16)."""
    return relu(1 + logit)


def negative_logit(logit: Tensor) -> Tensor:
    """-logit per image (Miyato et al. 2018, eq. 17)."""
    return -logit


# game -> the discriminator's loss of a real image and of a fake one
DISCRIMINATOR_LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "non_saturating": (log_real, log_fake),
    "hinge": (hinge_real, hinge_fake),
}
# game -> the generator's loss of a fake image
GENERATOR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "non_saturating": log_real,
    "hinge": negative_logit,
}


def discriminator_loss(game: GameName, real: Tensor, fake: Tensor) -> Tensor:
    """Mean loss of (N,) logits of real images plus mean loss of (M,) logits of fake images."""
    real_loss, fake_loss = DISCRIMINATOR_LOSSES[game]
    return real_loss(real).mean() + fake_loss(fake).mean()


def generator_loss(game: GameName, fake: Tensor) -> Tensor:
    """Mean loss of (M,) logits of fake images: -log s(fake) (Goodfellow et al. 2014, section 3) or -fake."""
    return GENERATOR_LOSSES[game](fake).mean()


def gradient_norms(
    discriminate: Callable[[Tensor], DiscriminatorOutput],
    real: Tensor,
    fake: Tensor,
    rng: Rng,
    norm: str = "l2",
    offset: float = 0.0,
) -> Tensor:
    """(N,) norms of the logit's gradient at random interpolates of (N, ...) real and fake images or points.

    `norm`: `l2`, the Euclidean norm (Gulrajani et al. 2017, eq. 3), or `rms`, the root mean square over pixels.
    `offset` is added to the squared norm; a positive one keeps the gradient of the root finite.
    The interpolation weight is uniform on [0, 1), one per image. The result is differentiable.
    """
    share = random_streams.uniform(rng, len(fake), *(1 for _ in fake.shape[1:]))
    interpolates = real + share * (fake - real)
    if isinstance(rng, random_streams.SeedStreams):  # torch.autograd.grad does not work inside vmap
        gradient: Tensor = torch.func.grad(lambda images: discriminate(images).logit.sum())(interpolates)
    else:
        interpolates.requires_grad_()
        (gradient,) = torch.autograd.grad(discriminate(interpolates).logit.sum(), interpolates, create_graph=True)
    squares = gradient.square().flatten(1)
    return ((squares.mean(1) if norm == "rms" else squares.sum(1)) + offset).sqrt()
