"""A classifier that is trained on one-versus-rest tasks, one after the other: SSGAN's experiment on forgetting.

Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019, section 2 and figure 3. Update t trains the
task k(t): is the image x with label y of class k?

    k(t) = floor(t / 1000) mod 10
    L = BCE(D(x), [y = k(t)]) + rotation_weight CE(C(rotated x), rotation)

D is the same head for all tasks, as a discriminator's is for all generators that it meets. That and all other constants
but the 1,000 updates are assumptions (SS-11). With `rotation_weight` 0 there is no rotation head.
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from baselines.common import method, transformations
from baselines.common.classifier import ClassifierMethod
from baselines.networks.base import Network

PAPER = "arXiv 1811.11212v2"


class OneVsAllOptions(method.Options):
    """`updates_per_task`: after so many the next class's task begins. `batches`: which images are rotated (SS-01)."""

    updates_per_task: int = Field(default=1000, strict=True, ge=1, description=f"{PAPER}, section 2, figure 3")
    rotation_weight: float = Field(
        default=0.0, strict=True, ge=0, allow_inf_nan=False, description=f"{PAPER}, figure 3a; 3b states no weight"
    )
    batches: transformations.BatchRecipe = Field(
        default="quarter_four_ways", description=f"ours: as SSGAN, {PAPER}, 16 of 64 images (SS-11)"
    )


class OneVsAll(ClassifierMethod):
    """One binary head whose task changes, and a rotation head beside it.

    Attributes:
        updates: scalar int64, the number of updates done. The task follows from this number, which is exact, is saved
            with the method, and counts in the replays of a captured update too.
    """

    title = "1-vs-all classifier"
    paper = "Chen et al., Self-Supervised GANs via Auxiliary Rotation Loss"
    year = 2019
    about = "a classifier without a GAN, on 1-vs-all tasks in turn, with the rotation loss or without"
    Options = OneVsAllOptions
    has_sequential_tasks = True
    updates: Tensor

    def __init__(self, network: Network, distribution: str, options: Any, num_classes: int = 0) -> None:
        super().__init__(network, distribution, options, num_classes)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def class_head_size(self) -> int:
        """Four with the rotation loss, else 0."""
        return transformations.SIZE if self.options.rotation_weight else 0

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """All labels are used."""
        del options
        return 1.0

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """There must be two classes, and some batch recipes need a batch size that is divisible by four."""
        if num_classes == 1:
            return "the dataset has a single class, and the task is to tell each class from all others"
        if not options.get("rotation_weight"):
            return None
        recipe = options.get("batches", cls.Options.model_fields["batches"].default)
        return transformations.check_batch_size(recipe, batch_size)

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The binary loss of the current task, plus the rotation loss."""
        del player
        task = self.updates // self.options.updates_per_task % self.num_classes
        target = inputs.require_labels() == task
        weight = self.options.rotation_weight
        if not weight:
            (output,) = self.discriminate_batches(inputs.real)
            return {"task": binary_cross_entropy_with_logits(output.logit, target.to(output.logit.dtype))}
        rotated = self.transformations.batch(self.options.batches, inputs.real, inputs.rng)
        output, on_rotated = self.discriminate_batches(inputs.real, rotated.samples)
        return {
            "task": binary_cross_entropy_with_logits(output.logit, target.to(output.logit.dtype)),
            "rotation": weight * cross_entropy(on_rotated.class_logits, rotated.labels),
        }

    def after_update(self, player: str) -> None:
        """Count the update."""
        del player
        self.updates.add_(1)

    def sequential_tasks(self) -> tuple[int, int]:
        """The classes of the tasks of the last update and of the next one; they differ at a switch only."""
        done = int(self.updates)
        last, following = (t // self.options.updates_per_task % self.num_classes for t in (max(done - 1, 0), done))
        return last, following
