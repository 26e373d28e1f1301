"""WGAN-GP: a critic whose slope is held at 1 tells real from fake by the mean of its scores.

Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017; igul222/improved_wgan_training at 9a4b20b,
gan_cifar.py, mode `wgan-gp`. D is the critic, x real, x' = G(z), u uniform on [0, 1] for each image:

    L_D = mean D(x') - mean D(x) + 10 mean (|grad D(x + u (x' - x))|_2 - 1)^2        L_G = -mean D(x')

There the critic plays 5 turns for one of the generator (:29): `discriminator_steps: 5` in a recipe. The penalty is
of each image by itself, so the critic should have no batch norm.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from baselines.common import losses, method

CODE = "igul222/improved_wgan_training@9a4b20b gan_cifar.py"


class WGANGPOptions(method.Options):
    """`lambda_gp`: weight of the gradient penalty (gan_cifar.py:28)."""

    lambda_gp: float = Field(default=10.0, strict=True, ge=0, allow_inf_nan=False, description=f"{CODE}:28")


class WGANGP(method.Method):
    """The Wasserstein game with a two-sided gradient penalty."""

    title = "WGAN-GP"
    paper = "Gulrajani et al., Improved Training of Wasserstein GANs"
    year = 2017
    about = "Wasserstein game, the critic's slope between real and fake images held at 1"
    Options: ClassVar[type[method.Options]] = WGANGPOptions

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """L_D, its penalty a term of its own, or L_G."""
        latents = self.latents(len(inputs.real), inputs.rng)
        if player == "generator":
            return {"game": -self.discriminate(self.generator(latents)).logit.mean()}
        with torch.no_grad():
            fake = self.generator(latents)
        of_real, of_fake = self.discriminate_batches(inputs.real, fake)
        slopes = losses.gradient_norms(self.discriminate, inputs.real, fake, inputs.rng)
        return {
            "game": of_fake.logit.mean() - of_real.logit.mean(),
            "penalty": self.options.lambda_gp * (slopes - 1).square().mean(),
        }
