"""DAGAN and DAGAN-MD: the plain GAN on rotated images, the baselines that SSGAN-LA is compared with.

Hou et al., "Self-Supervised GANs with Label Augmentation", NeurIPS 2021; houliangict/ssgan-la at 43c307e,
train_fns.py:47-55 and :111-114. T_r rotates by r times 90 degrees, D is the real/fake logit, D_r one of four:

    DAGAN      L_D = game_D(D(T_r(x)), D(T_r(G(z))))        L_G = game_G(D(T_r(G(z))))
    DAGAN-MD   the same with D_r instead of D: a separate real/fake logit for each rotation

The code uses the hinge loss. Its CIFAR-10 scripts use every image in all four rotations (`--all_T`).
"""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.common import losses, method, transformations
from baselines.networks.base import DiscriminatorOutput, Network, drop_adversarial_head

CODE = "houliangict/ssgan-la@43c307e"


class DAGANOptions(method.Options):
    """`game`: the adversarial loss. `batches`: which images are rotated, real and fake alike."""

    game: losses.GameName = Field(default="hinge", description=f"{CODE} train_fns.py:47-55, :111-114")
    batches: transformations.WholeBatchRecipe = Field(
        default="each_four_ways", description=f"{CODE} CIFAR-10 scripts: all_T (LA-01)"
    )


class DAGAN(method.Method):
    """One real/fake logit for images in any rotation."""

    title = "DAGAN"
    paper = "Hou et al., Self-Supervised GANs with Label Augmentation"
    year = 2021
    about = "GAN with rotation of real and fake images as data augmentation"
    Options: ClassVar[type[method.Options]] = DAGANOptions

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """`each_one_way` needs a batch size that is divisible by four."""
        del num_classes
        recipe = options.get("batches", cls.Options.model_fields["batches"].default)
        return transformations.check_batch_size(recipe, batch_size)

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The adversarial loss on rotated images."""
        latents = self.latents(len(inputs.real), inputs.rng)
        recipe, game = self.options.batches, self.options.game
        if player == "generator":
            fake = self.transformations.batch(recipe, self.generator(latents), inputs.rng)
            (on_fake,) = self.discriminate_batches(fake.samples)
            return {"game": losses.generator_loss(game, self.logit(on_fake, fake.labels))}
        with torch.no_grad():
            fake = self.transformations.batch(recipe, self.generator(latents), inputs.rng)
        real = self.transformations.batch(recipe, inputs.real, inputs.rng)
        on_real, on_fake = self.discriminate_batches(real.samples, fake.samples)
        logits = self.logit(on_real, real.labels), self.logit(on_fake, fake.labels)
        return {"game": losses.discriminator_loss(game, *logits)}

    def logit(self, output: DiscriminatorOutput, rotation: Tensor) -> Tensor:
        """(N,) real/fake logits of images in the (N,) rotations."""
        del rotation
        return output.logit


class DAGANMD(DAGAN):
    """One real/fake logit per rotation, on the class head; the usual real/fake head is not used.

    It has no rotation head: D_r sees only images in rotation r, so the scores of different rotations of an image are
    not comparable.
    """

    title = "DAGAN-MD"
    about = "GAN on rotated images with a separate real/fake logit for each rotation"
    task_classes = transformations.SIZE

    def build_discriminator(self, network: Network) -> nn.Module:
        """A discriminator without a real/fake head."""
        return drop_adversarial_head(super().build_discriminator(network))

    def logit(self, output: DiscriminatorOutput, rotation: Tensor) -> Tensor:
        """D_r of images in rotation r."""
        return output.class_logits.gather(1, rotation.unsqueeze(1)).squeeze(1)
