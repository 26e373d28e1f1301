"""Conditional GAN: both players are told the manual label, the upper reference of the unlabelled methods.

Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018; mimicry, nets/cgan_pd/cgan_pd_32.py and
nets/gan/cgan.py. With y the label of x, and y' drawn uniformly for a fake image:

    L_D = game_D(D(x, y), D(G(z, y'), y'))        L_G = game_G(D(G(z, y'), y'))        D(x, y) = psi(f(x)) + f(x) V_y

The label reaches G through conditional batch norm. Papers set it beside SSGAN as what labels are worth.
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from baselines.common import losses, method, random_streams
from baselines.common.random_streams import Rng
from baselines.methods.gan import GAN, GANOptions


class ConditionalGANOptions(GANOptions):
    """`game`: the real/fake losses; mimicry's cGAN-PD plays hinge."""

    game: losses.GameName = Field(default="hinge", description="mimicry nets/cgan_pd/cgan_pd_base.py (loss_type)")


class ConditionalGAN(GAN):
    """GAN + labels of every real image."""

    title = "Conditional GAN"
    paper = "Miyato et al., cGANs with Projection Discriminator"
    year = 2018
    about = "the plain game with all manual labels: projection discriminator, conditional batch norm"
    Options = ConditionalGANOptions
    roles = frozenset({"generator", "discriminator", "conditions"})

    @property
    def num_conditions(self) -> int:
        """The manual classes."""
        return self.num_classes

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """Every image."""
        del options
        return 1.0

    def generator_input(self, n: int, rng: Rng) -> tuple[Tensor, ...]:
        """Latents, and labels drawn uniformly."""
        latents = self.latents(n, rng)
        return latents, random_streams.integers(rng, self.num_classes, n)

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The game on conditional logits."""
        latents, labels = self.generator_input(len(inputs.real), inputs.rng)
        if player == "generator":
            fake = self.generator(latents, labels)
            return {"game": losses.generator(self.options.game, self.discriminate(fake).logit_given(labels))}
        with torch.no_grad():
            fake = self.generator(latents, labels)
        of_real, of_fake = self.discriminate_batches(inputs.real, fake)
        scores = of_real.logit_given(inputs.require_labels()), of_fake.logit_given(labels)
        return {"game": losses.discriminator(self.options.game, *scores)}
