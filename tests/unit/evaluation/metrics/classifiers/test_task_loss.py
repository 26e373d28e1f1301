"""Losses of simulated generators: known answers, means over classes, and MSGAN's Eq. 9."""

from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.common.transformations import ROTATIONS
from baselines.methods.msgan import class_gap
from baselines.networks.base import DiscriminatorOutput
from benchmark.core import registry
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.evaluation.metrics.classifiers.task_loss import MSTaskLoss, SSTaskLoss, TaskLossOptions

Synthetic32 = registry.datasets["synthetic_32"]
CLASSES = 3
SIZES = (20, 5, 15)  # images of each class


def prepared():
    labels = np.repeat(np.arange(CLASSES), SIZES)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 1, 4, 4), dtype=np.uint8)
    arrays = ArraySplit(images, labels)
    return PreparedData(Path(), arrays, arrays, {})


class Linear:
    """Five logits that are linear in the pixels."""

    weight = torch.randn(16, 5, generator=torch.Generator().manual_seed(0)).double() / 100

    def discriminate(self, images):
        logits = images.double().flatten(1) @ self.weight
        return DiscriminatorOutput(logits[:, 0], logits, logits, logits[:, :0])

    def rotation_logits(self, images):
        return self.discriminate(images).class_logits[:, :4]


def values(metric_class, **options):
    metric = metric_class(TaskLossOptions(classes=CLASSES, **options), Synthetic32, prepared())
    metric.update(Linear())
    return metric.compute()


def restated(images, is_ms):
    """Over all images and rotations: -log softmax_r of four logits, or log of the ratio of classes 4 and r of five."""
    losses = []
    for r in range(4):
        pixels = np.rot90(images, r, axes=(2, 3)).reshape(len(images), -1).astype(np.float64)
        logits = pixels @ Linear.weight.numpy()
        kept = logits if is_ms else logits[:, :4]
        probabilities = np.exp(kept) / np.exp(kept).sum(1, keepdims=True)
        rotation = -np.log(probabilities[:, r])
        losses.append(rotation + np.log(probabilities[:, 4]) if is_ms else rotation)
    return np.mean(losses)


@pytest.mark.parametrize(("metric_class", "is_ms"), [(SSTaskLoss, False), (MSTaskLoss, True)])
def test_losses_equal_their_equations(metric_class, is_ms):
    test = prepared().test
    found = values(metric_class)
    assert found[metric_class.name] == pytest.approx(restated(test.images, is_ms))
    for k in range(CLASSES):
        expected = restated(test.images[test.labels == k], is_ms)
        assert found[f"{metric_class.name}_class{k}"] == pytest.approx(expected)


@pytest.mark.parametrize("metric_class", [SSTaskLoss, MSTaskLoss])
def test_the_loss_of_all_images_is_the_weighted_mean_over_the_classes(metric_class):
    """So some class alone has no larger loss, whatever the classifier."""
    full, *classes = values(metric_class).values()
    assert full == pytest.approx(np.average(classes, weights=SIZES))
    assert min(classes) <= full


def test_the_ms_loss_is_eq_9_of_the_method():
    images = torch.from_numpy(prepared().test.images)
    rotated = ROTATIONS.each_four_ways(images)
    gap = class_gap(Linear().discriminate(rotated.samples).class_logits, rotated.labels)
    assert values(MSTaskLoss)["ms_task_loss"] == pytest.approx(gap.item())


@pytest.mark.parametrize("metric_class", [SSTaskLoss, MSTaskLoss])
def test_a_collapsed_generator_has_the_loss_of_its_class(metric_class):
    collapsed = values(metric_class, generator_class=1)
    assert collapsed[metric_class.name] == collapsed[f"{metric_class.name}_class1"]
    options = TaskLossOptions(classes=CLASSES)
    key, *classes = (output.key for output in metric_class.outputs(options))
    assert metric_class.class_outputs(options) == {key: tuple(classes)}


def test_what_cannot_be_measured_is_refused():
    check = SSTaskLoss.check_config
    assert check(TaskLossOptions(), Synthetic32, 0) is None
    assert "classes is 3, and synthetic_32 has 10" in check(TaskLossOptions(classes=3), Synthetic32, 0)
    assert "generator_class is 10" in check(TaskLossOptions(generator_class=10), Synthetic32, 0)
    assert "holds points" in check(TaskLossOptions(), registry.datasets["normal_line"], 0)
    assert "stacked_digits has none" in check(TaskLossOptions(), registry.datasets["stacked_digits"], 0)
    problem = SSTaskLoss.check_data(TaskLossOptions(classes=4), Synthetic32, prepared())
    assert problem == "'ss_task_loss' needs a held-out image of every class, and synthetic_32 has none of class 3"


def test_methods_with_a_fifth_class_have_an_ms_loss():
    supporting = {n for n in registry.methods if MSTaskLoss.supports(registry.methods[n])}
    assert supporting == {"msgan", "dist_gan_ms", "rotation_classifier_ms"}
    assert supporting | {"rotation_classifier"} < {
        n for n in registry.methods if SSTaskLoss.supports(registry.methods[n])
    }
