"""DAGAN and DAGAN-MD: the plain game on turned images, the rivals that SSGAN-LA is measured against.

Hou et al., "Self-Supervised GANs with Label Augmentation", NeurIPS 2021; houliangict/ssgan-la at 43c307e,
train_fns.py:47-55 and :111-114. T_r turns by r times 90 degrees, D is the real/fake logit, D_r one of four:

    DAGAN      L_D = game_D(D(T_r(x)), D(T_r(G(z))))        L_G = game_G(D(T_r(G(z))))
    DAGAN-MD   the same with D_r for D: each turn has a real/fake logit of its own

That code plays the hinge game. Its CIFAR-10 scripts show every image in all four turns (`--all_T`).
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.common import losses, method, rotations
from baselines.networks.base import DiscriminatorOutput, Network, drop_adversarial_head

CODE = "houliangict/ssgan-la@43c307e"


class DAGANOptions(method.Options):
    """`game`: the real/fake losses. `batches`: which images are turned, real and fake alike."""

    game: losses.GameName = Field(default="hinge", description=f"{CODE} train_fns.py:47-55, :111-114")
    batches: Literal["quarters", "all_turns"] = Field(
        default="all_turns", description=f"{CODE} CIFAR-10 scripts: all_T (LA-01)"
    )


class DAGAN(method.Method):
    """One real/fake logit for images in any turn."""

    title = "DAGAN"
    paper = "Hou et al., Self-Supervised GANs with Label Augmentation"
    year = 2021
    about = "the plain game on turned images, real and fake, as data augmentation"
    Options: ClassVar[type[method.Options]] = DAGANOptions

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """Quarters divide the batch by the four turns."""
        del num_classes
        return rotations.check_batch_size(
            options.get("batches", cls.Options.model_fields["batches"].default), batch_size
        )

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The game on turned images."""
        latents = self.latents(len(inputs.real), inputs.rng)
        recipe, game = self.options.batches, self.options.game
        if player == "generator":
            fake = rotations.batch(recipe, self.generator(latents), inputs.rng)
            return {"game": losses.generator(game, self.score(self.discriminate(fake.images), fake.labels))}
        with torch.no_grad():
            fake = rotations.batch(recipe, self.generator(latents), inputs.rng)
        real = rotations.batch(recipe, inputs.real, inputs.rng)
        of_real, of_fake = self.discriminate_batches(real.images, fake.images)
        scores = self.score(of_real, real.labels), self.score(of_fake, fake.labels)
        return {"game": losses.discriminator(game, *scores)}

    def score(self, judgement: DiscriminatorOutput, turns: Tensor) -> Tensor:
        """(N,) real/fake logits of images turned `turns` times."""
        del turns
        return judgement.logit


class DAGANMD(DAGAN):
    """One real/fake logit per turn, on the class head; the usual real/fake head is not used.

    They name no rotations: D_r only ever sees images turned r times, so nothing makes it comparable with the others.
    """

    title = "DAGAN-MD"
    about = "the plain game on turned images with one real/fake logit for each turn"
    task_classes = rotations.NUM_ROTATIONS

    def build_discriminator(self, network: Network) -> nn.Module:
        """Without a real/fake head."""
        return drop_adversarial_head(super().build_discriminator(network))

    def score(self, judgement: DiscriminatorOutput, turns: Tensor) -> Tensor:
        """D_r of images turned r times."""
        return judgement.class_logits.gather(1, turns.unsqueeze(1)).squeeze(1)
