"""Folders of images, compared with torchvision's ImageFolder."""

import numpy as np
import pytest
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmark.data.datasets.image_folder import Folder32, Folder48, Folder64, class_labels
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.examples import random_image, write_files
from tests.support.damage import refused


def write(folder, *names):
    rng = np.random.default_rng(0)
    kinds = {name: "PNG" if name.endswith("png") else "JPEG" for name in names}
    write_files(folder, {name: random_image(rng, 60 + k % 7, 50 + k % 11, kinds[name]) for k, name in enumerate(names)})


CLASSES = [f"{kind}/{number}.jpg" for kind in ("dog", "Cat", "a b") for number in range(11)]


def assert_as_torchvision(arrays, root, size):
    expected = ImageFolder(root, v2.Compose([v2.Resize(size), v2.CenterCrop(size)]))
    assert len(arrays.labels) == len(expected)
    for image, label, (small, their_label) in zip(arrays.images, arrays.labels, expected, strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), small)
        assert label == their_label


@pytest.mark.parametrize("dataset", [Folder32, Folder48, Folder64])
def test_two_splits_are_those_of_torchvision(dataset, tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "folder" / split, *CLASSES, "dog/deep/er/1.png", "dog/deep.png")
    prepared_data = open_prepared(dataset.prepare(tmp_path, tmp_path / "cache"))
    assert_as_torchvision(prepared_data.train, tmp_path / "folder/train", dataset.shape[1])
    assert_as_torchvision(prepared_data.test, tmp_path / "folder/test", dataset.shape[1])
    assert list(prepared_data.manifest["sources"]) == ["folder train (35 files)", "folder test (35 files)"]


def test_without_two_splits_every_tenth_image_is_held_out(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    prepared_data = open_prepared(Folder32.prepare(tmp_path, tmp_path / "cache"))
    expected = ImageFolder(tmp_path / "folder", v2.Compose([v2.Resize(32), v2.CenterCrop(32)]))
    tenth = np.arange(1, 34) % 10 == 0
    for arrays, chosen in ((prepared_data.train, ~tenth), (prepared_data.test, tenth)):
        index = np.flatnonzero(chosen)
        assert np.array_equal(arrays.images.transpose(0, 2, 3, 1), [np.asarray(expected[i][0]) for i in index])
        assert arrays.labels.tolist() == [expected.targets[i] for i in index]


def test_images_outside_of_class_folders_have_no_label(tmp_path):
    write(tmp_path / "folder", *(f"{number}.jpg" for number in range(12)), "cats/1.jpg")
    prepared_data = open_prepared(Folder32.prepare(tmp_path, tmp_path / "cache"))
    assert sorted(prepared_data.train.labels) == [-1] * 11 + [0]


def test_a_class_has_one_label_in_both_splits(tmp_path):
    write(tmp_path / "folder/train", "b/1.jpg", "c/1.jpg")
    write(tmp_path / "folder/test", "a/1.jpg", "c/1.jpg")
    prepared_data = open_prepared(Folder32.prepare(tmp_path, tmp_path / "cache"))
    assert (prepared_data.train.labels.tolist(), prepared_data.test.labels.tolist()) == ([1, 2], [0, 2])


def test_labels_follow_the_bytes_of_names():
    assert class_labels(["ä/1.jpg", "Z/1.jpg", "a/x/1.jpg", "1.jpg"]) == {"": -1, "Z": 0, "a": 1, "ä": 2}


def test_the_folder_may_be_a_link(tmp_path):
    write(tmp_path / "elsewhere", *CLASSES)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/folder").symlink_to(tmp_path / "elsewhere")
    assert Folder32.missing_files(tmp_path / "data") == []
    Folder32.prepare(tmp_path / "data", tmp_path / "cache")


@pytest.mark.parametrize("names", [[], ["folder/notes.txt", "folder/.hidden.jpg", "folder/a/b.jpg.part"]])
def test_a_folder_without_images_is_missing(names, tmp_path):
    write_files(tmp_path, dict.fromkeys(names, b""))
    problem = Folder32.missing_message(tmp_path)
    assert f"images in {tmp_path / 'folder'}\n" in problem
    assert "--data-dir" in problem
    assert refused(Folder32, tmp_path) == problem


def test_an_empty_split_is_named(tmp_path):
    write(tmp_path / "folder/train", "1.jpg")
    (tmp_path / "folder/test").mkdir()
    assert Folder64.missing_files(tmp_path) == [f"images in {tmp_path / 'folder/test'}"]


def test_too_few_images_are_refused(tmp_path):
    write(tmp_path / "folder", *CLASSES[:9])
    assert f"{tmp_path / 'folder'}: has 9 images" in refused(Folder32, tmp_path)


def test_a_damaged_image_in_the_middle_is_named(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    (tmp_path / "folder/dog/3.jpg").write_bytes((tmp_path / "folder/dog/3.jpg").read_bytes()[:200])
    assert f"{tmp_path / 'folder/dog/3.jpg'}: cannot be read as an image" in refused(Folder32, tmp_path)


def test_changed_pixels_change_the_checksum(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    before = open_prepared(Folder32.prepare(tmp_path, tmp_path / "one")).manifest["sources"]
    write_files(tmp_path / "folder", {"dog/3.jpg": random_image(np.random.default_rng(9), 60, 60)})
    after = open_prepared(Folder32.prepare(tmp_path, tmp_path / "two")).manifest["sources"]
    assert before.keys() == after.keys()
    assert sum(before[key] != after[key] for key in before) == 1
