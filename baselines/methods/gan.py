"""GAN: the unconditional game of a generator and a discriminator.

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, with the non-saturating generator loss of section 3; or
the hinge loss of Miyato et al., "Spectral Normalization for GANs", ICLR 2018, eqs. 16-17. `lambda_gp` adds the gradient
penalty of SSGAN's tables to L_D, with x real, x' fake and u uniform on [0, 1] for each image (compare_gan at 19922d3,
gans/penalty_lib.py, wgangp_penalty):

    lambda_gp mean (sqrt(1e-4 + |grad D(x + u (x' - x))|_2^2) - 1)^2
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

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
PENALTY_OFFSET = 1e-4  # compare_gan at 19922d3, gans/penalty_lib.py, wgangp_penalty


class GANOptions(method.Options):
    """`game`: the adversarial loss."""

    game: losses.GameName = Field(default="non_saturating", description="Goodfellow et al. 2014, section 3")


class PenalisedGANOptions(GANOptions):
    """`lambda_gp`: weight of the gradient penalty; 0 for none. It is defined per image: use no batch norm in D."""

    lambda_gp: float = Field(
        default=0.0,
        strict=True,
        ge=0,
        allow_inf_nan=False,
        description="google/compare_gan@19922d3 gans/penalty_lib.py, no_penalty",
    )


class GAN(method.Method):
    """min_D game_D(D(x), D(G(z))); min_G game_G(D(G(z)))."""

    title = "GAN"
    paper = "Goodfellow et al., Generative Adversarial Nets"
    year = 2014
    about = "the plain GAN, non-saturating or hinge"
    Options: ClassVar[type[GANOptions]] = PenalisedGANOptions

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The adversarial loss, plus the gradient penalty and the loss of a subclass's self-supervised task."""
        latents = self.latents(len(inputs.real), inputs.rng)
        penalty = {}
        if player == "discriminator":
            with torch.no_grad():
                fake = self.generator(latents)
            penalty = self.penalty(inputs, fake)
            task = self.discriminator_task(inputs, fake)
            on_real, on_fake, *on_task = self.discriminate_batches(inputs.real, fake, *task.images)
            game = losses.discriminator_loss(self.options.game, on_real.logit, on_fake.logit)
        else:
            fake = self.generator(latents)
            task = self.generator_task(inputs, fake)
            on_fake, *on_task = self.discriminate_batches(fake, *task.images)
            game = losses.generator_loss(self.options.game, on_fake.logit)
        return {"game": game} | penalty | task.loss(*(output.class_logits for output in on_task))

    def penalty(self, inputs: method.StepInputs, fake: Tensor) -> dict[str, Tensor]:
        """lambda_gp mean (sqrt(1e-4 + |gradient|_2^2) - 1)^2; nothing if the weight is 0 or there is no such option."""
        options = self.options
        if not isinstance(options, PenalisedGANOptions) or not options.lambda_gp:
            return {}
        norms = losses.gradient_norms(self.discriminate, inputs.real, fake, inputs.rng, offset=PENALTY_OFFSET)
        return {"penalty": options.lambda_gp * (norms - 1).square().mean()}

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """The task of the class head in the discriminator's loss; `fake` are N images without a gradient."""
        del inputs, fake
        return NO_TASK

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """The task of the class head in the generator's loss; `fake` are N images."""
        del inputs, fake
        return NO_TASK
