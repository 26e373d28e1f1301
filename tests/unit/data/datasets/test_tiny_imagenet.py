"""Tiny-ImageNet, from its archive and unpacked."""

import io

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from benchmark.core.errors import UserError
from benchmark.data.acquire import import_raw_files
from benchmark.data.datasets import tiny_imagenet
from benchmark.data.datasets.tiny_imagenet import TinyImageNet
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.checksums import md5_of
from benchmark.data.raw.examples import write_files, zip_of
from tests.support.damage import refused

ROOT, ARCHIVE = tiny_imagenet.ROOT, tiny_imagenet.ARCHIVE.name


@pytest.fixture
def files(monkeypatch):
    monkeypatch.setattr(TinyImageNet, "split_sizes", {"train": 200, "val": 5})
    return tiny_imagenet.example_files()


def refused_files(files, tmp_path):
    write_files(tmp_path / ROOT, files)
    return refused(TinyImageNet, tmp_path, tmp_path / ROOT)


def test_training_images_are_those_of_torchvision_in_its_order(files, tmp_path):
    write_files(tmp_path / ROOT, files)
    split = open_prepared(TinyImageNet.prepare(tmp_path, tmp_path / "cache")).train
    expected = ImageFolder(tmp_path / ROOT / "train")
    ids = files["wnids.txt"].decode().split()
    assert len(split.labels) == len(expected) == 200
    for image, label, (original, folder) in zip(split.images, split.labels, expected, strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), original)
        assert ids[label] == expected.classes[folder], "labels follow wnids.txt, which is not sorted"


def test_validation_images_are_held_out_with_the_classes_of_their_list(files, tmp_path):
    write_files(tmp_path / ROOT, files)
    split = open_prepared(TinyImageNet.prepare(tmp_path, tmp_path / "cache")).test
    assert split.labels.tolist() == [0, 40, 80, 120, 160]
    for number, image in enumerate(split.images):
        original = Image.open(io.BytesIO(files[f"val/images/val_{number}.JPEG"]))
        assert np.array_equal(image.transpose(1, 2, 0), original)


def test_archive_and_folder_give_the_same_images_and_checksums_of_them(files, tmp_path, monkeypatch):
    archive = zip_of({f"{ROOT}/{name}": content for name, content in reversed(files.items())})
    monkeypatch.setattr(TinyImageNet, "checksums", {ARCHIVE: md5_of(archive)})
    write_files(tmp_path / "zip", {ARCHIVE: archive})
    write_files(tmp_path / "plain" / ROOT, files)
    packed, plain = (open_prepared(TinyImageNet.prepare(tmp_path / k, tmp_path / f"{k}-c")) for k in ("zip", "plain"))
    assert np.array_equal(plain.train.images, packed.train.images)
    assert np.array_equal(plain.train.labels, packed.train.labels)
    assert np.array_equal(plain.test.images, packed.test.images)
    assert packed.manifest["sources"] == plain.manifest["sources"] | {ARCHIVE: md5_of(archive)}


def test_grey_images_become_rgb(files, tmp_path):
    """Some of the published images are grey."""
    name = min(name for name in files if name.startswith("train/") and name.endswith(".JPEG"))
    grey = io.BytesIO()
    Image.open(io.BytesIO(files[name])).convert("L").save(grey, "JPEG")
    write_files(tmp_path / ROOT, files | {name: grey.getvalue()})
    first = open_prepared(TinyImageNet.prepare(tmp_path, tmp_path / "cache")).train.images[0]
    assert (first == first[:1]).all()


@pytest.mark.parametrize("part", tiny_imagenet.PARTS)
def test_each_missing_part_is_named(part, files, tmp_path):
    kept = {name: content for name, content in files.items() if not name.startswith(part)}
    write_files(tmp_path / ROOT, kept)
    problem = TinyImageNet.missing_message(tmp_path)
    assert f"  {part} in {tmp_path / ROOT}\n" in problem
    assert "--data-dir" in problem


def replaced(files, name, old, new):
    return files | {name: files[name].replace(old.encode(), new.encode(), 1)}


def test_a_list_of_classes_that_is_not_of_200_is_refused(files, tmp_path):
    message = refused_files(files | {"wnids.txt": files["wnids.txt"].split(b"\n", 1)[1]}, tmp_path)
    assert "wnids.txt: lists 199 different classes in 199 lines, expected 200" in message


def test_a_class_that_is_not_listed_is_refused(files, tmp_path):
    name = next(name for name in files if name.endswith(".JPEG"))
    message = refused_files(files | {"train/n99999999/images/x.JPEG": files[name]}, tmp_path)
    assert "'n99999999' is not a class" in message


@pytest.mark.parametrize("new", ["val_9.JPEG", "val_0.JPEG", "", "../train/x.JPEG"])
def test_a_line_of_the_list_without_its_image_is_refused(new, files, tmp_path):
    message = refused_files(replaced(files, "val/val_annotations.txt", "val_1.JPEG", new), tmp_path)
    assert "val_annotations.txt: line 2" in message


def test_a_line_of_the_list_without_a_class_is_refused(files, tmp_path):
    assert "line 1" in refused_files(replaced(files, "val/val_annotations.txt", "\tn", "\tm"), tmp_path)


def test_another_number_of_images_is_refused(files, tmp_path):
    first = next(name for name in files if name.startswith("train") and name.endswith("_0.JPEG"))
    message = refused_files({name: content for name, content in files.items() if name != first}, tmp_path)
    assert "has 199 images in train, expected 200" in message


def test_a_missing_line_of_the_list_is_noticed(files, tmp_path):
    lines = files["val/val_annotations.txt"].split(b"\n", 1)[1]
    assert "has 4 images in val, expected 5" in refused_files(files | {"val/val_annotations.txt": lines}, tmp_path)


def test_an_image_of_another_size_is_refused(files, tmp_path):
    small = io.BytesIO()
    Image.new("RGB", (64, 60)).save(small, "JPEG")
    message = refused_files(files | {"val/images/val_3.JPEG": small.getvalue()}, tmp_path)
    assert "val_3.JPEG: is 64x60, expected 64x64" in message


def test_a_damaged_image_is_named(files, tmp_path):
    assert "val_3.JPEG: cannot be read as an image" in refused_files(files | {"val/images/val_3.JPEG": b"no"}, tmp_path)


def test_an_archive_with_another_checksum_is_refused(tmp_path):
    write_files(tmp_path, {ARCHIVE: zip_of({"x": b""})})
    refused(TinyImageNet, tmp_path, f"{tmp_path / ARCHIVE}: is not the official {ARCHIVE}")


# --- import --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [".", ROOT])
def test_the_unpacked_folder_is_imported(where, files, tmp_path):
    write_files(tmp_path / "mine" / where / ROOT, files)
    data = tmp_path / "data"
    imported = import_raw_files(
        TinyImageNet, [tmp_path / "mine"], data, lambda: TinyImageNet.prepare(data, tmp_path / "cache")
    )
    root = data / "tiny_imagenet" / ROOT
    assert {path.relative_to(root).as_posix() for path in imported} == {
        name for name in files if not name.startswith("test/")
    }
    assert TinyImageNet.is_prepared(tmp_path / "cache")


def test_an_incomplete_unpacked_folder_is_not_imported(files, tmp_path):
    write_files(tmp_path / ROOT, {name: content for name, content in files.items() if not name.startswith("val/")})
    with pytest.raises(UserError, match="nothing that tiny_imagenet needs was found"):
        import_raw_files(TinyImageNet, [tmp_path / ROOT], tmp_path / "data", lambda: None)
    assert not (tmp_path / "data").exists()


def test_an_unpacked_folder_with_a_damaged_image_leaves_nothing(files, tmp_path):
    damaged = next(name for name in files if name.endswith(".JPEG"))
    write_files(tmp_path / "mine" / ROOT, files | {damaged: b""})
    data = tmp_path / "data"
    with pytest.raises(UserError, match="cannot be read as an image"):
        import_raw_files(
            TinyImageNet, [tmp_path / "mine"], data, lambda: TinyImageNet.prepare(data, tmp_path / "cache")
        )
    assert not data.exists()
