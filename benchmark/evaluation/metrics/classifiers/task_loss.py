"""The generator's loss of a self-supervised task, where real images stand for those of a generator.

Source: Tran et al., "Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019,
section 4 and figure 3. All held-out images stand for a good generator, those of one class for a generator that has
collapsed to this class. With C the class head, T_r the rotation by r times 90 degrees and x the generator's images, the
loss that it minimises is

    SS   mean over x and r of CE(C(T_r x), r)
    MS   mean over x and r of CE(C(T_r x), r) - CE(C(T_r x), 4)        (Eq. 9; class 4 is "fake")

For one classifier the loss of all images is the mean over the classes, weighted by their numbers of images, so some
class alone always has a loss that is not larger. A comparison says more if each generator has a classifier of its own.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import log_softmax

from baselines.common.transformations import ROTATIONS
from benchmark.core.spec import PositiveInt
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.reference import CHUNK, labelled_indices
from benchmark.evaluation.metrics.base import (
    EvaluatedDiscriminator,
    HeldOutMetric,
    MetricOptions,
    Output,
    image_count,
)
from benchmark.evaluation.metrics.classifiers.held_out import missing_classes

if TYPE_CHECKING:
    from baselines.common.method import Method

FAKE = ROTATIONS.size


class TaskLossOptions(MetricOptions):
    """The first `n_test` labelled images of a fixed shuffle of the held-out ones, or all; and the number of classes.

    `generator_class`: the class that the generator makes whose loss is the first output; null for all classes.
    """

    n_test: PositiveInt | None = Field(default=None, description="arXiv 1911.06997v2, figure 3: the full test set")
    classes: PositiveInt = Field(default=10, description="arXiv 1911.06997v2, figure 3: CIFAR-10")
    generator_class: Annotated[int, Field(strict=True, ge=0)] | None = Field(
        default=None, description="arXiv 1911.06997v2, figure 3: a good generator makes all classes"
    )


class SSTaskLoss(HeldOutMetric):
    """The loss of the rotation task, over all images and over those of each class."""

    name = "ss_task_loss"
    about = "the generator's loss of the rotation task (SS) if real images stand for generated ones, in nats"
    Options: ClassVar[type[MetricOptions]] = TaskLossOptions
    title: ClassVar[str] = "SS loss"
    minimum: ClassVar[float] = 0.0

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The loss of the generator's images, and that of each class."""
        titles = {cls.name: cls.title} | {
            f"{cls.name}_class{k}": f"{cls.title}, class {k} alone" for k in range(options.classes)
        }
        return tuple(
            Output(key=key, title=title, better="lower", decimals=3, minimum=cls.minimum)
            for key, title in titles.items()
        )

    @classmethod
    def class_outputs(cls, options: Any) -> dict[str, tuple[str, ...]]:
        """The loss of the generator -> those of each class."""
        key, *classes = (output.key for output in cls.outputs(options))
        return {key: tuple(classes)}

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """What is measured, and on how many images."""
        del n_fake
        images = f"{image_count(options.n_test)} held-out images"
        if options.generator_class is not None:
            images = f"those of {images} that are of class {options.generator_class}"
        return f"{cls.about}, on {images}, and on those of each class"

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What an average of losses implies."""
        del options, n_fake
        return {
            "Task losses": "all held-out images stand for a good generator, those of one class for a collapsed one. For"
            " one classifier the loss of all images is the weighted mean over the classes, so some class alone always"
            " has a loss that is not larger."
        }

    @classmethod
    def supports(cls, method: "type[Method]") -> bool:
        """The discriminator needs a rotation head."""
        return method.has_rotation_head

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """The stored images must be the training images, square, and have classes."""
        del n_fake
        if dataset.is_points:
            return f"'{cls.name}' rotates images, and {dataset.name} holds points"
        if dataset.shape[1] != dataset.shape[2]:
            return f"'{cls.name}' rotates images, and those of {dataset.name} are not square"
        if dataset.stacked > 1 or not dataset.num_classes():
            return f"'{cls.name}' needs images of a few classes, and {dataset.name} has none"
        if 0 < dataset.num_classes() != options.classes:
            return f"classes is {options.classes}, and {dataset.name} has {dataset.num_classes()}"
        if options.generator_class is not None and options.generator_class >= options.classes:
            return f"generator_class is {options.generator_class}, and the last class is {options.classes - 1}"
        return None

    @classmethod
    def check_data(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """Every class must be among the held-out images."""
        return missing_classes(cls.name, options.n_test, range(options.classes), dataset, prepared.test)

    def __init__(self, options: Any, dataset: type[Dataset], prepared: PreparedData) -> None:
        del dataset
        self.test, self.classes, self.generator_class = prepared.test, options.classes, options.generator_class
        self.indices = labelled_indices(prepared.test, options.n_test)
        self.values: dict[str, float] = {}

    def update(self, discriminator: EvaluatedDiscriminator) -> None:
        """Compute the loss of every image, and its means."""
        losses = torch.cat(list(self._losses(discriminator)))
        labels = torch.from_numpy(self.test.labels[self.indices])
        of_class = [float(losses[labels == k].mean()) for k in range(self.classes)]
        generated = float(losses.mean()) if self.generator_class is None else of_class[self.generator_class]
        self.values = {self.name: generated} | {f"{self.name}_class{k}": loss for k, loss in enumerate(of_class)}

    def compute(self) -> dict[str, float]:
        """The losses in nats; not finite where some logits are not."""
        if not self.values:
            raise ValueError("no images to measure")
        return dict(self.values)

    def _losses(self, discriminator: EvaluatedDiscriminator) -> Iterator[Tensor]:
        """(m,) float64 losses of each chunk of images, the mean over their rotations."""
        for start in range(0, len(self.indices), CHUNK):
            images = torch.from_numpy(self.test.images[self.indices[start : start + CHUNK]])
            rotated = [ROTATIONS.apply(images, r) for r in range(ROTATIONS.size)]
            losses = [self.loss(discriminator, batch, r) for r, batch in enumerate(rotated)]
            yield torch.stack(losses).mean(0).cpu()

    def loss(self, discriminator: EvaluatedDiscriminator, images: Tensor, rotation: int) -> Tensor:
        """(N,) float64 losses of uint8 (N, C, S, S) images that are rotated by `rotation` times 90 degrees."""
        return -log_softmax(discriminator.rotation_logits(images).double(), 1)[:, rotation]


class MSTaskLoss(SSTaskLoss):
    """The loss of the multi-class minimax task, over all images and over those of each class."""

    name = "ms_task_loss"
    about = "the generator's loss of the multi-class minimax task (MS) if real images stand for generated ones, in nats"
    title = "MS loss"
    minimum = float("-inf")

    @classmethod
    def supports(cls, method: "type[Method]") -> bool:
        """The class head needs the class "fake" beside the four rotations."""
        return method.has_rotation_head and method.task_classes == FAKE + 1

    def loss(self, discriminator: EvaluatedDiscriminator, images: Tensor, rotation: int) -> Tensor:
        """(N,) float64 losses of uint8 (N, C, S, S) images that are rotated by `rotation` times 90 degrees.

        CE(s, r) - CE(s, 4) = s_4 - s_r for class logits s.
        """
        logits = discriminator.discriminate(images).class_logits.double()
        return logits[:, FAKE] - logits[:, rotation]
