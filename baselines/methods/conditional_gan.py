"""Conditional GAN: both players receive the manual label. It is the upper reference of the unlabelled methods.

Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018; mimicry, nets/cgan_pd/cgan_pd_32.py and
nets/gan/cgan.py. With y the label of x, and y' drawn uniformly for a fake image:

    L_D = game_D(D(x, y), D(G(z, y'), y'))        L_G = game_G(D(G(z, y'), y'))        D(x, y) = psi(f(x)) + f(x) V_y

The label enters G through conditional batch norm. Papers compare it with SSGAN to show the value of labels.
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from baselines.common import losses, method, random_streams
from baselines.common.random_streams import Rng
from baselines.methods.gan import GAN, GANOptions


class ConditionalGANOptions(GANOptions):
    """`game`: the adversarial loss; mimicry's cGAN-PD uses hinge."""

    game: losses.GameName = Field(default="hinge", description="mimicry nets/cgan_pd/cgan_pd_base.py (loss_type)")


class ConditionalGAN(GAN):
    """GAN + labels of every real image."""

    title = "Conditional GAN"
    paper = "Miyato et al., cGANs with Projection Discriminator"
    year = 2018
    about = "GAN with all manual labels: projection discriminator, conditional batch norm"
    Options = ConditionalGANOptions
    roles = frozenset({"generator", "discriminator", "conditions"})

    @property
    def num_conditions(self) -> int:
        """One condition per manual class."""
        return self.num_classes

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """All labels are used."""
        del options
        return 1.0

    def generator_input(self, n: int, rng: Rng) -> tuple[Tensor, ...]:
        """(n, latent_dim) latents and (n,) labels drawn uniformly."""
        latents = self.latents(n, rng)
        return latents, random_streams.integers(rng, self.num_classes, n)

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The adversarial loss on conditional logits."""
        latents, labels = self.generator_input(len(inputs.real), inputs.rng)
        if player == "generator":
            fake = self.generator(latents, labels)
            (on_fake,) = self.discriminate_batches(fake)
            return {"game": losses.generator_loss(self.options.game, on_fake.logit_given(labels))}
        with torch.no_grad():
            fake = self.generator(latents, labels)
        on_real, on_fake = self.discriminate_batches(inputs.real, fake)
        logits = on_real.logit_given(inputs.require_labels()), on_fake.logit_given(labels)
        return {"game": losses.discriminator_loss(self.options.game, *logits)}
