"""MSGAN on the standard base: rotation becomes a minimax game with a fifth class, "fake".

Tran et al., "Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019.
The authors never released this task on the standard GAN (MS-16). What is released is its re-implementation
in the code of SSGAN-LA (houliangict/ssgan-la at 43c307e, train_fns.py:45-64 and :109-120), followed here:

    L_D = game_D + weight_d (CE(turned real, r) + CE(turned fake, 5th class))
    L_G = game_G + weight_g (CE(turned fake, r) - CE(turned fake, 5th class))

That code plays the hinge game; `game` is a switch, as everywhere. The authors' own release, on Dist-GAN, trains
the fifth class on upright fakes and gives G another loss (MS-05); it is `dist_gan_ms`.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines import base, rotations
from baselines.gan import Task
from baselines.ssgan import SSGAN, SSGANOptions

FAKE = rotations.TURNS


class MSGANOptions(SSGANOptions):
    """As SSGAN's; the released batches are quarters (SSGAN-LA scripts/*.sh: d 1.0, g 0.2, no all_T)."""

    batches: rotations.BatchRecipe = "quarters"


class MSGAN(SSGAN):
    """GAN + multi-class minimax task with a five-way head."""

    title = "MSGAN"
    paper = "Tran et al., Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game"
    year = 2019
    about = "GAN + multi-class minimax task: four turns of real images against a fifth class for fakes"
    Options = MSGANOptions
    classes = rotations.TURNS + 1

    def discriminator_task(self, turn: base.Turn, fake: Tensor) -> Task:
        """weight_d (CE(turned real, r) + CE(turned fake, 5th class))."""
        weight = self.options.weight_d
        turned_real, turned_fake = self.turned(turn.real, turn.rng), self.turned(fake, turn.rng)
        return Task(
            (turned_real.images, turned_fake.images),
            lambda of_real, of_fake: {
                "rotation": weight * cross_entropy(of_real, turned_real.labels),
                "fake_class": weight * fake_error(of_fake),
            },
        )

    def generator_task(self, turn: base.Turn, fake: Tensor) -> Task:
        """weight_g (CE(turned fake, r) - CE(turned fake, 5th class))."""
        weight, turned = self.options.weight_g, self.turned(fake, turn.rng)
        return Task(
            (turned.images,),
            lambda classes: {
                "rotation": weight * cross_entropy(classes, turned.labels),
                "fake_class": -weight * fake_error(classes),
            },
        )


def fake_error(classes: Tensor) -> Tensor:
    """CE of (N, 5) logits with the fifth class."""
    return cross_entropy(classes, torch.full((len(classes),), FAKE, device=classes.device))
