"""A classifier of rotations without an adversary: SSGAN's "rotation only", and MSGAN's experiment on collapse.

With x real, T_r the rotation by r times 90 degrees and C the class head, `rotation_classifier` has four classes:

    L = mean over r of CE(C(T_r x), r)

It is the row "Rot-only" of Table 3 of Chen et al., CVPR 2019, and the classifier of figure 3a and b of Tran et al.,
"Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019, section 4. There the images
of all classes stand for a good generator and those of one class for a collapsed one.

`rotation_classifier_ms` has a fifth class for the images x' of such a generator (Eq. 8), for figure 3c:

    L = mean over r of CE(C(T_r x), r) + mean over r of CE(C(T_r x'), 4)

Here x' are the images of the batch that the generator could have made: all, or those of `fake_class`. The fifth class
thus learns from training images, one classifier for each generator. The paper does not state this (MS-21).
"""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.common import method, transformations
from baselines.common.classifier import ClassifierMethod
from baselines.methods.msgan import FAKE

PAPER = "arXiv 1911.06997v2"


class RotationClassifierOptions(method.Options):
    """`batches`: which images are rotated (SS-01)."""

    batches: transformations.BatchRecipe = Field(
        default="each_one_way", description="ours: every image of the batch once, as a quarter of each_four_ways"
    )


class RotationClassifier(ClassifierMethod):
    """CE(rotation | real) with a four-way head."""

    title = "Rotation classifier"
    paper = "Chen et al., Self-Supervised GANs via Auxiliary Rotation Loss"
    year = 2019
    about = "the discriminator of SSGAN on the rotation task alone, without an adversary"
    Options: ClassVar[type[RotationClassifierOptions]] = RotationClassifierOptions
    task_classes = transformations.SIZE
    has_binary_head = False
    has_rotation_head = True

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """Some batch recipes need a batch size that is divisible by four."""
        del num_classes
        recipe = options.get("batches", cls.Options.model_fields["batches"].default)
        return transformations.check_batch_size(recipe, batch_size)

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The rotation loss on real images."""
        del player
        rotated = self.transformations.batch(self.options.batches, inputs.real, inputs.rng)
        (output,) = self.discriminate_batches(rotated.samples)
        return {"rotation": cross_entropy(output.class_logits, rotated.labels)}

    def rotation_logits(self, images: Tensor) -> Tensor:
        """The first four class logits."""
        return transformations.real_class_logits(self.discriminate(images).class_logits)


class MultiClassRotationOptions(RotationClassifierOptions):
    """`fake_class`: the class that the collapsed generator makes; null for a good one, which makes all classes."""

    fake_class: int | None = Field(
        default=None, strict=True, ge=0, description=f"{PAPER}, figure 3: the full test set, or one class"
    )


class MultiClassRotationClassifier(RotationClassifier):
    """CE(rotation | real) + CE(fifth class | images of a simulated generator)."""

    title = "Rotation classifier + MS"
    paper = "Tran et al., Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game"
    year = 2019
    about = "a rotation classifier with MSGAN's fifth class, trained on real images of all classes or of one"
    Options = MultiClassRotationOptions
    task_classes = FAKE + 1

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """All labels, if the generator is collapsed to a class."""
        return 0.0 if options.get("fake_class") is None else 1.0

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """The class must exist."""
        fake_class = options.get("fake_class")
        if fake_class is not None and 0 < num_classes <= fake_class:
            return f"fake_class is {fake_class}, and the dataset has classes 0 to {num_classes - 1}"
        return super().check_config(options, batch_size)

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The rotation loss on real images, and the loss of the fifth class on those that the generator makes."""
        del player
        marks = torch.ones(len(inputs.real), *[1] * (inputs.real.dim() - 1), device=inputs.real.device)
        if self.options.fake_class is not None:
            marks = (inputs.require_labels() == self.options.fake_class).float().view(marks.shape)
        # A mark is transformed with its sample, and is what then differs from a transformed 0.
        batches = (inputs.real, marks, torch.zeros_like(marks))
        rotated, marked, blank = self.transformations.alike(self.options.batches, batches, inputs.rng)
        (output,) = self.discriminate_batches(rotated.samples)
        fakes = (marked.samples != blank.samples).flatten().to(output.class_logits.dtype)
        as_fake = cross_entropy(output.class_logits, torch.full_like(rotated.labels, FAKE), reduction="none")
        return {
            "rotation": cross_entropy(output.class_logits, rotated.labels),
            "fake_class": (as_fake * fakes).sum() / fakes.sum().clamp(min=1),
        }
