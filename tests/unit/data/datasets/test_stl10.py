"""STL-10, from its archive and unpacked, compared with torchvision's reader."""

import gzip
import os
import resource

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets as theirs

from benchmark.core.errors import UserError
from benchmark.data.datasets import stl10
from benchmark.data.datasets.stl10 import STL10, LabelledSTL10, STL10At32
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.checksums import md5_of
from benchmark.data.raw.examples import tar_of, write_files
from tests.support.damage import refused

ALL = [STL10, STL10At32, LabelledSTL10]
ARCHIVE = stl10.ARCHIVE.name


@pytest.fixture
def files(monkeypatch):
    monkeypatch.setattr(stl10, "CHUNK", 5)
    files = stl10.example_files()
    for attribute, value in stl10.example_attributes(files).items():
        monkeypatch.setattr(STL10, attribute, value)
    return files


def read_by_torchvision(root, split, monkeypatch):
    monkeypatch.setattr(theirs.STL10, "_check_integrity", lambda self: True)
    return theirs.STL10(root, split)


def prepared(dataset, data_dir, cache):
    return open_prepared(dataset.prepare(data_dir, cache))


@pytest.mark.parametrize(
    ("dataset", "train", "size"), [(STL10, "unlabeled", 48), (STL10At32, "unlabeled", 32), (LabelledSTL10, "train", 48)]
)
def test_images_are_those_of_torchvision_resized_by_pillow(dataset, train, size, files, tmp_path, monkeypatch):
    write_files(tmp_path / "stl10_binary", files)
    prepared_data = prepared(dataset, tmp_path, tmp_path / "cache")
    for arrays, split in ((prepared_data.train, train), (prepared_data.test, "test")):
        expected = read_by_torchvision(tmp_path, split, monkeypatch)
        assert len(arrays.labels) == len(expected)
        for image, label, (original, their_label) in zip(arrays.images, arrays.labels, expected, strict=True):
            small = original.resize((size, size), Image.Resampling.BILINEAR)
            assert np.array_equal(image.transpose(1, 2, 0), small)
            assert label == (their_label if dataset.num_labels else -1)


@pytest.mark.parametrize("dataset", ALL)
def test_archive_and_unpacked_files_give_the_same_bytes(dataset, files, tmp_path):
    put(files, tmp_path / "packed", packed=True)
    put(files, tmp_path / "plain", packed=False)
    packed, plain = (dataset.prepare(tmp_path / kind, tmp_path / f"{kind}-cache") for kind in ("packed", "plain"))
    assert {p.name: p.read_bytes() for p in packed.iterdir()} == {p.name: p.read_bytes() for p in plain.iterdir()}


@pytest.mark.parametrize("where", stl10.FOLDERS)
def test_unpacked_files_are_found_in_the_usual_folders(where, files, tmp_path):
    assert STL10.missing_files(tmp_path) == [ARCHIVE]
    write_files(tmp_path / where, files)
    assert STL10.missing_files(tmp_path) == []


@pytest.mark.parametrize("dataset", ALL)
def test_each_missing_file_is_named_and_no_other(dataset, files, tmp_path):
    for name in dataset.files:
        write_files(tmp_path / name / "stl10_binary", {other: files[other] for other in files if other != name})
        assert dataset.missing_files(tmp_path / name) == [name]
        assert stl10.ARCHIVE.checksum in dataset.missing_message(tmp_path / name)


def test_files_that_a_variant_does_not_read_may_be_absent(files, tmp_path):
    write_files(tmp_path, {name: files[name] for name in ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")})
    assert LabelledSTL10.missing_files(tmp_path) == []
    assert STL10.missing_files(tmp_path) == ["unlabeled_X.bin"]


@pytest.mark.parametrize("name", LabelledSTL10.files)
@pytest.mark.parametrize("packed", [False, True])
def test_another_content_is_refused(name, packed, files, tmp_path):
    files[name] = bytes([files[name][0] ^ 1]) + files[name][1:]
    message = refused(LabelledSTL10, put(files, tmp_path / "raw", packed))
    assert name in message
    assert STL10.checksums[name] in message
    assert "replace it" in message


def put(files, folder, packed):
    archive = tar_of({f"stl10_binary/{name}": content for name, content in files.items()})
    write_files(folder, {ARCHIVE: archive} if packed else files)
    return folder


@pytest.mark.parametrize("cut", [1, 27_648])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_too_short_is_refused(cut, packed, files, tmp_path):
    files["test_X.bin"] = files["test_X.bin"][:-cut]
    message = refused(STL10, put(files, tmp_path / "raw", packed))
    assert "test_X.bin: holds" in message
    assert "get it again" in message


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_archive_is_refused(share, files, tmp_path):
    archive = put(files, tmp_path / "raw", packed=True) / ARCHIVE
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    message = refused(LabelledSTL10, archive.parent)
    assert str(archive) in message
    assert "get it again" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no tar"), gzip.compress(b"\0" * 10240)],
    ids=["nothing", "other bytes", "gzip of other bytes", "empty archive"],
)
def test_another_file_under_the_name_of_the_archive_is_refused(content, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(content)
    assert str(tmp_path / ARCHIVE) in refused(STL10, tmp_path)


def test_labels_out_of_range_are_refused(files, tmp_path, monkeypatch):
    files["test_y.bin"] = b"\x0b" + files["test_y.bin"][1:]
    monkeypatch.setitem(STL10.checksums, "test_y.bin", md5_of(files["test_y.bin"]))
    write_files(tmp_path / "raw", files)
    message = refused(LabelledSTL10, tmp_path / "raw")
    assert "test_y.bin: has labels from" in message
    assert "to 11" in message


def test_sizes_and_checksums_are_torchvisions():
    md5 = dict(theirs.STL10.train_list + theirs.STL10.test_list)
    assert STL10.checksums == md5
    assert (theirs.STL10.tgz_md5, theirs.STL10.url) == (stl10.ARCHIVE.checksum, *stl10.ARCHIVE.urls)
    assert list(STL10.lengths.values()) == [100_000, 5_000, 5_000, 8_000, 8_000]


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    """A sparse file of 5,000 images, 138 MB, of which 500 are in memory at a time."""
    with (tmp_path / "train_X.bin").open("wb") as file:
        os.truncate(file.fileno(), 5_000 * stl10.PIXELS)
    monkeypatch.setitem(STL10.lengths, "train_X.bin", 5_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="not the official"):
        for _ in STL10At32.chunks(tmp_path, "train_X.bin", np.full(5_000, -1)):
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000, "KiB"
