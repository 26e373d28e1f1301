"""MSGAN on the standard base: rotation becomes a minimax game with a fifth class, "fake".

Tran et al., "Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019.
The authors never released this task on the standard GAN (MS-16). `variant: ssgan_la` is its re-implementation
in the code of SSGAN-LA (houliangict/ssgan-la at 43c307e, train_fns.py:45-64 and :109-120):

    L_D = game_D + weight_d (CE(turned real, r) + CE(turned fake, 5th class))
    L_G = game_G + weight_g (CE(turned fake, r) - CE(turned fake, 5th class))

`variant: released` is the task as the authors released it on Dist-GAN (tntrung/msgan at 8b8170f,
msdistgan.py:289-302, MS-05), here on the plain game; on Dist-GAN itself it is `dist_gan_ms`:

    L_D = game_D + weight_d CE(mixed, class)        mixed: N of 4N turned real and N upright fake images
    L_G = game_G + weight_g |CE(turned fake, r) - CE(turned real, r)|        the same N of 4N for either

SSGAN-LA's code plays the hinge game; `game` is a switch, as everywhere. The weights are those of its scripts; the
authors' own, for Dist-GAN, differ by dataset and network (msdistgan_cifar.py:93-122 and so on).
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.common import losses, method, rotations
from baselines.methods.gan import Task
from baselines.methods.ssgan import SSGAN, SSGANOptions

FAKE = rotations.NUM_ROTATIONS
SCRIPTS = "houliangict/ssgan-la@43c307e scripts"


class MSGANOptions(SSGANOptions):
    """As SSGAN's; the batches of `ssgan_la` are quarters (SSGAN-LA scripts/*.sh: d 1.0, g 0.2, no all_T).

    `variant`: whose task (MS-05). `released` draws its own batches.
    """

    game: losses.GameName = Field(
        default="non_saturating", description="ours, as for every method; its code plays hinge"
    )
    batches: rotations.BatchRecipe = Field(default="quarters", description=f"{SCRIPTS}: no all_T (SS-01)")
    weight_d: float = Field(default=1.0, strict=True, ge=0, allow_inf_nan=False, description=f"{SCRIPTS}: d 1.0")
    weight_g: float = Field(default=0.2, strict=True, ge=0, allow_inf_nan=False, description=f"{SCRIPTS}: g 0.2")
    variant: Literal["ssgan_la", "released"] = Field(
        default="ssgan_la", description="houliangict/ssgan-la@43c307e train_fns.py:45-64, :109-120 (MS-05, MS-16)"
    )


class MSGAN(SSGAN):
    """GAN + multi-class minimax task with a five-way head."""

    title = "MSGAN"
    paper = "Tran et al., Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game"
    year = 2019
    about = "GAN + multi-class minimax task: four turns of real images against a fifth class for fakes"
    Options = MSGANOptions
    task_classes = rotations.NUM_ROTATIONS + 1

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """`released` draws N of all candidates, so it takes any batch size and no batch recipe."""
        if options.get("variant") != "released":
            return super().check_config(options, batch_size, num_classes)
        if options.get("batches", "quarters") != "quarters":
            return f"variant 'released' draws its own batches; leave out batches: {options['batches']}"
        return None

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_d (CE(turned real, r) + CE(turned fake, 5th class)); released: weight_d CE(mixed, class)."""
        weight = self.options.weight_d
        if self.options.variant == "released":
            mixed = rotations.mixed_rotations(inputs.real, fake, inputs.rng)
            return Task((mixed.images,), lambda classes: {"task": weight * cross_entropy(classes, mixed.labels)})
        turned_real, turned_fake = self.rotated(inputs.real, inputs.rng), self.rotated(fake, inputs.rng)
        return Task(
            (turned_real.images, turned_fake.images),
            lambda of_real, of_fake: {
                "rotation": weight * cross_entropy(of_real, turned_real.labels),
                "fake_class": weight * fake_error(of_fake),
            },
        )

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_g (CE(turned fake, r) - CE(turned fake, 5th class)); released: weight_g |CE(fake) - CE(real)|."""
        weight = self.options.weight_g
        if self.options.variant == "released":
            turned_real, turned_fake = rotations.same_rotation(inputs.real, fake, inputs.rng)
            labels = turned_real.labels
            return Task(
                (turned_fake.images, turned_real.images),
                lambda of_fake, of_real: {
                    "task": weight * (cross_entropy(of_fake, labels) - cross_entropy(of_real, labels)).abs()
                },
            )
        turned = self.rotated(fake, inputs.rng)
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
