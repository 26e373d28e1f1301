"""The real/fake games: what the discriminator and the generator minimise on logits.

The discriminator's take (N,) logits of real and (M,) of fake images, the generator's (M,) of fake. `slopes` is what
gradient penalties are made of.
"""

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
    """-log s(logit) of each, s the logistic function (Goodfellow et al. 2014, eq. 1)."""
    return softplus(-logit)


def log_fake(logit: Tensor) -> Tensor:
    """-log(1 - s(logit)) of each (Goodfellow et al. 2014, eq. 1)."""
    return softplus(logit)


def hinge_real(logit: Tensor) -> Tensor:
    """max(0, 1 - logit) of each (Miyato et al. 2018, eq. 16)."""
    return relu(1 - logit)


def hinge_fake(logit: Tensor) -> Tensor:
    """max(0, 1 + logit) of each (Miyato et al. 2018, eq. 16)."""
    return relu(1 + logit)


def discriminator(game: GameName, real: Tensor, fake: Tensor) -> Tensor:
    """The mean cost of the real images plus that of the fake ones."""
    of_real, of_fake = DISCRIMINATOR_LOSSES[game]
    return of_real(real).mean() + of_fake(fake).mean()


def hinge_towards_real(logit: Tensor) -> Tensor:
    """-logit of each (Miyato et al. 2018, eq. 17)."""
    return -logit


def generator(game: GameName, fake: Tensor) -> Tensor:
    """The mean cost of the fake images: -log s(fake) (Goodfellow et al. 2014, section 3), or -fake."""
    return GENERATOR_LOSSES[game](fake).mean()


def gradient_norms(
    judge: Callable[[Tensor], DiscriminatorOutput], real: Tensor, fake: Tensor, rng: Rng, norm: str = "l2"
) -> Tensor:
    """(N,) sizes of the logit's gradient at a random share of the way from each real to a fake image.

    `l2`: the Euclidean norm (Gulrajani et al. 2017, eq. 3); `rms`: the root of the mean over pixels.
    """
    share = random_streams.uniform(rng, len(fake), 1, 1, 1)
    between = real + share * (fake - real)
    if isinstance(rng, random_streams.SeedStreams):  # inside vmap, where torch.autograd cannot be asked
        gradient: Tensor = torch.func.grad(lambda images: judge(images).logit.sum())(between)
    else:
        between.requires_grad_()
        (gradient,) = torch.autograd.grad(judge(between).logit.sum(), between, create_graph=True)
    squares = gradient.square().flatten(1)
    return (squares.mean(1) if norm == "rms" else squares.sum(1)).sqrt()


# game -> what one image costs the discriminator: a real one, a fake one
DISCRIMINATOR_LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "non_saturating": (log_real, log_fake),
    "hinge": (hinge_real, hinge_fake),
}
# game -> what one fake image costs the generator
GENERATOR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "non_saturating": log_real,
    "hinge": hinge_towards_real,
}
