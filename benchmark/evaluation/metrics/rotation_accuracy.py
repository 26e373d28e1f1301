"""How often the discriminator names the rotation of held-out real images.

Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019, train a discriminator to name the four turns
of real images. Each held-out image is shown in all four, so that guessing is right in 25 %. How a method's head is read
is the method's own (`Method.rotation_logits`): always given that the image is real, so that heads which also name fakes
answer the same question. DAGAN-MD has a real/fake logit for each turn, which nothing makes comparable: it names none.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field

from baselines.common import rotations
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.reference import reference_images
from benchmark.evaluation.metrics.base import Count, Discriminator, DiscriminatorMetric, MetricOptions, Output

if TYPE_CHECKING:
    from baselines.common.method import Method


class RotationOptions(MetricOptions):
    """The first `n_test` of a fixed shuffle of the held-out images, or all; of stacks, as many as there are parts."""

    n_test: Count | None = Field(default=None, description="ours: all held-out images")


class RotationAccuracy(DiscriminatorMetric):
    """The share of right answers, in per cent."""

    name = "rotation_accuracy"
    about = "how often the discriminator names which of four ways a real image was turned"
    Options: ClassVar[type[MetricOptions]] = RotationOptions

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """In [0, 100]."""
        del options
        return (Output("rotation_accuracy", "rotation accuracy, %", "higher", 1, 0, 100),)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What guessing gives."""
        del options, n_fake
        return {
            "Rotation accuracy": "every held-out image is shown in all four turns, so guessing is right in 25 %. Only"
            " methods whose discriminator names rotations have one; it says nothing about generated images."
        }

    @classmethod
    def shrunk(cls, options: Any, samples: int) -> Any:
        """Fewer held-out images."""
        return options.model_copy(update={"n_test": min(options.n_test or samples, samples)})

    @classmethod
    def applies(cls, method: "type[Method]") -> bool:
        """Its discriminator has to name rotations."""
        return method.has_rotation_head

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """A quarter turn must leave the shape as it is."""
        del options, n_fake
        _, height, width = dataset.shape
        return None if height == width else f"'{cls.name}' turns images, and those of {dataset.name} are not square"

    @classmethod
    def lacking(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """As many held-out images as are asked for."""
        there = len(prepared.test.labels)
        if dataset.stacked > 1 or (options.n_test or 1) <= there:
            return None
        return f"n_test asks for {options.n_test or 1:,} held-out images, and {dataset.name} has {there:,}"

    def __init__(self, options: Any, dataset: type[Dataset], prepared: PreparedData) -> None:
        self.dataset, self.test = dataset, prepared.test
        self.n = options.n_test or len(prepared.test.labels)

    def value(self, discriminator: Discriminator) -> dict[str, float]:
        """Over all images in all turns; of equal logits the first counts."""
        right = 0
        for images in reference_images(self.test, self.dataset, self.n):
            for turns in range(rotations.NUM_ROTATIONS):
                logits = discriminator.rotation_logits(rotations.rotate(images, turns))
                if not bool(torch.isfinite(logits).all()):
                    return {"rotation_accuracy": float("nan")}
                right += int((logits.argmax(1) == turns).sum())
        return {"rotation_accuracy": 100 * right / (rotations.NUM_ROTATIONS * self.n)}
