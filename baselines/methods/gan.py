"""GAN: the unconditional game of a generator and a discriminator.

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, with the non-saturating generator loss of section 3; or
the hinge loss of Miyato et al., "Spectral Normalization for GANs", ICLR 2018, eqs. 16-17.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from baselines.common import losses, method


class Task(NamedTuple):
    """A self-supervised task: batches for the class head, and its loss on them.

    `loss` takes the class logits of each batch and returns named, weighted terms.
    """

    images: tuple[Tensor, ...]
    loss: Callable[..., dict[str, Tensor]]


NO_TASK = Task((), dict)


class GANOptions(method.Options):
    """`game`: the adversarial loss."""

    game: losses.GameName = Field(default="non_saturating", description="Goodfellow et al. 2014, section 3")


class GAN(method.Method):
    """min_D game_D(D(x), D(G(z))); min_G game_G(D(G(z)))."""

    title = "GAN"
    paper = "Goodfellow et al., Generative Adversarial Nets"
    year = 2014
    about = "the plain GAN, non-saturating or hinge"
    Options = GANOptions

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The adversarial loss, plus the loss of a subclass's self-supervised task."""
        latents = self.latents(len(inputs.real), inputs.rng)
        if player == "discriminator":
            with torch.no_grad():
                fake = self.generator(latents)
            task = self.discriminator_task(inputs, fake)
            on_real, on_fake, *on_task = self.discriminate_batches(inputs.real, fake, *task.images)
            game = losses.discriminator_loss(self.options.game, on_real.logit, on_fake.logit)
        else:
            fake = self.generator(latents)
            task = self.generator_task(inputs, fake)
            on_fake, *on_task = self.discriminate_batches(fake, *task.images)
            game = losses.generator_loss(self.options.game, on_fake.logit)
        return {"game": game} | task.loss(*(output.class_logits for output in on_task))

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """The task of the class head in the discriminator's loss; `fake` are N images without a gradient."""
        del inputs, fake
        return NO_TASK

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """The task of the class head in the generator's loss; `fake` are N images."""
        del inputs, fake
        return NO_TASK
