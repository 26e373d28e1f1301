"""MNIST and Stacked-MNIST: IDX files, plain and gzipped, compared with torchvision's reader."""

import gzip
from contextlib import suppress

import numpy as np
import pytest
import torchvision.datasets as theirs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.data.datasets.mnist import FOLDERS, GZ_MD5, MIRRORS, MNIST, idx_of, parse_idx, unpack
from benchmark.data.datasets.stacked_mnist import StackedMNIST
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.checksums import md5_of
from tests.support.damage import DAMAGES, damaged, refused
from tests.support.examples import small_mnist

# --- IDX files -----------------------------------------------------------------------------------------

arrays = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(
    lambda shape: np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


def assert_idx_refused(content, folder):
    path = folder / "train-images-idx3-ubyte"
    with pytest.raises(UserError) as raised:
        parse_idx(content, path)
    assert str(path) in str(raised.value)


@given(array=arrays)
@settings(max_examples=50, deadline=None)
def test_an_array_survives_a_round_trip(folder, array):
    parsed = parse_idx(idx_of(array), folder / "file")
    assert parsed.dtype == np.uint8
    np.testing.assert_array_equal(parsed, array)


@given(array=arrays, cut=st.integers(1, 100))
@settings(max_examples=80, deadline=None)
def test_a_truncated_idx_file_is_refused(folder, array, cut):
    content = idx_of(array)
    assert_idx_refused(content[: max(len(content) - cut, 0)], folder)


@given(array=arrays, extra=st.binary(min_size=1, max_size=9))
@settings(max_examples=30, deadline=None)
def test_an_idx_file_longer_than_its_header_says_is_refused(folder, array, extra):
    assert_idx_refused(idx_of(array) + extra, folder)


@given(array=arrays, magic=st.binary(min_size=4, max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_wrong_magic_number_is_refused(folder, array, magic):
    content = idx_of(array)
    assume(magic != content[:4])
    assert_idx_refused(magic + content[4:], folder)


@given(content=st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_parsed_or_refused(folder, content):
    with suppress(UserError):
        assert parse_idx(content, folder / "file").size <= len(content)


@pytest.mark.parametrize("length", range(21))
def test_an_incomplete_header_is_refused(tmp_path, length):
    assert_idx_refused(idx_of(np.zeros((1, 2, 3), np.uint8))[:length], tmp_path)


@pytest.mark.parametrize("shape", [(2**31, 2**31, 4), (2**32 - 1,) * 4, (2**16, 2**16, 2**16, 2**16)])
def test_a_header_whose_size_overflows_is_refused(tmp_path, shape):
    assert_idx_refused(bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes(), tmp_path)


# --- gzip ----------------------------------------------------------------------------------------------


@given(content=st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_plain_and_gzipped_files_have_the_same_content(folder, content):
    (folder / "f").write_bytes(content)
    (folder / "f.gz").write_bytes(gzip.compress(content))
    assert unpack(folder / "f") == unpack(folder / "f.gz") == content


@given(cut=st.integers(0, 60), flips=st.lists(st.tuples(st.integers(0, 59), st.integers(1, 255)), max_size=3))
@settings(max_examples=100, deadline=None)
def test_a_damaged_gzip_file_is_unpacked_correctly_or_refused(folder, cut, flips):
    content = bytes(range(40))
    packed = bytearray(gzip.compress(content, mtime=0))
    for place, bits in flips:
        packed[place % len(packed)] ^= bits
    path = folder / "damaged.gz"
    path.write_bytes(packed[:cut])
    try:
        assert unpack(path) in (content, b"")
    except UserError as error:
        assert_named(path, error)


def assert_named(path, error):
    assert str(path) in str(error)


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "checksum"])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    packed = gzip.compress(bytes(1000), mtime=0)
    contents = {
        "truncated": packed[:-5],
        "not gzip": b"<html>Not found</html>",
        "checksum": packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:],
    }
    path = tmp_path / "images.gz"
    path.write_bytes(contents[damage])
    with pytest.raises(UserError, match=r"images\.gz: cannot be read.*get the file again"):
        unpack(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder: cannot be read"):
        unpack(tmp_path / "folder")


# --- MNIST ---------------------------------------------------------------------------------------------


def test_addresses_and_checksums_are_torchvisions():
    assert list(GZ_MD5.items()) == theirs.MNIST.resources
    assert list(MIRRORS) == theirs.MNIST.mirrors
    assert [f"{name}.gz" for name in MNIST.checksums] == list(GZ_MD5)


def test_images_and_labels_are_those_of_torchvision(tmp_path, monkeypatch):
    small_mnist(tmp_path / "MNIST" / "raw", monkeypatch)
    for split, train in zip(MNIST.read(tmp_path)[:2], (True, False), strict=True):
        expected = theirs.MNIST(tmp_path, train=train)
        np.testing.assert_array_equal(split.images[:, 0], expected.data)
        np.testing.assert_array_equal(split.labels, expected.targets)


def test_stacked_mnist_sets_the_first_training_digits_aside(tmp_path, monkeypatch):
    """MSGAN uses the split of TensorFlow's tutorial, which sets the first 5,000 aside (2.1)."""
    assert StackedMNIST.num_set_aside == 5000
    small_mnist(tmp_path, monkeypatch)
    (train, test, _), (all_train, all_test, _) = StackedMNIST.read(tmp_path), MNIST.read(tmp_path)
    np.testing.assert_array_equal(train.images, all_train.images[5:])
    np.testing.assert_array_equal(train.labels, all_train.labels[5:])
    np.testing.assert_array_equal(test.images, all_test.images)


def pack(folder):
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("where", FOLDERS)
def test_files_are_found_plain_or_gzipped_in_the_usual_folders(tmp_path, where, packed, monkeypatch):
    assert len(StackedMNIST.missing_files(tmp_path)) == 4
    small_mnist(tmp_path / where, monkeypatch)
    if packed:
        pack(tmp_path / where)
    assert StackedMNIST.missing_files(tmp_path) == []
    train, test, checksums = StackedMNIST.read(tmp_path)
    assert (len(train.labels), len(test.labels)) == (35, 20)
    assert sorted(checksums.values()) == sorted(MNIST.checksums.values())


def test_plain_and_gzipped_files_prepare_to_the_same_arrays(tmp_path, monkeypatch):
    for kind in ("plain", "gz"):
        small_mnist(tmp_path / kind, monkeypatch)
    pack(tmp_path / "gz")
    plain, packed = (
        open_prepared(StackedMNIST.prepare(tmp_path / kind, tmp_path / f"cache-{kind}")) for kind in ("plain", "gz")
    )
    assert np.array_equal(plain.train.images, packed.train.images)
    assert np.array_equal(plain.test.labels, packed.test.labels)


def test_a_plain_file_is_preferred_to_its_archive(tmp_path, monkeypatch):
    small_mnist(tmp_path, monkeypatch)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not gzip")
    assert "train-images-idx3-ubyte" in MNIST.read(tmp_path)[2]


@pytest.mark.parametrize("dataset", [MNIST, StackedMNIST])
@pytest.mark.parametrize("name", MNIST.checksums)
@DAMAGES
def test_a_damaged_file_is_refused_by_name(dataset, name, damage, tmp_path, monkeypatch):
    small_mnist(tmp_path, monkeypatch)
    path = tmp_path / name
    path.write_bytes(damaged(path.read_bytes() + bytes(60), damage))
    refused(dataset, tmp_path, path, MNIST.checksums[name], md5_of(path.read_bytes()))


def test_swapped_files_are_refused(tmp_path, monkeypatch):
    small_mnist(tmp_path, monkeypatch)
    train, test = (tmp_path / f"{split}-labels-idx1-ubyte" for split in ("train", "t10k"))
    train.write_bytes(test.read_bytes())
    refused(MNIST, tmp_path, train, "holds the official t10k-labels-idx1-ubyte")


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("t10k-labels-idx1-ubyte", np.full(20, 10), ["from 10 to 10", "expected 0 to 9"]),
        ("t10k-labels-idx1-ubyte", np.ones(19), ["(19,)", "expected 20 integers"]),
        ("t10k-labels-idx1-ubyte", np.ones((20, 1)), ["(20, 1)", "expected 20 integers"]),
        ("t10k-images-idx3-ubyte", np.ones((20, 28, 27)), ["(20, 28, 27)", "expected (N, 28, 28)"]),
        ("t10k-images-idx3-ubyte", np.ones(20), ["(20,)", "expected (N, 28, 28)"]),
    ],
)
def test_a_file_with_wrong_images_or_labels_is_refused(name, array, words, tmp_path, monkeypatch):
    small_mnist(tmp_path, monkeypatch)
    content = idx_of(array.astype(np.uint8))
    (tmp_path / name).write_bytes(content)
    monkeypatch.setitem(MNIST.checksums, name, md5_of(content))
    refused(MNIST, tmp_path, tmp_path / name, *words)
