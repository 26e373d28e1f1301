"""WGAN-GP: a critic with a gradient penalty separates real from fake images by the mean of its scores.

Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017; igul222/improved_wgan_training at 9a4b20b,
gan_cifar.py, mode `wgan-gp`. D is the critic, x real, x' = G(z), u uniform on [0, 1] for each image:

    L_D = mean D(x') - mean D(x) + 10 mean (|grad D(x + u (x' - x))|_2 - 1)^2        L_G = -mean D(x')

The code makes 5 updates of the critic per update of the generator (:29): `discriminator_steps: 5` in a recipe. The
penalty is defined per image, so the critic should have no batch norm.
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
    about = "Wasserstein game with a gradient penalty: the critic's gradient norm is kept near 1"
    Options: ClassVar[type[method.Options]] = WGANGPOptions
    uses_gradient_penalty = True

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """L_D, with the penalty as a separate term, or L_G."""
        latents = self.latents(len(inputs.real), inputs.rng)
        if player == "generator":
            (on_fake,) = self.discriminate_batches(self.generator(latents))
            return {"game": -on_fake.logit.mean()}
        with torch.no_grad():
            fake = self.generator(latents)
        on_real, on_fake = self.discriminate_batches(inputs.real, fake)
        norms = losses.gradient_norms(self.discriminate, inputs.real, fake, inputs.rng)
        return {
            "game": on_fake.logit.mean() - on_real.logit.mean(),
            "penalty": self.options.lambda_gp * (norms - 1).square().mean(),
        }
