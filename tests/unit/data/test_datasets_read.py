"""Reading MNIST's files, preparing arrays once, and drawing from them."""

import gzip
import hashlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.datasets import mnist as mnist_files
from benchmark.data.datasets import stacked_mnist
from benchmark.data.datasets.mnist import find, parse_idx, unpacked
from benchmark.data.datasets.stacked_digits import StackedDigits
from benchmark.data.datasets.stacked_mnist import StackedMNIST
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import ImageSampler, mask_labels

CPU = torch.device("cpu")


# --- IDX files -----------------------------------------------------------------------------------------


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


arrays = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(
    lambda shape: np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)
)


def refused(content, tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    with pytest.raises(UserError) as raised:
        parse_idx(content, path)
    assert str(path) in str(raised.value)
    return str(raised.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


@given(array=arrays)
@settings(max_examples=50, deadline=None)
def test_idx_files_survive(folder, array):
    found = parse_idx(idx(array), folder / "file")
    assert found.dtype == np.uint8
    assert found.shape == array.shape
    assert (found == array).all()


@given(array=arrays, cut=st.integers(1, 100))
@settings(max_examples=80, deadline=None)
def test_a_truncated_idx_file_is_refused_wherever_it_ends(folder, array, cut):
    content = idx(array)
    refused(content[: max(len(content) - cut, 0)], folder)


@given(array=arrays, extra=st.binary(min_size=1, max_size=9))
@settings(max_examples=30, deadline=None)
def test_an_idx_file_with_more_than_its_header_says_is_refused(folder, array, extra):
    refused(idx(array) + extra, folder)


@given(array=arrays, magic=st.binary(min_size=4, max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_wrong_magic_number_is_refused(folder, array, magic):
    content = idx(array)
    assume(magic != content[:4])
    refused(magic + content[4:], folder)


@given(content=st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_array_or_refused_but_never_crash(folder, content):
    with suppress(UserError):
        assert parse_idx(content, folder / "file").size <= len(content)


@pytest.mark.parametrize("length", range(21))
def test_a_header_that_ends_early_is_refused(tmp_path, length):
    refused(idx(np.zeros((1, 2, 3), np.uint8))[:length], tmp_path)


@pytest.mark.parametrize("shape", [(2**31, 2**31, 4), (2**32 - 1,) * 4, (2**16, 2**16, 2**16, 2**16)])
def test_a_header_whose_size_overflows_is_refused(tmp_path, shape):
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
    refused(header, tmp_path)


# --- plain and gzipped files ---------------------------------------------------------------------------


@given(content=st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_plain_and_gzipped_files_hold_the_same(folder, content):
    (folder / "f").write_bytes(content)
    (folder / "f.gz").write_bytes(gzip.compress(content))
    assert unpacked(folder / "f") == unpacked(folder / "f.gz") == content


@given(cut=st.integers(0, 60), flips=st.lists(st.tuples(st.integers(0, 59), st.integers(1, 255)), max_size=3))
@settings(max_examples=100, deadline=None)
def test_a_damaged_gzip_is_read_right_or_refused_by_name(folder, cut, flips):
    content = bytes(range(40))
    packed = bytearray(gzip.compress(content, mtime=0))
    for place, bits in flips:
        packed[place % len(packed)] ^= bits
    path = folder / "damaged.gz"
    path.write_bytes(packed[:cut])
    try:
        found = unpacked(path)
    except UserError as error:
        found, message = content, str(error)
        assert_names(message, path)
    assert found in (content, b"")


def assert_names(message, path):
    assert str(path) in message
    assert "get the file again" in message


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "checksum"])
def test_a_damaged_gzip_is_refused_by_name(tmp_path, damage):
    packed = gzip.compress(bytes(1000), mtime=0)
    broken = {
        "truncated": packed[:-5],
        "not gzip": b"<html>Not found</html>",
        "checksum": packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:],
    }
    path = tmp_path / "images.gz"
    path.write_bytes(broken[damage])
    with pytest.raises(UserError) as raised:
        unpacked(path)
    assert_names(str(raised.value), path)


def test_a_file_that_cannot_be_opened_is_refused_by_name(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder: cannot be read"):
        unpacked(tmp_path / "folder")


# --- MNIST ---------------------------------------------------------------------------------------------


@pytest.fixture
def mnist(monkeypatch):
    """The contents of four small files that stand for MNIST's: 30 and 10 digits, 4 of the 30 set aside."""
    rng = np.random.default_rng(1)
    contents = {}
    monkeypatch.setattr(stacked_mnist, "ASIDE", 4)
    for name in mnist_files.FILES:
        n = 30 if name.startswith("train") else 10
        shape = (n, 28, 28) if "images" in name else (n,)
        array = rng.integers(0, 10 if "labels" in name else 256, shape, dtype=np.uint8)
        contents[name] = idx(array)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(mnist_files, "FILES", md5)
    return contents


def write(contents, folder, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("where", [".", "mnist", "MNIST", "MNIST/raw"])
def test_mnist_is_found_plain_or_gzipped_in_the_usual_folders(mnist, tmp_path, where, packed):
    assert StackedMNIST.missing_files(tmp_path) is not None
    write(mnist, tmp_path / where, packed)
    assert StackedMNIST.missing_files(tmp_path) is None
    train, test, checksums = StackedMNIST.read(tmp_path)
    digits = parse_idx(mnist["train-images-idx3-ubyte"], tmp_path)
    labels = parse_idx(mnist["train-labels-idx1-ubyte"], tmp_path)
    assert np.array_equal(train.images, digits[4:, None]), "the first ones are set aside"
    assert np.array_equal(train.labels, labels[4:])
    assert np.array_equal(test.images, parse_idx(mnist["t10k-images-idx3-ubyte"], tmp_path)[:, None])
    assert np.array_equal(test.labels, parse_idx(mnist["t10k-labels-idx1-ubyte"], tmp_path))
    assert sorted(checksums.values()) == sorted(mnist_files.FILES.values())


def test_plain_and_gzipped_mnist_prepare_to_the_same_arrays(mnist, tmp_path):
    write(mnist, tmp_path / "plain")
    write(mnist, tmp_path / "gz", packed=True)
    plain, packed = (
        open_prepared(StackedMNIST.prepare(tmp_path / kind, tmp_path / f"cache-{kind}")) for kind in ("plain", "gz")
    )
    assert np.array_equal(plain.train.images, packed.train.images)
    assert np.array_equal(plain.test.labels, packed.test.labels)


def test_55000_of_the_60000_training_digits_are_used():
    """MSGAN takes those of TensorFlow's tutorial, which sets the first 5,000 aside (2.1)."""
    assert stacked_mnist.ASIDE == 5000


def test_a_mnist_file_with_another_content_is_refused_by_name(mnist, tmp_path):
    write(mnist, tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(mnist["t10k-labels-idx1-ubyte"][:-1] + b"\x0b")
    with pytest.raises(UserError) as raised:
        StackedMNIST.prepare(tmp_path, tmp_path / "cache")
    assert str(path) in str(raised.value)
    assert mnist_files.FILES[path.name] in str(raised.value)
    assert visible(tmp_path / "cache") == []


def test_a_plain_file_is_taken_before_its_archive(mnist, tmp_path):
    write(mnist, tmp_path)
    write(mnist, tmp_path, packed=True)
    assert find(tmp_path, "train-images-idx3-ubyte") == tmp_path / "train-images-idx3-ubyte"


# --- Stacked-Digits ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_prepared(StackedDigits.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")))


def test_digits_are_scikit_learns_every_fourth_held_out(digits):
    from sklearn.datasets import load_digits

    source = load_digits()
    assert (len(digits.train.labels), len(digits.test.labels)) == (1348, 449)
    assert np.array_equal(digits.test.labels, source.target[3::4])
    assert np.array_equal(digits.test.images[:, 0], np.rint(source.images[3::4] / 16 * 255))
    assert set(np.unique(digits.train.labels)) == set(np.unique(digits.test.labels)) == set(range(10))


def test_grey_levels_0_to_16_spread_over_the_bytes(digits):
    levels = np.unique(digits.train.images)
    assert len(levels) == 17
    assert (levels[0], levels[-1]) == (0, 255)
    assert set(np.diff(levels.astype(int))) <= {15, 16, 17}


# --- preparing -----------------------------------------------------------------------------------------


class Counted(Dataset):
    """A dataset that counts how often it is read."""

    name, about, licence, source, shape = "counted", "for tests", "none", "none", (1, 2, 2)
    reads = 0

    @classmethod
    def missing_files(cls, data_dir):
        return None

    @classmethod
    def read(cls, data_dir):
        cls.reads += 1
        some = ArraySplit(np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2), np.arange(3))
        return some, some, {"none": "0" * 32}


def visible(folder):
    """What stands in a folder, besides locks."""
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(Counted, "reads", 0)
    return Counted


def test_raw_files_are_read_once(counted, tmp_path):
    assert not counted.is_prepared(tmp_path)
    path = counted.prepare(tmp_path, tmp_path)
    assert counted.is_prepared(tmp_path)
    assert counted.prepare(tmp_path, tmp_path) == path == counted.prepared_dir(tmp_path)
    assert counted.reads == 1


@pytest.mark.parametrize("left", [[], ["train_images.npy"], ["train_images.npy", "deep/er/file"]])
def test_a_half_finished_folder_is_replaced(counted, tmp_path, left):
    """As a machine that lost power leaves it: without a manifest."""
    for name in left:
        path = counted.prepared_dir(tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    counted.prepared_dir(tmp_path).mkdir(exist_ok=True)
    prepared = open_prepared(counted.prepare(tmp_path, tmp_path))
    assert prepared.train.images.shape == (3, 1, 2, 2)
    assert visible(tmp_path) == [prepared.path]


def test_a_read_that_fails_leaves_nothing_behind(counted, tmp_path, monkeypatch):
    def broken(data_dir):
        raise UserError("file.gz: damaged")

    monkeypatch.setattr(counted, "read", broken)
    with pytest.raises(UserError, match="damaged"):
        counted.prepare(tmp_path, tmp_path / "cache")
    assert not counted.is_prepared(tmp_path / "cache")
    assert visible(tmp_path / "cache") == []


def test_another_variant_of_the_preparation_is_another_folder(counted, tmp_path, monkeypatch):
    first = counted.prepare(tmp_path, tmp_path)
    monkeypatch.setattr(counted, "variant", "2")
    assert counted.prepare(tmp_path, tmp_path) != first
    assert counted.reads == 2


# --- drawing -------------------------------------------------------------------------------------------


def numbered(n, channels=1):
    """(n, channels, 2, 2) images; each tells its own number in every pixel."""
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, channels, 2, 2)).copy()


def test_draws_are_uniform_with_replacement():
    images = ImageSampler(numbered(10), 1, CPU)
    drawn = images.draw(5000, torch.Generator().manual_seed(0)).images
    assert drawn.shape == (5000, 1, 2, 2)
    counts = np.bincount(drawn[:, 0, 0, 0].numpy(), minlength=10)
    assert chisquare(counts).pvalue > 0.01


def test_stacked_channels_are_independent_uniform_draws():
    """All 6 x 6 x 6 combinations are equally likely."""
    images = ImageSampler(numbered(6), 3, CPU)
    drawn = images.draw(20_000, torch.Generator().manual_seed(0)).images
    assert drawn.shape == (20_000, 3, 2, 2)
    assert (drawn == drawn[:, :, :1, :1]).all(), "a channel is one image"
    a, b, c = drawn[:, :, 0, 0].T.long()
    counts = np.bincount((36 * a + 6 * b + c).numpy(), minlength=216)
    assert chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(("channels", "stacked"), [(3, 1), (1, 3), (2, 2)])
def test_stacking_multiplies_channels(channels, stacked):
    images = ImageSampler(numbered(5, channels), stacked, CPU)
    assert images.draw(4, torch.Generator().manual_seed(0)).images.shape == (4, channels * stacked, 2, 2)


def test_a_draw_is_a_copy():
    pixels = numbered(5)
    ImageSampler(pixels, 1, CPU).draw(50, torch.Generator().manual_seed(0)).images.zero_()
    assert pixels[4].max() == 4


# --- labels --------------------------------------------------------------------------------------------


def test_a_stacked_image_is_labelled_with_the_number_that_its_digits_write():
    images = ImageSampler(numbered(10), 3, CPU, labels=np.arange(10), classes=10)
    drawn = images.draw(500, torch.Generator().manual_seed(0))
    r, g, b = drawn.images[:, :, 0, 0].T.long()
    assert torch.equal(drawn.labels, 100 * r + 10 * g + b)


def test_a_stacked_image_has_a_label_when_all_its_parts_have_one():
    labels = np.where(np.arange(10) < 7, np.arange(10), -1)
    images = ImageSampler(numbered(10), 2, CPU, labels=labels, classes=10)
    drawn = images.draw(500, torch.Generator().manual_seed(0))
    parts = drawn.images[:, :, 0, 0].long()
    known = (parts < 7).all(1)
    assert known.any()
    assert not known.all()
    assert torch.equal(drawn.labels[known], 10 * parts[known, 0] + parts[known, 1])
    assert (drawn.labels[~known] == -1).all()


def test_labels_change_no_draw():
    plain, labelled = (
        ImageSampler(numbered(10), 3, CPU),
        ImageSampler(numbered(10), 3, CPU, labels=np.arange(10), classes=10),
    )
    one, other = (images.draw(20, torch.Generator().manual_seed(0)) for images in (plain, labelled))
    assert torch.equal(one.images, other.images)
    assert one.labels is None


@pytest.mark.parametrize(("share", "stacked", "known"), [(1.0, 3, 1000), (0.1, 1, 100), (0.008, 3, 200), (0.0, 1, 0)])
def test_so_many_images_keep_their_label_and_always_the_same(share, stacked, known):
    labels = np.arange(1000)
    kept = mask_labels(labels, share, stacked)
    assert (kept >= 0).sum() == known
    assert (kept[kept >= 0] == labels[kept >= 0]).all()
    np.testing.assert_array_equal(kept, mask_labels(labels, share, stacked))


def test_a_larger_share_keeps_the_labels_of_a_smaller_one():
    few, many = (mask_labels(np.arange(1000), share, 1) >= 0 for share in (0.1, 0.4))
    assert (many | ~few).all()
