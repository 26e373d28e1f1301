"""CIFAR-10 from image files: labels by folder in the official order, and what is refused."""

import numpy as np
import pytest

from benchmark.core.errors import UserError
from benchmark.data.datasets.cifar_jpeg import CIFAR10JPEG, CLASSES
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.examples import random_image


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    CIFAR10JPEG.write_example_files(folder)
    return folder


def add(data_dir, path, width=32, height=32):
    file = data_dir / "cifar10_jpeg" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(random_image(np.random.default_rng(0), width, height))


def test_labels_are_the_official_ones_and_pixels_those_of_the_files(data_dir, tmp_path):
    prepared = open_prepared(CIFAR10JPEG.prepare(data_dir, tmp_path / "cache"))
    assert prepared.train.labels.tolist() == [k for k in range(10) for _ in range(2)]
    assert prepared.test.labels.tolist() == list(range(10))
    assert CLASSES[prepared.test.labels[7]] == "horse"
    assert prepared.train.images.shape == (20, 3, 32, 32)
    assert "not the official" in CIFAR10JPEG.about
    assert "no checksum is published" in prepared.manifest["note"]


@pytest.mark.parametrize(
    ("path", "size", "message"),
    [
        ("train/cow/0.jpg", (32, 32), "not in a folder of CIFAR-10's classes"),
        ("train/cat/9.jpg", (33, 32), "33x32 pixels, and images of CIFAR-10 have 32x32"),
    ],
)
def test_other_classes_and_sizes_are_refused(data_dir, tmp_path, path, size, message):
    add(data_dir, path, *size)
    with pytest.raises(UserError, match=message):
        CIFAR10JPEG.prepare(data_dir, tmp_path / "cache")


def test_a_missing_class_is_named(data_dir):
    for file in (data_dir / "cifar10_jpeg" / "test" / "ship").iterdir():
        file.unlink()
    assert CIFAR10JPEG.missing_files(data_dir) == [f"images in {data_dir}/cifar10_jpeg/test/ship"]
