"""Accuracy on tasks in turn: known answers, both tasks, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.networks.base import DiscriminatorOutput
from benchmark.core import registry
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.evaluation.metrics.classifiers.task_accuracy import TaskAccuracy, TaskAccuracyOptions

Synthetic32 = registry.datasets["synthetic_32"]


def prepared(n=100, classes=10):
    """Images of one pixel, whose value is the class."""
    labels = np.arange(n) % classes
    arrays = ArraySplit(labels.astype(np.uint8).reshape(n, 1, 1, 1), labels)
    return PreparedData(Path(), arrays, arrays, {})


class Says:
    """A classifier with logit 1 for images of some classes and -1 for all others, between two tasks."""

    def __init__(self, yes, tasks):
        self.yes, self.tasks = torch.tensor(yes, dtype=torch.uint8), tasks

    def discriminate(self, images):
        logit = torch.isin(images.flatten(), self.yes).float() * 2 - 1
        none = logit.new_zeros(len(logit), 0)
        return DiscriminatorOutput(logit, none, none, none)

    def sequential_tasks(self):
        return self.tasks


def values(classifier, options=None, data=None):
    metric = TaskAccuracy(options or TaskAccuracyOptions(), Synthetic32, data or prepared())
    metric.update(classifier)
    return list(metric.compute().values())


@pytest.mark.parametrize(
    ("yes", "tasks", "expected"),
    [
        ([3], (3, 3), [100, 100, 100, 100]),
        ([3], (3, 4), [100, 100, 80, 400 / 9]),  # before an update on task 4: wrong on classes 3 and 4
        ([], (0, 1), [90, 50, 90, 50]),  # always no
        (list(range(10)), (0, 0), [10, 50, 10, 50]),  # always yes
        ([0, 1], (0, 5), [90, 100 * (1 + 8 / 9) / 2, 70, 100 * (7 / 9) / 2]),
    ],
)
def test_accuracies_are_those_counted_by_hand(yes, tasks, expected):
    assert values(Says(yes, tasks)) == pytest.approx(expected)


def test_a_logit_of_zero_says_no():
    class Zero(Says):
        def discriminate(self, images):
            return super().discriminate(images)._replace(logit=torch.zeros(len(images)))

    assert values(Zero([], (2, 2))) == [90, 50, 90, 50]


def test_a_cap_takes_as_many_images_and_still_every_class():
    options = TaskAccuracyOptions(n_test=60)
    metric = TaskAccuracy(options, Synthetic32, prepared())
    assert len(metric.labels) == 60
    assert TaskAccuracy.check_data(options, Synthetic32, prepared()) is None
    problem = TaskAccuracy.check_data(TaskAccuracyOptions(n_test=5), Synthetic32, prepared())
    assert "'task_accuracy' needs a held-out image of every class" in problem
    assert "n_test asks for 101" in TaskAccuracy.check_data(TaskAccuracyOptions(n_test=101), Synthetic32, prepared())


@pytest.mark.parametrize("name", ["stacked_digits", "celeba", "normal_line"])
def test_datasets_without_a_few_classes_are_refused(name):
    assert f"and {name} has none" in TaskAccuracy.check_config(TaskAccuracyOptions(), registry.datasets[name], 0)


def test_the_next_task_has_the_same_outputs():
    keys = [output.key for output in TaskAccuracy.outputs(None)]
    assert TaskAccuracy.next_task_outputs() == {keys[0]: keys[2], keys[1]: keys[3]}
