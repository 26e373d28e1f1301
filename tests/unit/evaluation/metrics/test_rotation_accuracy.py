"""Rotation accuracy: known answers, and how each head is read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.common import transformations
from benchmark.core import registry
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.evaluation.metrics.rotation_accuracy import RotationAccuracy, RotationOptions

Synthetic32 = registry.datasets["synthetic_32"]
GANS_WITH_ROTATION_HEAD = {"ssgan", "msgan", "ssgan_la", "ssgan_la_plus", "dist_gan_ss", "dist_gan_ms"}
WITH_ROTATION_HEAD = GANS_WITH_ROTATION_HEAD | {"rotation_classifier", "rotation_classifier_ms"}


# --- known answers -------------------------------------------------------------------------------------


class Answers:
    """A discriminator that predicts the rotations (N,) that a function of the images returns."""

    def __init__(self, answer):
        self.answer = answer

    def rotation_logits(self, images):
        return torch.nn.functional.one_hot(self.answer(images), 4).float()


def prepared(n=150):
    """Noise with a bright corner, which a rotation by 90 degrees moves to the next corner."""
    images = np.random.default_rng(0).integers(0, 200, (n, 3, 4, 4), dtype=np.uint8)
    images[:, :, 0, 0] = 255
    arrays = ArraySplit(images, np.arange(n) % 10)
    return PreparedData(Path(), arrays, arrays, {})


def light(images):
    """The index of the bright corner, counter-clockwise from the upper left one."""
    corners = images[:, 0, [0, 3, 3, 0], [0, 0, 3, 3]].int()
    return corners.argmax(1)


def accuracy(discriminator, n_test=None, data=None):
    metric = RotationAccuracy(RotationOptions(n_test=n_test), Synthetic32, data or prepared())
    metric.update(discriminator)
    return metric.compute()["rotation_accuracy"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (light, 100.0),
        (lambda images: (light(images) + 1) % 4, 0.0),
        (lambda images: torch.full((len(images),), 2), 25.0),
        (lambda images: light(images) % 2, 50.0),
    ],
    ids=["right", "wrong", "constant", "half"],
)
@pytest.mark.parametrize("n_test", [None, 60, 1])
def test_the_accuracy_is_the_share_of_correct_predictions_over_all_rotations(monkeypatch, answer, expected, n_test):
    monkeypatch.setattr("benchmark.data.reference.CHUNK", 33)
    data = prepared()
    data = PreparedData(Path(), data.train, data.test, {})
    monkeypatch.setattr(Synthetic32, "shape", (3, 4, 4))
    assert accuracy(Answers(answer), n_test, data) == expected


def test_equal_logits_give_chance_and_non_finite_logits_nan(monkeypatch):
    monkeypatch.setattr(Synthetic32, "shape", (3, 4, 4))

    class Constant(Answers):
        def rotation_logits(self, images):
            return torch.full((len(images), 4), self.answer)

    assert accuracy(Constant(0.0)) == 25.0
    assert np.isnan(accuracy(Constant(torch.nan)))


def test_too_few_images_and_images_that_are_not_square_are_refused(monkeypatch):
    assert RotationAccuracy.check_data(RotationOptions(n_test=150), Synthetic32, prepared()) is None
    assert "n_test asks for 151 held-out" in RotationAccuracy.check_data(
        RotationOptions(n_test=151), Synthetic32, prepared()
    )
    assert RotationAccuracy.check_config(RotationOptions(), Synthetic32, 0) is None
    monkeypatch.setattr(Synthetic32, "shape", (3, 32, 48))
    assert "not square" in RotationAccuracy.check_config(RotationOptions(), Synthetic32, 0)


def test_a_sample_cap_limits_the_images():
    assert RotationAccuracy.with_sample_cap(RotationOptions(), 64).n_test == 64
    assert RotationAccuracy.with_sample_cap(RotationOptions(n_test=9), 64).n_test == 9


# --- the heads -----------------------------------------------------------------------------------------


def test_heads_are_read_given_that_the_image_is_real():
    five = torch.tensor([[0.0, 1.0, 3.0, 2.0, 9.0]])  # "fake" is most likely
    assert transformations.real_class_logits(five).tolist() == [[0.0, 1.0, 3.0, 2.0]]
    eight = torch.tensor([[0.0, 9.0, 4.0, 0.0, 1.0, 9.0, 2.0, 9.0]])  # real and fake alternate
    assert transformations.joint_class_logits(eight).tolist() == [[0.0, 4.0, 1.0, 2.0]]


def test_only_the_listed_methods_support_rotation_accuracy():
    assert {
        name for name in registry.methods if RotationAccuracy.supports(registry.methods[name])
    } == WITH_ROTATION_HEAD
