"""GAN: the plain game of a generator and a discriminator.

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014: the non-saturating form of section 3; or the
hinge form of Miyato et al., "Spectral Normalization for GANs", ICLR 2018, eqs. 16-17.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from baselines.common import losses, method


class Task(NamedTuple):
    """Batches for the class head, and what its logits on each of them cost, as named, weighted terms."""

    images: tuple[Tensor, ...]
    cost: Callable[..., dict[str, Tensor]]


NO_TASK = Task((), dict)


class GANOptions(method.Options):
    """`game`: the real/fake losses."""

    game: losses.GameName = Field(default="non_saturating", description="Goodfellow et al. 2014, section 3")


class GAN(method.Method):
    """min_D game_D(D(x), D(G(z))); min_G game_G(D(G(z)))."""

    title = "GAN"
    paper = "Goodfellow et al., Generative Adversarial Nets"
    year = 2014
    about = "the plain game, non-saturating or hinge"
    Options = GANOptions

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The game, and what a subclass's self-supervised task adds to it."""
        latents = self.latents(len(inputs.real), inputs.rng)
        if player == "discriminator":
            with torch.no_grad():
                fake = self.generator(latents)
            task = self.discriminator_task(inputs, fake)
            real_view, fake_view, *task_views = self.discriminate_batches(inputs.real, fake, *task.images)
            game = losses.discriminator(self.options.game, real_view.logit, fake_view.logit)
        else:
            fake = self.generator(latents)
            task = self.generator_task(inputs, fake)
            fake_view, *task_views = self.discriminate_batches(fake, *task.images)
            game = losses.generator(self.options.game, fake_view.logit)
        return {"game": game} | task.cost(*(view.class_logits for view in task_views))

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """What the self-supervised task asks of the discriminator's class head in its own turn."""
        del inputs, fake
        return NO_TASK

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """What the self-supervised task asks of the discriminator's class head in the generator's turn."""
        del inputs, fake
        return NO_TASK
