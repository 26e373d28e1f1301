"""The synthetic datasets: reproducible images of the declared shape, with classes that a classifier can learn."""

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.data.datasets.synthetic import CLASSES, TEST, TRAIN
from benchmark.evaluation.metrics.linear_probe import fit_probe

SYNTHETIC = [name for name in registry.datasets if registry.datasets[name].is_synthetic]


@pytest.fixture(params=SYNTHETIC, scope="module")
def synthetic(request):
    return registry.datasets[request.param]


@pytest.fixture(scope="session")
def every_split(tmp_path_factory):
    """name -> what reading this dataset returns."""
    return {name: registry.datasets[name].read(tmp_path_factory.mktemp("nothing")) for name in SYNTHETIC}


@pytest.fixture
def splits(synthetic, every_split):
    return every_split[synthetic.name]


def test_synthetic_datasets_say_that_they_are_synthetic(synthetic):
    assert "synthetic" in synthetic.about
    assert "nothing" in synthetic.note
    assert synthetic.is_bundled


def test_synthetic_images_are_reproducible_and_have_distinct_checksums(synthetic, splits, every_split, tmp_path):
    train, test, sources = splits
    again = synthetic.read(tmp_path)
    assert np.array_equal(again[0].images, train.images)
    assert np.array_equal(again[1].images, test.images)
    assert again[2] == sources
    assert not set(map(bytes, train.images)) & set(map(bytes, test.images)), "what is held out is not trained on"
    others = [found[2] for found in every_split.values() if found[0].images.shape != train.images.shape]
    assert sources not in others


def test_synthetic_images_have_the_declared_shape(synthetic, splits):
    train, test, _ = splits
    shape = (synthetic.shape[0] // synthetic.stacked, *synthetic.shape[1:])
    assert (train.images.shape, test.images.shape) == ((TRAIN, *shape), (TEST, *shape))
    assert train.images.dtype == np.uint8
    for split in (train, test):
        assert np.bincount(split.labels).tolist() == [len(split.labels) // CLASSES] * CLASSES
        assert 20 < split.images.mean() < 235
        assert split.images.std() > 20


def test_a_linear_probe_distinguishes_synthetic_classes(splits):
    train, test, _ = splits
    order = np.random.default_rng(0).permutation(len(train.labels))  # the probe wants any random order
    features, labels = small(train.images[order]), torch.from_numpy(train.labels[order])
    right = fit_probe(features, labels).predict(small(test.images)) == torch.from_numpy(test.labels)
    assert 100 * float(right.double().mean()) > 60


def test_a_linear_probe_distinguishes_rotations_of_synthetic_images(splits):
    train, test, _ = splits

    def turned(images):
        views = [np.rot90(images, turns, (2, 3)) for turns in range(4)]
        return small(np.concatenate(views)), torch.arange(4).repeat_interleave(len(images))

    features, turns = turned(train.images)
    order = torch.randperm(len(turns), generator=torch.Generator().manual_seed(0))
    images, expected = turned(test.images)
    right = fit_probe(features[order], turns[order]).predict(images) == expected
    assert 100 * float(right.double().mean()) > 60, "25 % is guessing"


def small(images):
    """(N, C 16 16) float: every image at a coarse grid."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float()
    return torch.nn.functional.adaptive_avg_pool2d(pixels, 16).flatten(1)
