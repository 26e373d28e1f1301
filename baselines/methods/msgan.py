"""MSGAN: the rotation task becomes a multi-class minimax game with a fifth class, "fake".

Tran et al., "Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019 (equations of
arXiv 1911.06997v2). x is real, x' = G(z), T_r a rotation by r times 90 degrees, C the five class logits, CE(s, y) =
-log softmax(s)_y and gap(v) = CE(C(T_r(v)), r) - CE(C(T_r(v)), fake); all are means over a batch:

    L_D = game_D + weight_d task_D        L_G = game_G + weight_g task_G

    fake_class       task_D
    rotated          CE(C(T_r(x)), r) + CE(C(T_r(x')), fake)                the paper's Eq. 8
    upright          CE(C(m), class), m: N of 4N rotated x and N upright x'  the released code, msdistgan.py:289-302

    generator_loss   task_G
    eq9              gap(x')                                                the paper's Eq. 9
    eq34             |gap(x') - gap(x)|                                     the paper's implementation, by its Eq. 34
    released         |CE(C(T_r(x')), r) - CE(C(T_r(x)), r)|                 the released code, msdistgan.py:299-302

Eq. 8 with Eq. 9 is also what SSGAN-LA's code trains as `ssgan_ms` (houliangict/ssgan-la at 43c307e, train_fns.py:45-64
and :109-120). The released code (tntrung/msgan at 8b8170f) departs from both equations (MS-05): it is Eq. 34 without
the class "fake". It has the task on Dist-GAN only, here `dist_gan_ms`; its authors withdrew their code for the standard
GAN within a day, in a state that does not run (MS-16). So the default weights of `msgan` are those of SSGAN-LA's
scripts.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.common import losses, method, transformations
from baselines.common.random_streams import Rng
from baselines.common.transformations import BatchRecipe, TransformationSet
from baselines.methods.gan import NO_TASK, Task
from baselines.methods.ssgan import SSGAN, SSGANOptions

FAKE = transformations.SIZE
PAPER = "arXiv 1911.06997v2"
SSGAN_LA = "houliangict/ssgan-la@43c307e"
SCRIPTS = f"{SSGAN_LA} scripts"

GeneratorLoss = Literal["eq9", "eq34", "released"]
FakeClass = Literal["rotated", "upright"]


def class_gap(class_logits: Tensor, rotation: Tensor) -> Tensor:
    """Mean of CE(s, r) - CE(s, fake) over (N, 5) class logits s of images in (N,) rotations r."""
    return cross_entropy(class_logits, rotation) - fake_class_loss(class_logits)


def fake_class_loss(class_logits: Tensor) -> Tensor:
    """Mean cross-entropy of (N, 5) class logits with the fifth class, "fake"."""
    return cross_entropy(class_logits, torch.full((len(class_logits),), FAKE, device=class_logits.device))


def eq9(on_fake: Tensor, rotation: Tensor) -> Tensor:
    """Fakes should show their rotation and not look fake: gap(x') (Eq. 9)."""
    return class_gap(on_fake, rotation)


def eq34(on_fake: Tensor, on_real: Tensor, rotation: Tensor) -> Tensor:
    """Fakes should have the gap of real images: |gap(x') - gap(x)| (Eq. 34, appendix A.1, with its 1-norm)."""
    return (class_gap(on_fake, rotation) - class_gap(on_real, rotation)).abs()


def released(on_fake: Tensor, on_real: Tensor, rotation: Tensor) -> Tensor:
    """|CE(fake, r) - CE(real, r)| on (N, 4) or (N, 5) class logits (tntrung/msgan msdistgan.py:282-286, :299-302)."""
    return (cross_entropy(on_fake, rotation) - cross_entropy(on_real, rotation)).abs()


def discriminator_task(
    ways: TransformationSet,
    fake_class: FakeClass,
    weight: float,
    recipe: BatchRecipe,
    real: Tensor,
    fake: Tensor,
    rng: Rng,
) -> Task:
    """weight task_D; `recipe` transforms both batches alike if fakes are transformed."""
    if fake_class == "upright":
        mixed = ways.mixed(real, fake, rng)
        return Task((mixed.samples,), lambda logits: {"task": weight * cross_entropy(logits, mixed.labels)})
    rotated_real, rotated_fake = ways.alike(recipe, (real, fake), rng)
    return Task(
        (rotated_real.samples, rotated_fake.samples),
        lambda on_real, on_fake: {
            "rotation": weight * cross_entropy(on_real, rotated_real.labels),
            "fake_class": weight * fake_class_loss(on_fake),
        },
    )


def generator_task(
    ways: TransformationSet,
    form: GeneratorLoss,
    weight: float,
    recipe: BatchRecipe,
    real: Tensor,
    fake: Tensor,
    rng: Rng,
) -> Task:
    """weight task_G, on both batches transformed alike by `recipe`. A weight of 0 draws no random numbers."""
    if weight == 0:
        return NO_TASK
    if form == "eq9":
        rotated = ways.batch(recipe, fake, rng)
        return Task((rotated.samples,), lambda on_fake: {"task": weight * eq9(on_fake, rotated.labels)})
    loss = {"eq34": eq34, "released": released}[form]
    rotated_fake, rotated_real = ways.alike(recipe, (fake, real), rng)
    return Task(
        (rotated_fake.samples, rotated_real.samples),
        lambda on_fake, on_real: {"task": weight * loss(on_fake, on_real, rotated_real.labels)},
    )


class MSGANOptions(SSGANOptions):
    """The paper's task with the weights of SSGAN-LA's scripts.

    `batches`: which images are rotated; the discriminator's `upright` batch draws its own.
    `fake_class`: the discriminator's images of the class "fake". `generator_loss`: the generator's task.
    """

    game: losses.GameName = Field(
        default="non_saturating", description="ours, as for every method; SSGAN-LA's code plays hinge"
    )
    batches: BatchRecipe = Field(default="each_one_way", description=f"{SCRIPTS}: no all_T (SS-01)")
    weight_d: float = Field(default=1.0, strict=True, ge=0, allow_inf_nan=False, description=f"{SCRIPTS}: d 1.0")
    weight_g: float = Field(default=0.2, strict=True, ge=0, allow_inf_nan=False, description=f"{SCRIPTS}: g 0.2")
    fake_class: FakeClass = Field(
        default="rotated", description=f"{PAPER}, Eq. 8; {SSGAN_LA} train_fns.py:45-64 (MS-05, MS-16)"
    )
    generator_loss: GeneratorLoss = Field(
        default="eq9", description=f"{PAPER}, Eq. 9; {SSGAN_LA} train_fns.py:109-120 (MS-05, MS-16)"
    )


class MSGAN(SSGAN):
    """GAN + multi-class minimax task with a five-way head."""

    title = "MSGAN"
    paper = "Tran et al., Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game"
    year = 2019
    about = "GAN + multi-class minimax task: four rotations of real images and a fifth class for fakes"
    Options = MSGANOptions
    task_classes = transformations.SIZE + 1

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_d task_D."""
        o = self.options
        return discriminator_task(
            self.transformations, o.fake_class, o.weight_d, o.batches, inputs.real, fake, inputs.rng
        )

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_g task_G."""
        o = self.options
        return generator_task(
            self.transformations, o.generator_loss, o.weight_g, o.batches, inputs.real, fake, inputs.rng
        )
