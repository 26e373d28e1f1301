"""A linear classifier on the discriminator's features: known accuracies, and invariances."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.evaluation.metrics import linear_probe
from benchmark.evaluation.metrics.linear_probe import (
    PENALTIES,
    LinearProbe,
    ProbeOptions,
    Ridge,
    best_penalty,
    fit_probe,
)

Synthetic32 = registry.datasets["synthetic_32"]
CLASSES = 5


class Sees:
    """A discriminator whose features are a function of the images."""

    def __init__(self, features):
        self.features = features

    def discriminate(self, images):
        return SimpleNamespace(features=self.features(images))


def split(n, seed=0):
    """Images that write their label into the first pixel, and noise into the others."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    images = rng.integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)
    images[:, 0, 0, 0] = labels
    return ArraySplit(images, labels)


def prepared(train=400, test=300):
    return PreparedData(Path(), split(train, 1), split(test, 2), {})


def accuracy(features, n_train=400, n_test=None, data=None):
    metric = LinearProbe(ProbeOptions(n_train=n_train, n_test=n_test), Synthetic32, data or prepared())
    metric.update(Sees(features))
    return metric.compute()["probe_accuracy"]


def one_hot(images):
    return torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), CLASSES).float()


def noise(images):
    return images[:, 1:].flatten(1).float()


def mixed(images):
    """Classes under noise, in features of different sizes."""
    return (one_hot(images) @ torch.linspace(-1, 1, CLASSES * 32).view(CLASSES, 32).sin()) + noise(images) / 128


def test_one_hot_features_give_100_per_cent():
    assert accuracy(one_hot) == 100.0


@pytest.mark.parametrize("kind", ["primal", "dual"])
def test_features_independent_of_the_class_give_chance(kind):
    """With 1,500 images of 5 classes the binomial standard deviation is 1 %."""
    features = noise if kind == "primal" else lambda images: torch.cat([noise(images) ** k for k in (1, 2, 3, 4)], 1)
    assert accuracy(features, n_train=100, data=prepared(100, 1500)) == pytest.approx(100 / CLASSES, abs=4)


def test_constant_features_predict_the_most_frequent_class():
    data = prepared()
    most = np.bincount(data.train.labels).argmax()
    percentage = accuracy(lambda images: torch.full((len(images), 3), 0.1), data=data)
    assert percentage == pytest.approx(100 * (data.test.labels == most).mean())


def test_the_accuracy_equals_that_of_another_solution_of_the_normal_equations():
    """The reference in NumPy has an intercept without penalty instead of centred features."""
    data = prepared(150, 300)
    metric = LinearProbe(ProbeOptions(n_train=150), Synthetic32, data)
    places = metric.train_indices
    x, test = (
        mixed(torch.from_numpy(images)).numpy().astype(float) for images in (data.train.images, data.test.images)
    )
    x, labels = x[places], data.train.labels[places]
    centre, scale = x.mean(0), x.std(0)

    def solved(rows, penalty, bias):
        a = (x[rows] - centre) / scale
        y = np.eye(CLASSES)[labels[rows]] - bias
        return np.linalg.inv(a.T @ a / len(a) + penalty * np.eye(a.shape[1])) @ (a.T @ y / len(a))

    bias = np.eye(CLASSES)[labels].mean(0)
    rest, fifth = np.arange(30, 150), np.arange(30)
    right = [
        (((x[fifth] - centre) / scale @ solved(rest, p, bias) + bias).argmax(1) == labels[fifth]).sum()
        for p in PENALTIES
    ]
    assert len(set(right)) > 1, "the penalty matters here"
    weights = solved(np.arange(150), PENALTIES[int(np.argmax(right))], bias)
    named = ((test - centre) / scale @ weights + bias).argmax(1)
    metric.update(Sees(mixed))
    percentage = metric.compute()["probe_accuracy"]
    assert percentage == pytest.approx(100 * (named == data.test.labels).mean())
    assert 30 < percentage < 100


@pytest.mark.parametrize(("n", "d"), [(40, 12), (12, 40), (20, 20)])
@pytest.mark.parametrize("penalty", [PENALTIES[0], 1.0, PENALTIES[-1]])
def test_both_forms_of_the_solution_agree_and_make_the_loss_flat(n, d, penalty):
    rng = torch.Generator().manual_seed(n)
    x, y = (torch.randn(n, k, generator=rng, dtype=torch.float64) for k in (d, 3))
    primal, dual = (Ridge(x, y, dual).weights(penalty) for dual in (False, True))
    torch.testing.assert_close(primal, dual, rtol=1e-8, atol=1e-10)
    w = primal.clone().requires_grad_()
    ((x @ w - y).square().sum() / n + penalty * w.square().sum()).backward()
    assert w.grad.abs().max() < 1e-8
    assert Ridge(x, y).dual == (d > n)


def test_the_best_penalty_is_selected_and_the_strongest_of_equals():
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (100,), generator=rng)
    y = torch.nn.functional.one_hot(labels).double() - 0.5
    assert best_penalty(y, labels, y, torch.zeros(2)) == max(PENALTIES)
    # one direction of a tiny variance says all, one of a large variance nothing: a strong penalty sees the second
    x = torch.stack([1e-2 * y[:, 0], torch.randn(100, generator=rng, dtype=torch.float64)], 1)
    assert best_penalty(x, labels, y, torch.zeros(2)) <= 1e-2


@pytest.mark.parametrize("scale", [1e-4, 3.0, 1e6])
def test_the_accuracy_does_not_depend_on_scale_and_offset_of_the_features(scale):
    assert accuracy(lambda images: scale * mixed(images) + 2 * scale) == pytest.approx(accuracy(mixed), abs=0.7)


@pytest.mark.parametrize("chunk", [7, 133])
def test_the_accuracy_does_not_depend_on_the_chunk_size(monkeypatch, chunk):
    whole = accuracy(mixed)
    monkeypatch.setattr("benchmark.evaluation.metrics.linear_probe.CHUNK", chunk)
    assert accuracy(mixed) == pytest.approx(whole, abs=0.4)


def test_the_probe_is_deterministic_and_draws_no_global_random_numbers():
    stream = torch.get_rng_state()
    assert accuracy(mixed) == accuracy(mixed)
    assert torch.equal(torch.get_rng_state(), stream)


def test_features_may_be_feature_maps():
    assert accuracy(lambda images: one_hot(images).view(-1, CLASSES, 1, 1)) == 100.0


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("only_held_out", [False, True])
def test_non_finite_features_give_nan(value, only_held_out):
    def features(images):
        broken = images[:, 0, 0, 1] == 255 if only_held_out else torch.ones(len(images), dtype=torch.bool)
        return one_hot(images).masked_fill(broken[:, None], value)

    data = prepared()
    data.train.images[:, 0, 0, 1], data.test.images[:, 0, 0, 1] = 0, 255
    assert np.isnan(accuracy(features, data=data))


def test_images_without_a_label_are_skipped():
    data = prepared(400, 300)
    data.train.labels[:200], data.test.labels[::2] = -1, -1
    metric = LinearProbe(ProbeOptions(n_train=150), Synthetic32, data)
    assert len(metric.train_indices) == 150
    assert metric.train_indices.min() >= 200
    assert sorted(metric.test_indices) == list(range(1, 300, 2))
    metric.update(Sees(one_hot))
    assert metric.compute() == {"probe_accuracy": 100.0}


def test_the_training_images_are_shuffled():
    """The fifth that selects the penalty then has all classes, even if the files are sorted by class."""
    train = split(400)
    data = PreparedData(Path(), ArraySplit(train.images, np.sort(train.labels)), split(10), {})
    places = LinearProbe(ProbeOptions(n_train=400), Synthetic32, data).train_indices
    assert sorted(places) == list(range(400))
    assert set(data.train.labels[places][:80]) == set(range(CLASSES))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_train": 401}, "n_train asks for 401 labelled training images, and of the 400 of synthetic_32 400 have"),
        ({"n_train": 400, "n_test": 301}, "n_test asks for 301 labelled held-out images"),
        ({"n_train": 400}, None),
    ],
)
def test_too_few_images_are_refused_before_training(options, words):
    problem = LinearProbe.check_data(ProbeOptions(**options), Synthetic32, prepared())
    assert problem is None if words is None else words in problem


def test_held_out_images_without_labels_are_refused_before_training():
    data = prepared()
    data.test.labels[:] = -1
    assert "of the 300 of synthetic_32 0 have a label" in LinearProbe.check_data(
        ProbeOptions(n_train=9), Synthetic32, data
    )


def test_only_datasets_with_a_few_classes_are_probed():
    problem = {name: LinearProbe.check_config(ProbeOptions(), registry.datasets[name], 0) for name in registry.datasets}
    assert "has none; labelled: " in problem["stl10"]
    assert "1,000" in problem["stacked_digits"]
    for name in ("cifar10", "stl10_labelled", "folder_32", "synthetic_32"):
        assert problem[name] is None
    assert "stl10_labelled" in problem["celeba"]


def test_a_sample_cap_limits_the_images():
    assert LinearProbe.with_sample_cap(ProbeOptions(), 64) == ProbeOptions(n_train=64, n_test=64)
    assert LinearProbe.with_sample_cap(ProbeOptions(n_train=10, n_test=20), 64) == ProbeOptions(n_train=10, n_test=20)
    assert LinearProbe.with_sample_cap(ProbeOptions(), 1).n_train == 2


def test_two_images_are_enough_to_fit():
    probe = fit_probe(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]))
    assert probe.predict(torch.tensor([[0.0], [1.0]])).tolist() == [0, 1]


# --- blocks --------------------------------------------------------------------------------------------


class SeesMaps:
    """A discriminator whose blocks have the given maps."""

    def __init__(self, *maps):
        self.maps = maps

    def block_maps(self, images, block):
        return self.maps[block](images)


def probed(*maps, data=None, n_train=400):
    metric = LinearProbe(ProbeOptions(n_train=n_train, blocks=len(maps)), Synthetic32, data or prepared())
    metric.update(SeesMaps(*maps))
    return metric.compute()


def as_maps(features, side=1):
    return lambda images: features(images)[:, :, None, None].expand(-1, -1, side, side)


def test_every_block_has_an_accuracy_and_the_best_is_named():
    values = probed(as_maps(lambda images: noise(images)[:, :3] / 255), as_maps(one_hot))
    assert list(values) == [output.key for output in LinearProbe.outputs(ProbeOptions(blocks=2))]
    assert list(values) == ["linear_probe_block0", "linear_probe_block1", "linear_probe_best"]
    assert values["linear_probe_block0"] == pytest.approx(100 / CLASSES, abs=8)
    assert values["linear_probe_block1"] == values["linear_probe_best"] == 100.0


@pytest.mark.parametrize(("side", "features"), [(16, 64), (8, 64), (4, 16)])
def test_maps_are_averaged_to_at_most_8x8_positions(monkeypatch, side, features):
    seen = []
    fit = linear_probe.fit_logistic
    monkeypatch.setattr(linear_probe, "fit_logistic", lambda x, y: seen.append(x) or fit(x, y))
    maps = torch.arange(side * side).view(1, 1, side, side) / side**2
    probed(lambda images: maps.expand(len(images), 1, -1, -1), n_train=20)
    assert seen[0].shape == (20, features)
    if side == 16:
        means = maps[0, 0].view(8, 2, 8, 2).mean((1, 3)).flatten()
        torch.testing.assert_close(seen[0][0], means)


def test_non_finite_maps_of_one_block_give_nan_for_it_and_for_the_best():
    values = probed(as_maps(lambda images: one_hot(images) * torch.nan), as_maps(one_hot))
    assert np.isnan(values["linear_probe_block0"])
    assert np.isnan(values["linear_probe_best"])
    assert values["linear_probe_block1"] == 100.0


@pytest.mark.parametrize(
    ("name", "blocks", "available"), [("compare_gan_resnet", 4, None), ("compare_gan_resnet", 3, 4), ("dcgan", 1, 0)]
)
def test_the_network_must_have_the_blocks_that_are_probed(name, blocks, available):
    family = registry.networks[name]
    problem = LinearProbe.check_network(ProbeOptions(blocks=blocks), family((3, 32, 32), 8, family.Options()))
    assert problem is None if available is None else f"has {available} residual blocks" in problem
    assert LinearProbe.check_network(ProbeOptions(), family((3, 32, 32), 8, family.Options())) is None


def test_the_features_of_packs_are_not_probed():
    able = {name for name in registry.methods if LinearProbe.supports(registry.methods[name])}
    assert able == set(registry.methods) - {"pacgan"}
