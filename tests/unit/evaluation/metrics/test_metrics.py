"""Modes, KL and the digit classifier behind them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy
from torch.nn.functional import one_hot

from benchmark.core.protocol import all_output_keys
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
from benchmark.evaluation.metrics.modes import Modes, kl_floor, mode_statistics

CPU = torch.device("cpu")
LN_1000 = math.log(1000)


# --- statistics ----------------------------------------------------------------------------------------


def counts_of(**bins):
    counts = np.zeros(1000, np.int64)
    for name, count in bins.items():
        counts[int(name[1:])] = count
    return counts


@pytest.mark.parametrize(
    ("counts", "modes", "kl"),
    [
        (np.full(1000, 7), 1000, 0.0),
        (counts_of(b5=40), 1, math.log(1000)),
        (counts_of(b0=3, b999=3), 2, math.log(500)),
        # p = 1/4 and 3/4: 1/4 ln 250 + 3/4 ln 750
        (counts_of(b1=1, b2=3), 2, 0.25 * math.log(250) + 0.75 * math.log(750)),
    ],
)
def test_modes_and_kl_by_hand(counts, modes, kl):
    assert mode_statistics(counts) == {"modes": modes, "kl": pytest.approx(kl, abs=1e-12)}


histograms = arrays(np.int64, 1000, elements=st.integers(0, 50), fill=st.integers(0, 3)).filter(np.any)


@given(counts=histograms)
@settings(max_examples=60, deadline=None)
def test_kl_is_scipys_and_lies_between_0_and_ln_1000(counts):
    found = mode_statistics(counts)
    assert found["kl"] == pytest.approx(entropy(counts, np.full(1000, 1e-3)), rel=1e-9, abs=1e-12)
    assert -1e-12 <= found["kl"] <= LN_1000 + 1e-12
    assert found["modes"] == np.count_nonzero(counts)
    assert found["kl"] >= LN_1000 - math.log(found["modes"]) - 1e-12, "few modes force a large KL"


@given(counts=histograms, factor=st.integers(2, 9), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_statistics_depend_on_shares_only_and_not_on_which_mode_is_which(counts, factor, seed):
    shuffled = np.random.default_rng(seed).permutation(counts) * factor
    assert mode_statistics(shuffled) == pytest.approx(mode_statistics(counts), rel=1e-9, abs=1e-12)


def test_nothing_counted_is_an_error():
    with pytest.raises(ValueError, match="no samples"):
        mode_statistics(np.zeros(1000, np.int64))


def test_the_floor_of_25600_samples_is_a_fiftieth_nat_and_what_uniform_samples_give():
    """X-04: 999 / 51,200 = 0.0195. Forty simulated perfect generators; their mean has an error of 0.00014."""
    assert kl_floor(25_600) == pytest.approx(999 / 51_200)
    assert kl_floor(25_600) == pytest.approx(0.0195, abs=5e-5)
    rng = np.random.default_rng(0)
    kls = [mode_statistics(np.bincount(rng.integers(0, 1000, 25_600), minlength=1000))["kl"] for _ in range(40)]
    assert np.mean(kls) == pytest.approx(kl_floor(25_600), abs=6e-4)


def test_its_bins_are_the_digits_of_the_channels():
    """Mode 370 is a red 3, a green 7 and a blue 0; the histogram is what the numbers are of."""
    bins = Modes.histogram_spec(Modes.Options())
    assert [name for name, _ in bins.axes] == ["red", "green", "blue"]
    cube = np.arange(1000).reshape(bins.shape)
    assert cube[3, 7, 0] == 370
    metric = Modes(Modes.Options(), None, {})
    metric.update(Reads()(stack([(3, 7, 0), (3, 7, 0), (0, 0, 9)])))
    assert dict(enumerate(metric.histogram().tolist())) | {370: 0, 9: 0} == dict.fromkeys(range(1000), 0)
    assert metric.histogram()[[370, 9]].tolist() == [2, 1]
    assert mode_statistics(metric.histogram()) == metric.compute()


def test_landmarks_are_all_modes_and_the_floor_of_the_kl():
    landmarks = Modes.reference_lines(Modes.Options(), 25_600)
    assert landmarks["modes"].value == 1000
    assert landmarks["kl"].value == kl_floor(25_600)
    assert "0.0195" in " ".join(Modes.notes(Modes.Options(), 25_600).values())


# --- labels --------------------------------------------------------------------------------------------


class Reads(Digits):
    """An extractor whose classifier reads the digit from the brightness of the image."""

    def __init__(self):
        self.device, self.accuracy = CPU, 1.0
        self.classifier = self

    class _Body:
        def __getitem__(self, part):
            if isinstance(part, slice):
                return lambda images: images.flatten(1)
            return lambda pixels: 50.0 * one_hot((pixels.mean(1) * 255 / 20).round().long(), 10)

    body = _Body()


def stack(triples, size=8):
    """(N, 3, size, size) images whose channels show the digits of each triple."""
    return (torch.tensor(triples, dtype=torch.uint8) * 20)[:, :, None, None].expand(-1, -1, size, size)


@given(triples=st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_a_mode_is_100a_10b_c_of_the_three_channels(triples):
    assert Reads()(stack(triples)).logits.argmax(1).tolist() == [100 * a + 10 * b + c for a, b, c in triples]


def measured(extractor, batches):
    metric = Modes(Modes.Options(), None, {})
    for batch in batches:
        metric.update(extractor(batch))
    return metric.compute()


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_measuring_counts_the_modes_of_all_batches(size):
    """Modes 0..599 once and mode 7 four hundred times more."""
    triples = [(m // 100, m // 10 % 10, m % 10) for m in [*range(600), *[7] * 400]]
    found = measured(Reads(), stack(triples, size=2).split(size))
    p = np.array([401 / 1000, *[1 / 1000] * 599])
    assert found == {"modes": 600.0, "kl": pytest.approx(float((p * np.log(p * 1000)).sum()), rel=1e-9)}


@given(digits=arrays(np.float32, (3, 3, 10), elements=st.floats(-5, 5, width=32)))
@settings(max_examples=30, deadline=None)
def test_the_probability_of_a_number_is_the_product_of_its_digits(digits):
    logs = torch.from_numpy(digits).log_softmax(2)
    p = logs.exp().numpy()
    expected = np.einsum("ni,nj,nk->nijk", p[:, 0], p[:, 1], p[:, 2]).reshape(3, 1000)
    np.testing.assert_allclose(joint_log_probs(logs).exp().numpy(), expected, rtol=1e-4, atol=1e-9)


# --- the digit classifier ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return open_prepared(StackedDigits.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="session")
def instrument(digits, tmp_path_factory):
    """Trained once a session: in a folder that contract/test_metrics.py uses too."""
    return Digits.prepare(digits, tmp_path_factory.getbasetemp() / "instruments", Path())


def test_the_classifier_names_97_of_100_held_out_digits(instrument, digits):
    model, told = load_classifier(instrument, CPU)
    images = scale_to_unit(torch.from_numpy(np.array(digits.test.images)))
    right = (model(images).argmax(1).numpy() == digits.test.labels).mean()
    assert told == pytest.approx(right)
    assert told >= 0.97
    assert Digits(instrument, CPU).metadata == {"classifier_accuracy": told}


def test_the_classifier_is_opened_for_reading_only(instrument):
    model, _ = load_classifier(instrument, CPU)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_held_out_digits_stacked_are_found_as_their_modes(instrument, digits):
    """With an accuracy of 97 % a digit, at least nine triples in ten are right."""
    index = np.random.default_rng(0).integers(len(digits.test.labels), size=(500, 3))
    images = torch.from_numpy(digits.test.images[index.ravel()].reshape(500, 3, 8, 8))
    expected = digits.test.labels[index] @ [100, 10, 1]
    assert (Digits(instrument, CPU)(images).logits.argmax(1).numpy() == expected).mean() >= 0.9


@pytest.fixture
def one_epoch(monkeypatch):
    monkeypatch.setattr(digits_module, "EPOCHS", {8: 1, 28: 1})


@pytest.mark.usefixtures("one_epoch")
def test_training_the_classifier_again_gives_the_same_bits_and_disturbs_nothing(digits, tmp_path):
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


def test_accuracy_is_the_share_named_right():
    model = lambda images: torch.eye(10)[images[:, 0, 0, 0].mul(255).round().long()]  # noqa: E731
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    assert accuracy(model, ArraySplit(images, np.array([0, 1, 2, 9]))) == 0.75


def test_shifted_batches_keep_their_pixels_within_reach():
    rng = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 4, 4] = 1
    places = {tuple(random_shift(image, 1, rng)[0, 0].nonzero()[0].tolist()) for _ in range(200)}
    assert places == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}


# --- every number --------------------------------------------------------------------------------------


def test_all_outputs_are_those_through_every_extractor_that_does():
    found = all_output_keys()
    assert {"fid", "fd_inception_torchvision", "kd_pixels", "precision", "precision_inception", "modes"} <= found
    assert {"isc", "classifier_score_inception_torchvision", "rotation_accuracy", "probe_accuracy"} <= found
    assert not {"fid_inception", "fd_inception", "modes_pixels"} & found
    assert not {"classifier_score_vgg16", "classifier_score_pixels"} & found, "they name no classes"
