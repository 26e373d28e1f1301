"""The digit classifiers and the extractors that use them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.datasets.stacked_digits import StackedDigits
from benchmark.data.prepared import open_prepared
from benchmark.evaluation.extractors import digits as digits_module
from benchmark.evaluation.extractors.digits import (
    DigitClassifier,
    Digits,
    DigitsSecondSeed,
    accuracy,
    joint_log_probs,
    load_classifier,
    random_shift,
    scale_to_unit,
)
from tests.support.measures import CPU, BrightnessReader, digit_stacks


@given(triples=st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_a_mode_is_100a_10b_c_of_the_three_channels(triples):
    modes = BrightnessReader()(digit_stacks(triples)).logits.argmax(1).tolist()
    assert modes == [100 * a + 10 * b + c for a, b, c in triples]


@given(digits=arrays(np.float32, (3, 3, 10), elements=st.floats(-5, 5, width=32)))
@settings(max_examples=30, deadline=None)
def test_the_probability_of_a_number_is_the_product_of_its_digits(digits):
    logs = torch.from_numpy(digits).log_softmax(2)
    p = logs.exp().numpy()
    expected = np.einsum("ni,nj,nk->nijk", p[:, 0], p[:, 1], p[:, 2]).reshape(3, 1000)
    np.testing.assert_allclose(joint_log_probs(logs).exp().numpy(), expected, rtol=1e-4, atol=1e-9)


# --- the classifier ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return open_prepared(StackedDigits.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")))


def test_the_classifier_is_right_in_97_per_cent_of_held_out_digits(trained_classifier, digits):
    model, stated = load_classifier(trained_classifier, CPU)
    images = scale_to_unit(torch.from_numpy(np.array(digits.test.images)))
    right = (model(images).argmax(1).numpy() == digits.test.labels).mean()
    assert stated == pytest.approx(right)
    assert stated >= 0.97
    assert Digits(trained_classifier, CPU).metadata == {"classifier_accuracy": stated}


def test_a_loaded_classifier_is_frozen(trained_classifier):
    model, _ = load_classifier(trained_classifier, CPU)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_stacks_of_held_out_digits_are_assigned_to_their_modes(trained_classifier, digits):
    """With an accuracy of 97 % a digit, at least nine triples in ten are right."""
    index = np.random.default_rng(0).integers(len(digits.test.labels), size=(500, 3))
    images = torch.from_numpy(digits.test.images[index.ravel()].reshape(500, 3, 8, 8))
    expected = digits.test.labels[index] @ [100, 10, 1]
    assert (Digits(trained_classifier, CPU)(images).logits.argmax(1).numpy() == expected).mean() >= 0.9


@pytest.fixture
def one_epoch(monkeypatch):
    monkeypatch.setattr(digits_module, "EPOCHS", {8: 1, 28: 1})


@pytest.mark.usefixtures("one_epoch")
def test_training_the_classifier_is_deterministic_and_draws_no_global_random_numbers(digits, tmp_path):
    states = []
    for number in (1, 2):
        torch.manual_seed(number)
        stream = torch.get_rng_state()
        path = Digits.prepare(digits, tmp_path / str(number), Path())
        assert torch.equal(torch.get_rng_state(), stream)
        states.append(load_classifier(path, CPU)[0].state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.usefixtures("one_epoch")
def test_other_data_or_another_recipe_is_another_classifier(digits, tmp_path, monkeypatch):
    first = Digits.prepare(digits, tmp_path, Path())
    other_data = PreparedData(digits.path, digits.train, digits.test, digits.manifest | {"variant": "2"})
    second = Digits.prepare(other_data, tmp_path, Path())
    third = DigitsSecondSeed.prepare(digits, tmp_path, Path())
    monkeypatch.setattr(digits_module, "EPOCHS", {8: 2, 28: 2})
    fourth = Digits.prepare(digits, tmp_path, Path())
    assert len({first, second, third, fourth}) == 4
    states = [load_classifier(path, CPU)[0].state_dict() for path in (first, third)]
    assert all(torch.any(states[0][name] != states[1][name]) for name in states[0]), "no seed went into it"


@pytest.mark.parametrize("size", [8, 28])
def test_the_classifier_takes_both_sizes_of_digits(size):
    assert DigitClassifier(size)(torch.rand(5, 1, size, size)).shape == (5, 10)


def test_accuracy_is_the_share_of_correct_predictions():
    model = lambda images: torch.eye(10)[images[:, 0, 0, 0].mul(255).round().long()]  # noqa: E731
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    assert accuracy(model, ArraySplit(images, np.array([0, 1, 2, 9]))) == 0.75


def test_shifted_batches_keep_their_pixels_within_reach():
    rng = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 4, 4] = 1
    places = {tuple(random_shift(image, 1, rng)[0, 0].nonzero()[0].tolist()) for _ in range(200)}
    assert places == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}
