"""How well a classifier solves the one-versus-rest task that it is being trained on, and the one that comes next.

Source: Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019, figure 3, whose classifier is
trained on one task after the other. The tasks of the last and of the next update differ at a switch only, so the
difference of both accuracies there is the drop, without an update in between.

For the task "is the image of class k?" an image counts as correct if the sign of the logit is. Nine in ten images of
ten classes are not of class k, and a classifier that always says no has an accuracy of 90 %; the balanced accuracy, the
mean of the accuracies on both kinds of images, is then 50 %.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core.spec import PositiveInt
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.reference import labelled_indices
from benchmark.evaluation.metrics.base import (
    EvaluatedDiscriminator,
    HeldOutMetric,
    MetricOptions,
    Output,
)
from benchmark.evaluation.metrics.classifiers.held_out import missing_classes

if TYPE_CHECKING:
    from baselines.common.method import Method

KEYS = ("task_accuracy", "task_balanced_accuracy", "next_task_accuracy", "next_task_balanced_accuracy")
TITLES = ("accuracy", "balanced accuracy", "accuracy on the next task", "balanced accuracy on the next task")


class TaskAccuracyOptions(MetricOptions):
    """The first `n_test` labelled images of a fixed shuffle of the held-out ones, or all."""

    n_test: PositiveInt | None = Field(default=None, description="ours: all held-out images that have a label")


class TaskAccuracy(HeldOutMetric):
    """Accuracy and balanced accuracy on the tasks of the last and of the next update, in per cent."""

    name = "task_accuracy"
    about = "how often a classifier says correctly whether an image is of the class of its current task"
    Options: ClassVar[type[MetricOptions]] = TaskAccuracyOptions

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """Four accuracies in [0, 100]."""
        del options
        return tuple(Output.percentage(key, title) for key, title in zip(KEYS, TITLES, strict=True))

    @classmethod
    def next_task_outputs(cls) -> dict[str, str]:
        """The last two outputs are the first two on the next task."""
        return dict(zip(KEYS[:2], KEYS[2:], strict=True))

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """The accuracy of guessing, and what the next task is."""
        del options, n_fake
        return {
            "Task accuracy": "a classifier that always says no is right on 90 % of the images of ten classes, and has a"
            " balanced accuracy of 50 %. The next task is the one of the next update, the same as the last except when"
            " the task switches; a table's values are those at the end of the training, where it does."
        }

    @classmethod
    def supports(cls, method: "type[Method]") -> bool:
        """The method must be trained on one task after the other."""
        return method.has_sequential_tasks

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """The stored images must be the training images, and have classes."""
        del options, n_fake
        if dataset.stacked == 1 and dataset.num_classes():
            return None
        return f"'{cls.name}' needs images of a few classes, and {dataset.name} has none"

    @classmethod
    def check_data(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """Every class must be among the held-out images, so that each task has images of both kinds."""
        classes = np.unique(prepared.train.labels[prepared.train.labels >= 0])
        return missing_classes(cls.name, options.n_test, classes.tolist(), dataset, prepared.test)

    def __init__(self, options: Any, dataset: type[Dataset], prepared: PreparedData) -> None:
        del dataset
        indices = labelled_indices(prepared.test, options.n_test)
        self.images, self.labels = (torch.from_numpy(a[indices]) for a in (prepared.test.images, prepared.test.labels))
        self.values: dict[str, float] = {}

    def update(self, discriminator: EvaluatedDiscriminator) -> None:
        """Classify all images once: both tasks share the logits."""
        logits = discriminator.discriminate(self.images).logit.cpu()
        accuracies = [
            a for task in discriminator.sequential_tasks() for a in accuracies_of(logits, self.labels == task)
        ]
        self.values = dict(zip(KEYS, accuracies, strict=True))

    def compute(self) -> dict[str, float]:
        """The accuracies in per cent; NaN if a logit is not finite."""
        if not self.values:
            raise ValueError("no images to measure")
        return dict(self.values)


def accuracies_of(logits: Tensor, positive: Tensor) -> tuple[float, float]:
    """Accuracy and balanced accuracy, in per cent, of (N,) logits for (N,) answers of which both kinds occur."""
    if not bool(torch.isfinite(logits).all()):
        return float("nan"), float("nan")
    correct = ((logits > 0) == positive).double()
    return 100 * float(correct.mean()), 50 * float(correct[positive].mean() + correct[~positive].mean())
