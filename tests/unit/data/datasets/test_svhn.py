"""SVHN, compared with torchvision's reader."""

import numpy as np
import pytest
import torchvision.datasets as theirs
from scipy.io import savemat

from benchmark.data.datasets.svhn import FOLDERS, MD5, SVHN
from benchmark.data.raw.checksums import md5_of
from tests.support.damage import DAMAGES, damaged, refused
from tests.support.examples import example_files


@pytest.fixture
def raw(tmp_path, monkeypatch):
    example_files(SVHN, tmp_path, monkeypatch)
    return tmp_path


def test_addresses_and_checksums_are_torchvisions():
    listed = [theirs.SVHN.split_list[split] for split in ("train", "test")]
    assert [[*file.urls, file.name, file.checksum] for file in SVHN.downloads] == listed


def test_images_and_labels_are_those_of_torchvision(raw, monkeypatch):
    for split, name in zip(SVHN.read(raw)[:2], ("train", "test"), strict=True):
        entry = ["", f"{name}_32x32.mat", SVHN.checksums[f"{name}_32x32.mat"]]
        monkeypatch.setitem(theirs.SVHN.split_list, name, entry)
        expected = theirs.SVHN(raw, name)
        np.testing.assert_array_equal(split.images, expected.data)
        np.testing.assert_array_equal(split.labels, expected.labels)
        assert set(split.labels) == set(range(10))


@pytest.mark.parametrize("where", FOLDERS)
def test_files_are_found_in_the_usual_folders(where, tmp_path, monkeypatch):
    example_files(SVHN, tmp_path / where, monkeypatch)
    assert SVHN.missing_files(tmp_path) == []
    assert [len(split.labels) for split in SVHN.read(tmp_path)[:2]] == [24, 15]


@DAMAGES
@pytest.mark.parametrize("name", MD5)
def test_a_damaged_file_is_refused_by_name(name, damage, raw, monkeypatch):
    path = raw / name
    path.write_bytes(damaged(path.read_bytes(), damage))
    refused(SVHN, raw, path, SVHN.checksums[name], md5_of(path.read_bytes()))
    monkeypatch.setitem(SVHN.checksums, name, md5_of(path.read_bytes()))
    if damage != "changed":  # another letter in the header's text does no harm
        refused(SVHN, raw, path, "cannot be read as a MATLAB 5 file")


def test_swapped_files_are_refused(raw):
    train, test = (raw / name for name in MD5)
    train.write_bytes(test.read_bytes())
    refused(SVHN, raw, train, "holds the official test_32x32.mat")


IMAGES, DIGITS = np.zeros((32, 32, 3, 4), np.uint8), np.array([[1], [10], [2], [3]], np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": IMAGES, "y": DIGITS + 1}, ["from 2 to 11", "expected 1 to 10"]),
        ({"X": IMAGES, "y": DIGITS - 1}, ["from 0 to 9", "expected 1 to 10"]),
        ({"X": IMAGES, "y": DIGITS[1:]}, ["(32, 32, 3, 4)", "(3, 1)"]),
        ({"X": IMAGES, "y": DIGITS.astype(float)}, ["float64"]),
        ({"X": IMAGES.astype(float), "y": DIGITS}, ["float64"]),
        ({"X": IMAGES[:31], "y": DIGITS}, ["(4, 3, 31, 32)", "(N, 3, 32, 32)"]),
        ({"X": IMAGES[..., 0], "y": DIGITS}, ["(32, 32, 3)"]),
        ({"X": IMAGES}, ["lacks y"]),
        ({"y": DIGITS}, ["lacks X"]),
    ],
)
def test_a_file_with_wrong_images_or_labels_is_refused(arrays, words, raw, monkeypatch):
    path = raw / "test_32x32.mat"
    savemat(path, arrays)
    monkeypatch.setitem(SVHN.checksums, path.name, md5_of(path.read_bytes()))
    refused(SVHN, raw, path, *words)
