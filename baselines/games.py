"""The real/fake games: what the discriminator and the generator minimise on logits.

Discriminator losses take (N,) logits of real and (M,) of fake images; generator losses (M,) of fake.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn.functional import relu, softplus

GameName = Literal["non_saturating", "hinge"]


def non_saturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean -log s(real) + mean -log(1 - s(fake)), s the logistic function (Goodfellow et al. 2014, eq. 1)."""
    return softplus(-real).mean() + softplus(fake).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """mean -log s(fake) (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean max(0, 1 - real) + mean max(0, 1 + fake) (Miyato et al. 2018, eq. 16)."""
    return relu(1 - real).mean() + relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """mean -fake (Miyato et al. 2018, eq. 17)."""
    return -fake.mean()


DISCRIMINATOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "non_saturating": non_saturating_discriminator,
    "hinge": hinge_discriminator,
}
GENERATOR: dict[str, Callable[[Tensor], Tensor]] = {
    "non_saturating": non_saturating_generator,
    "hinge": hinge_generator,
}
