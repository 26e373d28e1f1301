"""CIFAR, SVHN and MNIST: equal to torchvision's readers, and every damage refused by name."""

import gzip
import io
import tarfile
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import torchvision.datasets as theirs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from benchmark.core.errors import UserError
from benchmark.data.datasets import cifar, svhn
from benchmark.data.datasets import mnist as mnist_files
from benchmark.data.datasets.cifar import CIFAR10, CIFAR100
from benchmark.data.datasets.mnist import MNIST
from benchmark.data.datasets.stacked_mnist import ASIDE, StackedMNIST
from benchmark.data.datasets.svhn import SVHN
from benchmark.data.raw import archive
from tests.support.examples import cifar_files, md5, python2_pickle, small_cifar, small_mnist, small_svhn, tar_gz

CIFARS = pytest.mark.parametrize("dataset", [CIFAR10, CIFAR100], ids=lambda dataset: dataset.name)
ROOT = {CIFAR10: theirs.CIFAR10, CIFAR100: theirs.CIFAR100}


def raw_files(folder):
    """All that is under a folder, but for the empty cache and its locks."""
    return sorted(path for path in folder.rglob("*") if path.suffix != ".lock" and path != folder / "cache")


def refused(dataset, folder, *words):
    """Refused with a message that has all the words; nothing is left."""
    before = raw_files(folder)
    with pytest.raises(UserError) as raised:
        dataset.prepare(folder, folder / "cache")
    text = str(raised.value)
    for word in map(str, words):
        assert word in text
    assert "get the" in text or "Get them" in text or "replace it" in text
    assert raw_files(folder) == before, "nothing is left behind"
    return text


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def publish(monkeypatch, dataset, contents):
    """These are the official files now."""
    monkeypatch.setattr(dataset, "files", {name: md5(contents[name]) for name in dataset.files})


# --- the same as torchvision reads ---------------------------------------------------------------------


@CIFARS
def test_the_md5_are_those_that_torchvision_lists(dataset):
    other = ROOT[dataset]
    assert dataset.files == dict([*other.train_list, *other.test_list])
    assert list(dataset.files)[-1] == other.test_list[0][0]
    assert (dataset.archive, dataset.archive_md5, dataset.unpacked) == (
        other.filename,
        other.tgz_md5,
        other.base_folder,
    )


def test_so_are_those_of_svhn_and_mnist():
    assert {name: md5 for _, name, md5 in (theirs.SVHN.split_list[split] for split in ("train", "test"))} == svhn.FILES
    assert [f"{name}.gz" for name in mnist_files.FILES] == [name for name, _ in theirs.MNIST.resources]


@CIFARS
def test_cifar_is_what_torchvision_reads(dataset, tmp_path, monkeypatch):
    small_cifar(dataset, tmp_path, monkeypatch)
    contents = cifar_files(dataset)
    write(tmp_path / dataset.unpacked, contents)
    other = ROOT[dataset]
    for table in ("train_list", "test_list"):
        monkeypatch.setattr(other, table, [[name, md5(contents[name])] for name, _ in getattr(other, table)])
    monkeypatch.setattr(other, "meta", other.meta | {"md5": md5(contents[other.meta["filename"]])})
    for split, train in zip(dataset.read(tmp_path)[:2], (True, False), strict=True):
        found = other(tmp_path, train=train)
        np.testing.assert_array_equal(split.images, found.data.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(split.labels, found.targets)


def test_svhn_is_what_torchvision_reads(tmp_path, monkeypatch):
    small_svhn(tmp_path, monkeypatch)
    for split, name in zip(SVHN.read(tmp_path)[:2], ("train", "test"), strict=True):
        entry = ["", f"{name}_32x32.mat", svhn.FILES[f"{name}_32x32.mat"]]
        monkeypatch.setitem(theirs.SVHN.split_list, name, entry)
        found = theirs.SVHN(tmp_path, name)
        np.testing.assert_array_equal(split.images, found.data)
        np.testing.assert_array_equal(split.labels, found.labels)
        assert set(split.labels) == set(range(10))


def test_mnist_is_what_torchvision_reads_and_keeps_all_training_digits(tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    small_mnist(raw, monkeypatch)
    for split, train in zip(MNIST.read(tmp_path)[:2], (True, False), strict=True):
        found = theirs.MNIST(tmp_path, train=train)
        np.testing.assert_array_equal(split.images[:, 0], found.data)
        np.testing.assert_array_equal(split.labels, found.targets)
    assert ASIDE == 5000
    np.testing.assert_array_equal(StackedMNIST.read(tmp_path)[0].images, MNIST.read(tmp_path)[0].images[5:])


# --- where files are found -----------------------------------------------------------------------------


@CIFARS
@pytest.mark.parametrize("place", range(4))
def test_the_archive_and_the_folder_prepare_to_the_same_bytes(dataset, place, tmp_path, monkeypatch):
    packed, unpacked = (tmp_path / kind / dataset.folders[place] for kind in ("packed", "unpacked"))
    packed.mkdir(parents=True)
    small_cifar(dataset, packed, monkeypatch)
    write(unpacked / dataset.unpacked, cifar_files(dataset))
    one, other = (dataset.prepare(tmp_path / kind, tmp_path / f"{kind} cache") for kind in ("packed", "unpacked"))
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}
    assert sorted(p.name for p in packed.iterdir() if p.is_file()) == [dataset.archive], "nothing was unpacked"


@CIFARS
def test_a_folder_that_is_not_whole_is_told_and_gives_way_to_the_archive(dataset, tmp_path, monkeypatch):
    contents = cifar_files(dataset)
    *_, last = dataset.files
    folder = tmp_path / dataset.unpacked
    write(folder, {name: content for name, content in contents.items() if name != last})
    assert f"{folder} lacks {last}\n" in refused(dataset, tmp_path, dataset.archive, "--data-dir")
    small_cifar(dataset, tmp_path, monkeypatch)
    assert dataset.missing_files(tmp_path) is None
    assert len(dataset.read(tmp_path)[1].labels) == 12


@pytest.mark.parametrize("where", svhn.FOLDERS)
def test_svhn_is_found_in_the_usual_folders(where, tmp_path, monkeypatch):
    (tmp_path / where).mkdir(exist_ok=True)
    small_svhn(tmp_path / where, monkeypatch)
    assert SVHN.missing_files(tmp_path) is None
    assert [len(split.labels) for split in SVHN.read(tmp_path)[:2]] == [24, 15]


# --- damaged files -------------------------------------------------------------------------------------


def spoil(content, damage):
    return {"truncated": content[:-7], "empty": b"", "changed": content[:50] + b"!" + content[51:]}[damage]


DAMAGES = pytest.mark.parametrize("damage", ["truncated", "empty", "changed"])


@DAMAGES
@CIFARS
def test_a_damaged_batch_is_refused_by_name(dataset, damage, tmp_path, monkeypatch):
    contents = cifar_files(dataset)
    publish(monkeypatch, dataset, contents)
    for name in dataset.files:
        damaged = contents | {name: spoil(contents[name], damage)}
        folder = tmp_path / name
        write(folder / dataset.unpacked, damaged)
        words = (dataset.files[name], md5(damaged[name]), "is empty" if damage == "empty" else f"official {name}")
        refused(dataset, folder, folder / dataset.unpacked / name, *words)
        packed = tmp_path / f"{name} packed"
        content = tar_gz({f"{dataset.unpacked}/{member}": content for member, content in damaged.items()})
        write(packed, {dataset.archive: content})
        words = (*words, md5(content), dataset.archive_md5)
        refused(dataset, packed, f"{packed / dataset.archive}: {dataset.unpacked}/{name}: ", *words)


@CIFARS
def test_a_test_batch_under_the_name_of_a_training_one_is_refused(dataset, tmp_path, monkeypatch):
    contents = cifar_files(dataset)
    publish(monkeypatch, dataset, contents)
    first, *_, last = dataset.files
    write(tmp_path / dataset.unpacked, contents | {first: contents[last]})
    refused(dataset, tmp_path, tmp_path / dataset.unpacked / first, f"holds the official {last}", dataset.files[first])


@DAMAGES
@pytest.mark.parametrize("name", svhn.FILES)
def test_a_damaged_mat_file_is_refused_by_name(name, damage, tmp_path, monkeypatch):
    small_svhn(tmp_path, monkeypatch)
    path = tmp_path / name
    path.write_bytes(spoil(path.read_bytes(), damage))
    refused(SVHN, tmp_path, path, svhn.FILES[name], md5(path.read_bytes()))
    monkeypatch.setitem(svhn.FILES, name, md5(path.read_bytes()))
    if damage != "changed":  # a letter more or less in the header's text does no harm
        refused(SVHN, tmp_path, path, "no readable MATLAB 5 file")


@pytest.mark.parametrize("dataset", [MNIST, StackedMNIST])
@pytest.mark.parametrize("name", mnist_files.FILES)
@DAMAGES
def test_a_damaged_idx_file_is_refused_by_name(dataset, name, damage, tmp_path, monkeypatch):
    small_mnist(tmp_path, monkeypatch)
    path = tmp_path / name
    path.write_bytes(spoil(path.read_bytes() + bytes(60), damage))
    refused(dataset, tmp_path, path, mnist_files.FILES[name], md5(path.read_bytes()))


def test_swapped_files_of_svhn_and_mnist_are_refused(tmp_path, monkeypatch):
    small_svhn(tmp_path, monkeypatch)
    train, test = (tmp_path / name for name in svhn.FILES)
    train.write_bytes(test.read_bytes())
    refused(SVHN, tmp_path, train, "holds the official test_32x32.mat")
    small_mnist(tmp_path, monkeypatch)
    train, test = (tmp_path / f"{split}-labels-idx1-ubyte" for split in ("train", "t10k"))
    train.write_bytes(test.read_bytes())
    refused(MNIST, tmp_path, train, "holds the official t10k-labels-idx1-ubyte")


# --- files with the right md5 and a wrong content ------------------------------------------------------

DATA, LABELS = np.zeros((3, 3072), np.uint8), [0, 1, 2]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"data": DATA, "labels": [0, 1, 10]}, ["0 to 10", "expected 0 to 9"]),
        ({"data": DATA, "labels": [0, 1, -1]}, ["-1 to 1", "expected 0 to 9"]),
        ({"data": DATA, "labels": [0, 1]}, ["expected 3 whole numbers"]),
        ({"data": DATA, "labels": ["a", "b", "c"]}, ["'labels'", "whole numbers"]),
        ({"data": DATA, "fine_labels": LABELS}, ["'labels'", "whole numbers"]),
        ({"data": DATA[:, :-1], "labels": LABELS}, ["'data'", "(3, 3071)", "expected uint8 (N, 3072)"]),
        ({"data": DATA.reshape(3, 3, 32, 32), "labels": LABELS}, ["'data'", "(3, 3, 32, 32)"]),
        ({"data": LABELS, "labels": LABELS}, ["'data'", "nothing of the kind"]),
        ({"labels": LABELS}, ["'data'", "nothing of the kind"]),
    ],
    ids=str,
)
def test_a_batch_of_other_images_or_labels_is_refused(batch, words, tmp_path, monkeypatch):
    contents = cifar_files(CIFAR10) | {"data_batch_3": python2_pickle(batch)}
    publish(monkeypatch, CIFAR10, contents)
    write(tmp_path / CIFAR10.unpacked, contents)
    refused(CIFAR10, tmp_path, tmp_path / CIFAR10.unpacked / "data_batch_3", *words)


def test_a_batch_that_calls_something_is_refused_by_name_and_not_run(tmp_path, monkeypatch):
    call = f"cos\nsystem\n(U\x01xtR}}U\x01a{tmp_path}".encode()
    contents = cifar_files(CIFAR10) | {"test_batch": call}
    publish(monkeypatch, CIFAR10, contents)
    write(tmp_path, {CIFAR10.archive: tar_gz({f"{CIFAR10.unpacked}/{n}": c for n, c in contents.items()})})
    refused(CIFAR10, tmp_path, f"{tmp_path / CIFAR10.archive}: {CIFAR10.unpacked}/test_batch: ", "os.system", "not run")


IMAGES, DIGITS = np.zeros((32, 32, 3, 4), np.uint8), np.array([[1], [10], [2], [3]], np.uint8)


@pytest.mark.parametrize(
    ("held", "words"),
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
def test_a_mat_file_of_other_images_or_labels_is_refused(held, words, tmp_path, monkeypatch):
    small_svhn(tmp_path, monkeypatch)
    path = tmp_path / "test_32x32.mat"
    savemat(path, held)
    monkeypatch.setitem(svhn.FILES, path.name, md5(path.read_bytes()))
    refused(SVHN, tmp_path, path, *words)


def idx(*shape, value=1):
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + bytes([value]) * int(np.prod(shape))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t10k-labels-idx1-ubyte", idx(20, value=10), ["from 10 to 10", "expected 0 to 9"]),
        ("t10k-labels-idx1-ubyte", idx(19), ["(19,)", "expected 20 whole numbers"]),
        ("t10k-labels-idx1-ubyte", idx(20, 1), ["(20, 1)", "expected 20 whole numbers"]),
        ("t10k-images-idx3-ubyte", idx(20, 28, 27), ["(20, 28, 27)", "expected (N, 28, 28)"]),
        ("t10k-images-idx3-ubyte", idx(20), ["(20,)", "expected (N, 28, 28)"]),
    ],
)
def test_an_idx_file_of_other_images_or_labels_is_refused(name, content, words, tmp_path, monkeypatch):
    small_mnist(tmp_path, monkeypatch)
    (tmp_path / name).write_bytes(content)
    monkeypatch.setitem(mnist_files.FILES, name, md5(content))
    refused(MNIST, tmp_path, tmp_path / name, *words)


# --- archives ------------------------------------------------------------------------------------------

CONTENTS = {"a/one": b"1" * 700, "a/two": b"2" * 30}


def packed(*members):
    """An archive of (name, type, content or what a link points to)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname = content
                made.addfile(member)
            else:
                member.size = len(content)
                made.addfile(member, io.BytesIO(content))
    return out.getvalue()


def archived(path, content):
    path.write_bytes(content)
    return dict(archive.members(path, CONTENTS))


def not_archived(path, content, *words):
    with pytest.raises(UserError) as raised:
        archived(path, content)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert "; get the " in text
    for word in words:
        assert word in text


def test_members_come_out_of_an_archive_and_others_do_not(tmp_path):
    assert archived(tmp_path / "x.tar.gz", tar_gz(CONTENTS | {"a/three": b"3", "../../etc": b"4"})) == CONTENTS
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_not_followed(kind, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    for target in ("one", "a/one", str(tmp_path / "secret"), "../secret"):
        content = packed(("a/one", tarfile.REGTYPE, b"1"), ("a/two", kind, target))
        not_archived(tmp_path / "x.tar.gz", content, "a/two: is a link", "not followed")


def test_folders_devices_doubles_and_missing_members_are_refused(tmp_path):
    path = tmp_path / "x.tar.gz"
    one = ("a/one", tarfile.REGTYPE, b"1")
    for kind in (tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        not_archived(path, packed(one, ("a/two", kind, b"")), "a/two: is a link, or something else")
    not_archived(path, packed(one, one), "a/one: is there twice")
    not_archived(path, packed(one), "lacks a/two")
    not_archived(path, packed(), "lacks a/one, a/two")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LIMIT", 100_000)
    not_archived(tmp_path / "x.tar.gz", tar_gz({"zeros": bytes(10**6)} | CONTENTS), "more than 100,000 bytes")
    not_archived(tmp_path / "x.tar.gz", tar_gz(CONTENTS) + gzip.compress(bytes(10**6)), "more than 100,000 bytes")


def test_every_truncation_of_an_archive_is_refused(tmp_path):
    content = tar_gz(CONTENTS)
    for end in range(len(content)):
        not_archived(tmp_path / "x.tar.gz", content[:end])


def test_a_page_that_says_not_found_is_no_archive(tmp_path):
    not_archived(tmp_path / "x.tar.gz", b"<html>Not found</html>", "no readable .tar.gz")


@given(
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 2), st.binary(max_size=20)), max_size=4),
    zipped=st.booleans(),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_archive_is_read_or_refused(tmp_path, changes, zipped):
    content = bytearray(tar_gz(CONTENTS) if zipped else gzip.decompress(tar_gz(CONTENTS)))
    for at, removed, added in changes:
        content[at : at + removed] = added
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content if zipped else gzip.compress(content, 1))
    with suppress(UserError):
        assert dict(archive.members(path, CONTENTS)).keys() == CONTENTS.keys()


def test_files_that_cannot_be_opened_are_refused_by_name(tmp_path):
    for read in (partial(cifar.read_verified, tmp_path), partial(dict, archive.members(tmp_path, CONTENTS))):
        with pytest.raises(UserError, match=str(tmp_path)):
            read()
