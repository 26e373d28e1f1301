"""STL-10, from its archive and unpacked, against torchvision's reader."""

import gzip
import hashlib
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
from tests.support.raw_pictures import stl10_files, write_files, write_tar

ALL = [STL10, STL10At32, LabelledSTL10]


@pytest.fixture
def files(monkeypatch):
    monkeypatch.setattr(stl10, "CHUNK", 5)
    return stl10_files(monkeypatch)


def read_by_torchvision(root, split, monkeypatch):
    monkeypatch.setattr(theirs.STL10, "_check_integrity", lambda self: True)
    return theirs.STL10(root, split)


def prepared(dataset, data_dir, cache):
    return open_prepared(dataset.prepare(data_dir, cache))


def refused(dataset, data_dir, cache):
    with pytest.raises(UserError) as raised:
        dataset.prepare(data_dir, cache)
    assert not cache.exists() or not any(p.suffix != ".lock" for p in cache.iterdir()), "nothing is left behind"
    return str(raised.value)


@pytest.mark.parametrize(
    ("dataset", "train", "size"), [(STL10, "unlabeled", 48), (STL10At32, "unlabeled", 32), (LabelledSTL10, "train", 48)]
)
def test_images_are_those_of_torchvision_made_smaller_by_pillow(dataset, train, size, files, tmp_path, monkeypatch):
    write_files(files, tmp_path / "stl10_binary")
    found = prepared(dataset, tmp_path, tmp_path / "cache")
    for arrays, split in ((found.train, train), (found.test, "test")):
        expected = read_by_torchvision(tmp_path, split, monkeypatch)
        assert len(arrays.labels) == len(expected)
        for image, label, (picture, their_label) in zip(arrays.images, arrays.labels, expected, strict=True):
            small = picture.resize((size, size), Image.Resampling.BILINEAR)
            assert np.array_equal(image.transpose(1, 2, 0), small)
            assert label == (their_label if dataset.num_labels else -1)


@pytest.mark.parametrize("dataset", ALL)
def test_archive_and_unpacked_files_give_the_same_bytes(dataset, files, tmp_path):
    (tmp_path / "packed").mkdir()
    write_tar({f"stl10_binary/{name}": content for name, content in files.items()}, tmp_path / "packed" / stl10.ARCHIVE)
    write_files(files, tmp_path / "plain")
    packed, plain = (dataset.prepare(tmp_path / kind, tmp_path / f"{kind}-cache") for kind in ("packed", "plain"))
    assert {p.name: p.read_bytes() for p in packed.iterdir()} == {p.name: p.read_bytes() for p in plain.iterdir()}


@pytest.mark.parametrize("where", stl10.FOLDERS)
def test_unpacked_files_are_found_in_the_usual_folders(where, files, tmp_path):
    assert STL10.missing_files(tmp_path) is not None
    write_files(files, tmp_path / where)
    assert STL10.missing_files(tmp_path) is None


@pytest.mark.parametrize("dataset", ALL)
def test_each_missing_file_is_named_and_no_other(dataset, files, tmp_path):
    for name in dataset.files:
        write_files({other: files[other] for other in files if other != name}, tmp_path / name / "stl10_binary")
        problem = dataset.missing_files(tmp_path / name)
        assert f"1 of {len(dataset.files)}" in problem
        assert f"  {name}\n" in problem
        assert stl10.ARCHIVE_MD5 in problem


def test_files_that_a_variant_does_not_read_may_be_absent(files, tmp_path):
    write_files({name: files[name] for name in ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")}, tmp_path)
    assert LabelledSTL10.missing_files(tmp_path) is None
    assert "unlabeled_X.bin" in STL10.missing_files(tmp_path)


@pytest.mark.parametrize("name", LabelledSTL10.files)
@pytest.mark.parametrize("packed", [False, True])
def test_another_content_is_refused(name, packed, files, tmp_path):
    files[name] = bytes([files[name][0] ^ 1]) + files[name][1:]
    message = refused(LabelledSTL10, put(files, tmp_path / "raw", packed), tmp_path / "cache")
    assert name in message
    assert stl10.FILES[name][1] in message
    assert "replace it" in message


def put(files, folder, packed):
    folder.mkdir()
    if packed:
        write_tar({f"stl10_binary/{name}": content for name, content in files.items()}, folder / stl10.ARCHIVE)
    else:
        write_files(files, folder)
    return folder


@pytest.mark.parametrize("cut", [1, 27_648])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_too_short_is_refused(cut, packed, files, tmp_path):
    files["test_X.bin"] = files["test_X.bin"][:-cut]
    message = refused(STL10, put(files, tmp_path / "raw", packed), tmp_path / "cache")
    assert "test_X.bin: holds" in message
    assert "get it again" in message


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_archive_is_refused(share, files, tmp_path):
    archive = put(files, tmp_path / "raw", packed=True) / stl10.ARCHIVE
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    message = refused(LabelledSTL10, archive.parent, tmp_path / "cache")
    assert str(archive) in message
    assert "get it again" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no tar"), gzip.compress(b"\0" * 10240)],
    ids=["nothing", "other bytes", "gzip of other bytes", "empty archive"],
)
def test_what_is_no_archive_of_stl10_is_refused(content, tmp_path):
    (tmp_path / stl10.ARCHIVE).write_bytes(content)
    assert str(tmp_path / stl10.ARCHIVE) in refused(STL10, tmp_path, tmp_path / "cache")


def test_labels_out_of_range_are_refused(files, tmp_path, monkeypatch):
    files["test_y.bin"] = b"\x0b" + files["test_y.bin"][1:]
    md5 = hashlib.md5(files["test_y.bin"]).hexdigest()
    monkeypatch.setitem(stl10.FILES, "test_y.bin", (len(files["test_y.bin"]), md5))
    write_files(files, tmp_path / "raw")
    message = refused(LabelledSTL10, tmp_path / "raw", tmp_path / "cache")
    assert "test_y.bin: has labels from" in message
    assert "to 11" in message


def test_sizes_and_checksums_are_torchvisions():
    md5 = dict(theirs.STL10.train_list + theirs.STL10.test_list)
    assert {name: checksum for name, (_, checksum) in stl10.FILES.items()} == md5
    assert theirs.STL10.tgz_md5 == stl10.ARCHIVE_MD5
    assert [n for n, _ in stl10.FILES.values()] == [100_000, 5_000, 5_000, 8_000, 8_000]


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    """A sparse file of 10,000 images, 276 MB, of which 500 are held at a time."""
    with (tmp_path / "train_X.bin").open("wb") as file:
        os.truncate(file.fileno(), 10_000 * stl10.PIXELS)
    monkeypatch.setitem(stl10.FILES, "train_X.bin", (10_000, "0" * 32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="not the official"):
        for _ in stl10._chunks(tmp_path, "train_X.bin", 32, np.full(10_000, -1)):
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "KiB"
