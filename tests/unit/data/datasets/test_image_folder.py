"""Folders of images, compared with torchvision's ImageFolder; and what happens when their files change."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmark.data.datasets.image_folder import Folder32, Folder48, Folder64
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.examples import random_image, write_files
from benchmark.data.verify import verify
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
    assert f"{tmp_path / 'folder'}: too few images, 9 of at least 10" in refused(Folder32, tmp_path)


def test_a_damaged_image_in_the_middle_is_named(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    (tmp_path / "folder/dog/3.jpg").write_bytes((tmp_path / "folder/dog/3.jpg").read_bytes()[:200])
    assert f"{tmp_path / 'folder/dog/3.jpg'}: cannot be read as an image" in refused(Folder32, tmp_path)


def test_every_damaged_image_is_named_in_one_run(tmp_path):
    write(tmp_path / "folder/train", *CLASSES)
    write(tmp_path / "folder/test", *CLASSES)
    damaged = ["train/dog/3.jpg", "train/Cat/1.jpg", "test/a b/7.jpg"]
    for name in damaged:
        (tmp_path / "folder" / name).write_bytes(b"")
    message = refused(Folder32, tmp_path)
    assert "3 images cannot be used" in message
    assert all(str(tmp_path / "folder" / name) in message for name in damaged)


def test_exif_orientation_is_ignored_as_by_torchvision(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "folder/a b/0.jpg", exif=exif, quality=95)
    train = open_prepared(Folder32.prepare(tmp_path, tmp_path / "cache")).train
    expected = ImageFolder(tmp_path / "folder", v2.Compose([v2.Resize(32), v2.CenterCrop(32)]))
    assert expected.samples[11][0].endswith("a b/0.jpg")
    assert np.array_equal(train.images[10].transpose(1, 2, 0), np.asarray(expected[11][0]))


def test_a_name_that_ends_in_jfif_is_a_jpeg(tmp_path):
    write(tmp_path / "folder", *CLASSES, "dog/one.jfif", "dog/two.JPE")
    assert len(open_prepared(Folder32.prepare(tmp_path, tmp_path / "cache")).train.labels) == 32


# --- changed files -------------------------------------------------------------------------------------


def change(folder, how):
    """Change the images of a folder in one way."""
    path = folder / "dog/3.jpg"
    if how == "added":
        path.with_name("new.jpg").write_bytes(path.read_bytes())
    elif how == "removed":
        path.unlink()
    elif how == "renamed":
        path.rename(path.with_name("x.jpg"))
    elif how == "replaced by one of another size":
        write_files(folder, {"dog/3.jpg": random_image(np.random.default_rng(9), 61, 60)})
    else:
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("added", "1 added (for example dog/new.jpg)"),
        ("removed", "1 removed (for example dog/3.jpg)"),
        ("renamed", "1 added (for example dog/x.jpg), 1 removed (for example dog/3.jpg)"),
        ("replaced by one of another size", "1 replaced (for example dog/3.jpg)"),
        ("replaced by one of the same size", "1 replaced (for example dog/3.jpg)"),
    ],
)
def test_changed_files_are_noticed_and_prepared_anew(how, expected, tmp_path):
    write(tmp_path / "folder", *CLASSES)
    cache = tmp_path / "cache"
    first = open_prepared(Folder32.prepare(tmp_path, cache))
    before = first.manifest
    assert Folder32.is_current(tmp_path, cache)
    change(tmp_path / "folder", how)
    assert Folder32.changes(tmp_path, cache) == expected
    assert verify(Folder32, tmp_path, cache).corrupt
    after = open_prepared(Folder32.prepare(tmp_path, cache)).manifest
    assert after["sources"] != before["sources"]
    assert after["checksums"] != before["checksums"] or how == "replaced by one of the same size"
    assert Folder32.is_current(tmp_path, cache)
    assert verify(Folder32, tmp_path, cache).corrupt == []


def test_another_data_directory_holds_other_images(tmp_path):
    cache = tmp_path / "cache"
    for name, files in (("one", CLASSES), ("two", CLASSES[:20])):
        write(tmp_path / name / "folder", *files)
    assert len(open_prepared(Folder32.prepare(tmp_path / "one", cache)).train.labels) == 30
    assert not Folder32.is_current(tmp_path / "two", cache)
    assert len(open_prepared(Folder32.prepare(tmp_path / "two", cache)).train.labels) == 18


def test_a_copy_of_the_folder_with_its_times_is_the_same(tmp_path):
    write(tmp_path / "one/folder", *CLASSES)
    Folder32.prepare(tmp_path / "one", tmp_path / "cache")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert Folder32.is_current(tmp_path / "two", tmp_path / "cache")
    shutil.rmtree(tmp_path / "one")
    assert Folder32.is_current(tmp_path / "one", tmp_path / "cache"), "the files are no longer needed"


def test_a_replaced_file_of_equal_size_and_time_is_found_by_verify(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    cache, path = tmp_path / "cache", tmp_path / "folder/dog/3.jpg"
    Folder32.prepare(tmp_path, cache)
    before, other = path.stat(), bytearray(path.read_bytes())
    other[-20] ^= 1
    path.write_bytes(other)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Folder32.is_current(tmp_path, cache)
    (problem,) = verify(Folder32, tmp_path, cache).corrupt
    assert "folder train (30 files) differ from those that the arrays were prepared from" in problem


def test_damaged_states_count_as_a_change(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    path = Folder32.prepare(tmp_path, tmp_path / "cache")
    (path / "files.json.gz").write_bytes(b"damaged")
    assert Folder32.changes(tmp_path, tmp_path / "cache").startswith("33 added")


def test_changed_pixels_change_the_checksum(tmp_path):
    write(tmp_path / "folder", *CLASSES)
    before = open_prepared(Folder32.prepare(tmp_path, tmp_path / "one")).manifest["sources"]
    write_files(tmp_path / "folder", {"dog/3.jpg": random_image(np.random.default_rng(9), 60, 60)})
    after = open_prepared(Folder32.prepare(tmp_path, tmp_path / "two")).manifest["sources"]
    assert before.keys() == after.keys()
    assert sum(before[key] != after[key] for key in before) == 1
