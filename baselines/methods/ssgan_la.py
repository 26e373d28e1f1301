"""SSGAN-LA and SSGAN-LA+: the discriminator predicts rotation and origin of an image jointly.

Hou et al., "Self-Supervised GANs with Label Augmentation", NeurIPS 2021; houliangict/ssgan-la at 43c307e,
train_fns.py:65-79 and :121-131, losses.py:36-58. With T rotations there are 2T classes: a real image in rotation r
has class 2r, a fake one class 2r + 1. s are the 2T scores of an image, e is the loss of a class:

    L_D = e(rotated real, 2r) + e(rotated fake, 2r + 1)        L_G = e(rotated fake, 2r) - e(rotated fake, 2r + 1)

    cross_entropy   e(s, y) = -log softmax(s)_y
    multi_hinge     D: e(s, y) = mean over j != y of max(0, 1 - s_y + s_j);   G: mean over j != y of s_j - s_y

SSGAN-LA drops the usual adversarial loss (:79, :131); SSGAN-LA+ keeps it and adds weight_d L_D and weight_g L_G. The
form differs between the scripts of different datasets (LA-04); the defaults are those of the CIFAR-10 scripts. There
SSGAN-LA's discriminator has four times the work of SSGAN's (LA-01): `batches: each_four_ways` and twice as many
discriminator steps.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from baselines.common import losses, method, transformations
from baselines.common.transformations import TransformedBatch
from baselines.methods.gan import GANOptions, Task
from baselines.methods.ssgan import SSGAN
from baselines.networks.base import Network, drop_adversarial_head

CODE = "houliangict/ssgan-la@43c307e"
SCRIPT = f"{CODE} CIFAR-10 script"

FormName = Literal["multi_hinge", "cross_entropy"]
ClassLoss = Callable[[Tensor, Tensor], Tensor]


def multi_hinge(scores: Tensor, classes: Tensor) -> Tensor:
    """mean over j != y of max(0, 1 - s_y + s_j), for (N, 2T) scores and (N,) classes y (losses.py:36-58)."""
    own = classes.unsqueeze(1)
    others = relu(1 - scores.gather(1, own) + scores).scatter(1, own, 0.0)
    return others.sum(1).mean() / (scores.shape[1] - 1)


def margin(scores: Tensor, classes: Tensor) -> Tensor:
    """mean over j != y of s_j - s_y, for (N, 2T) scores and (N,) classes y (losses.py:36-58)."""
    others = (scores - scores.gather(1, classes.unsqueeze(1))).sum(1)  # j = y adds nothing
    return others.mean() / (scores.shape[1] - 1)


DISCRIMINATOR_LOSS: dict[str, ClassLoss] = {"multi_hinge": multi_hinge, "cross_entropy": cross_entropy}
GENERATOR_LOSS: dict[str, ClassLoss] = {"multi_hinge": margin, "cross_entropy": cross_entropy}


def discriminator_task(form: str, weight: float, real: TransformedBatch, fake: TransformedBatch) -> Task:
    """weight (e(rotated real, 2r) + e(rotated fake, 2r + 1))."""
    class_loss = DISCRIMINATOR_LOSS[form]
    return Task(
        (real.samples, fake.samples),
        lambda on_real, on_fake: {
            "joint_real": weight * class_loss(on_real, 2 * real.labels),
            "joint_fake": weight * class_loss(on_fake, 2 * fake.labels + 1),
        },
    )


def generator_task(form: str, weight: float, fake: TransformedBatch) -> Task:
    """weight (e(rotated fake, 2r) - e(rotated fake, 2r + 1))."""
    class_loss = GENERATOR_LOSS[form]
    return Task(
        (fake.samples,),
        lambda scores: {
            "joint_real": weight * class_loss(scores, 2 * fake.labels),
            "joint_fake": -weight * class_loss(scores, 2 * fake.labels + 1),
        },
    )


class SSGANLAOptions(method.Options):
    """Defaults of the CIFAR-10 script: multi-hinge, every image in all four rotations."""

    form: FormName = Field(default="multi_hinge", description=f"{SCRIPT}, losses.py:36-58 (LA-04)")
    batches: transformations.WholeBatchRecipe = Field(default="each_four_ways", description=f"{SCRIPT}: all_T (LA-01)")


class SSGANLA(method.Method):
    """The eight-way task alone, on the class head; the usual real/fake head is not used."""

    title = "SSGAN-LA"
    paper = "Hou et al., Self-Supervised GANs with Label Augmentation"
    year = 2021
    about = "eight joint classes of rotation and real/fake, in place of the real/fake loss"
    Options: ClassVar[type[method.Options]] = SSGANLAOptions
    task_classes = 2 * transformations.SIZE
    has_rotation_head = True

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """`each_one_way` needs a batch size that is divisible by four."""
        del num_classes
        recipe = options.get("batches", cls.Options.model_fields["batches"].default)
        return transformations.check_batch_size(recipe, batch_size)

    def build_discriminator(self, network: Network) -> nn.Module:
        """A discriminator without a real/fake head."""
        return drop_adversarial_head(super().build_discriminator(network))

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """L_D or L_G."""
        latents = self.latents(len(inputs.real), inputs.rng)
        form, recipe = self.options.form, self.options.batches
        if player == "discriminator":
            with torch.no_grad():
                fake = self.transformations.batch(recipe, self.generator(latents), inputs.rng)
            task = discriminator_task(form, 1.0, self.transformations.batch(recipe, inputs.real, inputs.rng), fake)
        else:
            task = generator_task(form, 1.0, self.transformations.batch(recipe, self.generator(latents), inputs.rng))
        return task.loss(*(output.class_logits for output in self.discriminate_batches(*task.images)))

    def rotation_logits(self, images: Tensor) -> Tensor:
        """The scores of the four classes of real images."""
        return transformations.joint_class_logits(self.discriminate(images).class_logits)


class SSGANLAPlusOptions(GANOptions):
    """Defaults of the CIFAR-10 script: hinge loss, cross-entropy, each image rotated once, both weights 1."""

    game: losses.GameName = Field(default="hinge", description=SCRIPT)
    form: FormName = Field(default="cross_entropy", description=f"{SCRIPT} (LA-04)")
    batches: transformations.WholeBatchRecipe = Field(default="each_one_way", description=f"{SCRIPT}: no all_T")
    weight_d: float = Field(default=1.0, strict=True, ge=0, allow_inf_nan=False, description=f"{SCRIPT}: d 1")
    weight_g: float = Field(default=1.0, strict=True, ge=0, allow_inf_nan=False, description=f"{SCRIPT}: g 1")


class SSGANLAPlus(SSGAN):
    """The adversarial loss on upright images, and the eight-way task."""

    title = "SSGAN-LA+"
    paper = SSGANLA.paper
    year = 2021
    about = "GAN + the eight joint classes of SSGAN-LA"
    Options = SSGANLAPlusOptions
    task_classes = 2 * transformations.SIZE

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_d (e(rotated real, 2r) + e(rotated fake, 2r + 1))."""
        rotated_real, rotated_fake = self.transformed(inputs.real, inputs.rng), self.transformed(fake, inputs.rng)
        return discriminator_task(self.options.form, self.options.weight_d, rotated_real, rotated_fake)

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_g (e(rotated fake, 2r) - e(rotated fake, 2r + 1))."""
        return generator_task(self.options.form, self.options.weight_g, self.transformed(fake, inputs.rng))

    def rotation_logits(self, images: Tensor) -> Tensor:
        """The scores of the four classes of real images."""
        return transformations.joint_class_logits(self.discriminate(images).class_logits)
