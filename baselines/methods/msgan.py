"""MSGAN on the standard base: the rotation task becomes a minimax game with a fifth class, "fake".

Tran et al., "Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019.
The authors never released this task on the standard GAN (MS-16). `variant: ssgan_la` is its re-implementation
in the code of SSGAN-LA (houliangict/ssgan-la at 43c307e, train_fns.py:45-64 and :109-120):

    L_D = game_D + weight_d (CE(rotated real, r) + CE(rotated fake, 5th class))
    L_G = game_G + weight_g (CE(rotated fake, r) - CE(rotated fake, 5th class))

`variant: released` is the task that the authors released on Dist-GAN (tntrung/msgan at 8b8170f,
msdistgan.py:289-302, MS-05), applied to the plain GAN; on Dist-GAN itself it is `dist_gan_ms`:

    L_D = game_D + weight_d CE(mixed, class)        mixed: N of 4N rotated real and N upright fake images
    L_G = game_G + weight_g |CE(rotated fake, r) - CE(rotated real, r)|        the same N of 4N for both

SSGAN-LA's code uses the hinge loss; `game` is a switch, as for every method. The default weights are those of its
scripts; the authors' own weights, for Dist-GAN, differ by dataset and network (msdistgan_cifar.py:93-122 and others).
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
    """As SSGAN's. The batches of `ssgan_la` are quarters (SSGAN-LA scripts/*.sh: d 1.0, g 0.2, no all_T).

    `variant`: which released version of the task (MS-05). `released` samples its own batches.
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
    about = "GAN + multi-class minimax task: four rotations of real images and a fifth class for fakes"
    Options = MSGANOptions
    task_classes = rotations.NUM_ROTATIONS + 1

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """`released` samples N of all candidates, so it accepts any batch size and no batch recipe."""
        if options.get("variant") != "released":
            return super().check_config(options, batch_size, num_classes)
        if options.get("batches", "quarters") != "quarters":
            return f"variant 'released' samples its own batches; leave out batches: {options['batches']}"
        return None

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_d (CE(rotated real, r) + CE(rotated fake, 5th class)); released: weight_d CE(mixed, class)."""
        weight = self.options.weight_d
        if self.options.variant == "released":
            mixed = rotations.mixed_rotations(inputs.real, fake, inputs.rng)
            return Task((mixed.images,), lambda logits: {"task": weight * cross_entropy(logits, mixed.labels)})
        rotated_real, rotated_fake = self.rotated(inputs.real, inputs.rng), self.rotated(fake, inputs.rng)
        return Task(
            (rotated_real.images, rotated_fake.images),
            lambda on_real, on_fake: {
                "rotation": weight * cross_entropy(on_real, rotated_real.labels),
                "fake_class": weight * fake_class_loss(on_fake),
            },
        )

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_g (CE(rotated fake, r) - CE(rotated fake, 5th class)); released: weight_g |CE(fake) - CE(real)|."""
        weight = self.options.weight_g
        if self.options.variant == "released":
            rotated_real, rotated_fake = rotations.same_rotations(inputs.real, fake, inputs.rng)
            labels = rotated_real.labels
            return Task(
                (rotated_fake.images, rotated_real.images),
                lambda on_fake, on_real: {
                    "task": weight * (cross_entropy(on_fake, labels) - cross_entropy(on_real, labels)).abs()
                },
            )
        rotated = self.rotated(fake, inputs.rng)
        return Task(
            (rotated.images,),
            lambda logits: {
                "rotation": weight * cross_entropy(logits, rotated.labels),
                "fake_class": -weight * fake_class_loss(logits),
            },
        )


def fake_class_loss(class_logits: Tensor) -> Tensor:
    """Cross-entropy of (N, 5) class logits with the fifth class, "fake"."""
    return cross_entropy(class_logits, torch.full((len(class_logits),), FAKE, device=class_logits.device))
