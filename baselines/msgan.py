"""MSGAN on the standard base: rotation becomes a minimax game with a fifth class, "fake".

Tran et al., "Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019.
The authors never released this task on the standard GAN (MS-16). What is released is its re-implementation
in the code of SSGAN-LA (houliangict/ssgan-la at 43c307e, train_fns.py:45-64 and :109-120), followed here:

    L_D = game_D + weight_d (CE(turned real, r) + CE(turned fake, 5th class))
    L_G = game_G + weight_g (CE(turned fake, r) - CE(turned fake, 5th class))

The authors' own release, on Dist-GAN, trains the fifth class on upright fakes and gives G another loss
(MS-05); it is `dist_gan_ms`.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines import rotations
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

    def fake_error(self, images: Tensor) -> Tensor:
        """CE(C(turned images), fifth class)."""
        turned = rotations.RECIPES[self.options.batches](images)
        return cross_entropy(self.judge(turned.images).classes, torch.full_like(turned.labels, FAKE))

    def discriminator_task(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """weight_d (CE(turned real, r) + CE(turned fake, 5th class))."""
        weight = self.options.weight_d
        return {"rotation": weight * self.rotation_error(real), "fake_class": weight * self.fake_error(fake)}

    def generator_task(self, fake: Tensor) -> dict[str, Tensor]:
        """weight_g (CE(turned fake, r) - CE(turned fake, 5th class)), from one look at the fakes."""
        turned = rotations.RECIPES[self.options.batches](fake)
        classes = self.judge(turned.images).classes
        weight = self.options.weight_g
        return {
            "rotation": weight * cross_entropy(classes, turned.labels),
            "fake_class": -weight * cross_entropy(classes, torch.full_like(turned.labels, FAKE)),
        }
