"""How often the discriminator recognises the rotation of held-out real images.

Source: Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019, who train a discriminator to predict
the rotation of real images. Every held-out image is shown in all four rotations, so chance is 25 %. The method defines
how its head is read (`Method.rotation_logits`): always given that the image is real, so that heads which also classify
fakes answer the same question. DAGAN-MD has one real/fake logit per rotation; these are not comparable with each
other, so it has no rotation accuracy.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field

from baselines.common.transformations import ROTATIONS
from benchmark.core.spec import PositiveInt
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.reference import reference_images
from benchmark.evaluation.metrics.base import (
    EvaluatedDiscriminator,
    HeldOutMetric,
    MetricOptions,
    Output,
)

if TYPE_CHECKING:
    from baselines.common.method import Method


class RotationOptions(MetricOptions):
    """The first `n_test` of a fixed shuffle of the held-out images, or all; for stacks, as many as there are parts."""

    n_test: PositiveInt | None = Field(default=None, description="ours: all held-out images")


class RotationAccuracy(HeldOutMetric):
    """The share of correctly recognised rotations, in per cent."""

    name = "rotation_accuracy"
    about = "how often the discriminator recognises by which of four angles a real image is rotated"
    Options: ClassVar[type[MetricOptions]] = RotationOptions

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The accuracy in [0, 100]."""
        del options
        return (Output.percentage("rotation_accuracy", "rotation accuracy"),)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """The accuracy of guessing."""
        del options, n_fake
        return {
            "Rotation accuracy": "every held-out image is shown in all four rotations, so chance is 25 %. Only methods"
            " whose discriminator has a rotation head have one; it says nothing about generated images."
        }

    @classmethod
    def supports(cls, method: "type[Method]") -> bool:
        """The discriminator needs a rotation head."""
        return method.has_rotation_head

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """There must be images that keep their shape when they are rotated."""
        del options, n_fake
        if dataset.is_points:
            return f"'{cls.name}' rotates images, and {dataset.name} holds points"
        _, height, width = dataset.shape
        return None if height == width else f"'{cls.name}' rotates images, and those of {dataset.name} are not square"

    @classmethod
    def check_data(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """There must be `n_test` held-out images."""
        available = len(prepared.test.labels)
        if dataset.stacked > 1 or (options.n_test or 1) <= available:
            return None
        return f"n_test asks for {options.n_test or 1:,} held-out images, and {dataset.name} has {available:,}"

    def __init__(self, options: Any, dataset: type[Dataset], prepared: PreparedData) -> None:
        self.dataset, self.test = dataset, prepared.test
        self.n_test = options.n_test or len(prepared.test.labels)
        self.correct = self.shown = 0
        self.is_finite = True

    def update(self, discriminator: EvaluatedDiscriminator) -> None:
        """Count correct predictions over all images and rotations; of equal logits the first counts."""
        for images in reference_images(self.test, self.dataset, self.n_test):
            for rotation in range(ROTATIONS.size):
                logits = discriminator.rotation_logits(ROTATIONS.apply(images, rotation))
                self.shown += len(images)
                self.is_finite = bool(torch.isfinite(logits).all())
                if not self.is_finite:
                    return
                self.correct += int((logits.argmax(1) == rotation).sum())

    def compute(self) -> dict[str, float]:
        """The accuracy in per cent; NaN if some logits are not finite."""
        if not self.shown:
            raise ValueError("no images to measure")
        return {"rotation_accuracy": 100 * self.correct / self.shown if self.is_finite else float("nan")}
