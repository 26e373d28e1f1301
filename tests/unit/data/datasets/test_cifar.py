"""CIFAR-10 and CIFAR-100, from the archive and unpacked, compared with torchvision's reader."""

import pickle

import numpy as np
import pytest
import torchvision.datasets as theirs

from benchmark.data.datasets.cifar import CIFAR10, CIFAR100
from benchmark.data.raw.checksums import md5_of
from benchmark.data.raw.examples import tar_of, write_files
from tests.support.damage import DAMAGES, damaged, refused
from tests.support.examples import example_files

CIFARS = pytest.mark.parametrize("dataset", [CIFAR10, CIFAR100], ids=lambda dataset: dataset.name)
THEIRS = {CIFAR10: theirs.CIFAR10, CIFAR100: theirs.CIFAR100}


def unpacked(dataset, files):
    return {f"{dataset.unpacked}/{name}": content for name, content in files.items()}


def official(monkeypatch, dataset, **changes):
    """The example files with some changed, as if these were the official ones."""
    files = dataset.example_batches() | changes
    monkeypatch.setattr(dataset, "checksums", {name: md5_of(content) for name, content in files.items()})
    return files


@CIFARS
def test_addresses_and_checksums_are_torchvisions(dataset):
    other, archive = THEIRS[dataset], dataset.archive
    assert dataset.checksums == dict([*other.train_list, *other.test_list])
    assert list(dataset.checksums)[-1] == other.test_list[0][0]
    assert (archive.name, archive.checksum, archive.urls) == (other.filename, other.tgz_md5, (other.url,))
    assert dataset.unpacked == other.base_folder


@CIFARS
def test_images_and_labels_are_those_of_torchvision(dataset, tmp_path, monkeypatch):
    files = official(monkeypatch, dataset)
    write_files(tmp_path, unpacked(dataset, files))
    other = THEIRS[dataset]
    for table in ("train_list", "test_list"):
        monkeypatch.setattr(other, table, [[name, md5_of(files[name])] for name, _ in getattr(other, table)])
    names = pickle.dumps({other.meta["key"]: [f"class {i}" for i in range(dataset.num_labels)]}, protocol=2)
    write_files(tmp_path / dataset.unpacked, {other.meta["filename"]: names})
    monkeypatch.setattr(other, "meta", other.meta | {"md5": md5_of(names)})
    for split, train in zip(dataset.read(tmp_path)[:2], (True, False), strict=True):
        expected = other(tmp_path, train=train)
        np.testing.assert_array_equal(split.images, expected.data.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(split.labels, expected.targets)


@CIFARS
@pytest.mark.parametrize("place", range(4))
def test_archive_and_folder_prepare_to_the_same_bytes(dataset, place, tmp_path, monkeypatch):
    where = dataset.folders[place]
    example_files(dataset, tmp_path / "packed" / where, monkeypatch)
    write_files(tmp_path / "unpacked" / where, unpacked(dataset, dataset.example_batches()))
    packed, plain = (dataset.prepare(tmp_path / kind, tmp_path / f"{kind} cache") for kind in ("packed", "unpacked"))
    assert {p.name: p.read_bytes() for p in packed.iterdir()} == {p.name: p.read_bytes() for p in plain.iterdir()}
    files = [path.name for path in (tmp_path / "packed").rglob("*") if path.is_file()]
    assert files == [dataset.archive.name], "nothing was unpacked"


@CIFARS
def test_an_incomplete_folder_is_named_and_the_archive_is_used_instead(dataset, tmp_path, monkeypatch):
    files = dataset.example_batches()
    *_, last = files
    del files[last]
    folder = tmp_path / dataset.unpacked
    write_files(tmp_path, unpacked(dataset, files))
    assert f"{folder} lacks {last}\n" in refused(dataset, tmp_path, dataset.archive.name, "--data-dir")
    example_files(dataset, tmp_path, monkeypatch)
    assert dataset.missing_files(tmp_path) == []
    assert len(dataset.read(tmp_path)[1].labels) == 12


@DAMAGES
@CIFARS
def test_a_damaged_batch_is_refused_by_name(dataset, damage, tmp_path, monkeypatch):
    files = official(monkeypatch, dataset)
    for name in files:
        broken = unpacked(dataset, files | {name: damaged(files[name], damage)})
        member = f"{dataset.unpacked}/{name}"
        words = (dataset.checksums[name], md5_of(broken[member]), f"is not the official {name}")
        write_files(tmp_path / name, broken)
        refused(dataset, tmp_path / name, tmp_path / name / member, *words)
        packed, archive = tmp_path / f"{name} packed", tar_of(broken)
        write_files(packed, {dataset.archive.name: archive})
        words = (*words, md5_of(archive), dataset.archive.checksum)
        refused(dataset, packed, f"{packed / dataset.archive.name}: {member}: ", *words)


@CIFARS
def test_a_test_batch_under_the_name_of_a_training_batch_is_refused(dataset, tmp_path, monkeypatch):
    files = official(monkeypatch, dataset)
    first, *_, last = files
    write_files(tmp_path, unpacked(dataset, files | {first: files[last]}))
    refused(dataset, tmp_path, tmp_path / dataset.unpacked / first, f"holds the official {last}")


DATA, LABELS = np.zeros((3, 3072), np.uint8), [0, 1, 2]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"data": DATA, "labels": [0, 1, 10]}, ["0 to 10", "expected 0 to 9"]),
        ({"data": DATA, "labels": [0, 1, -1]}, ["-1 to 1", "expected 0 to 9"]),
        ({"data": DATA, "labels": [0, 1]}, ["expected 3 integers"]),
        ({"data": DATA, "labels": ["a", "b", "c"]}, ["'labels'", "integers"]),
        ({"data": DATA, "fine_labels": LABELS}, ["'labels'", "integers"]),
        ({"data": DATA[:, :-1], "labels": LABELS}, ["'data'", "(3, 3071)", "expected uint8 (N, 3072)"]),
        ({"data": DATA.reshape(3, 3, 32, 32), "labels": LABELS}, ["'data'", "(3, 3, 32, 32)"]),
        ({"data": LABELS, "labels": LABELS}, ["'data'", "found list"]),
        ({"labels": LABELS}, ["'data'", "found NoneType"]),
    ],
    ids=str,
)
def test_a_batch_with_wrong_images_or_labels_is_refused(batch, words, tmp_path, monkeypatch):
    files = official(monkeypatch, CIFAR10, data_batch_3=pickle.dumps(batch, protocol=2))
    write_files(tmp_path, unpacked(CIFAR10, files))
    refused(CIFAR10, tmp_path, tmp_path / CIFAR10.unpacked / "data_batch_3", *words)


def test_a_batch_that_calls_a_function_is_refused_and_executes_nothing(tmp_path, monkeypatch):
    files = official(monkeypatch, CIFAR10, test_batch=f"cos\nsystem\n(S'touch {tmp_path}/mark'\ntR.".encode())
    write_files(tmp_path, {CIFAR10.archive.name: tar_of(unpacked(CIFAR10, files))})
    where = f"{tmp_path / CIFAR10.archive.name}: {CIFAR10.unpacked}/test_batch: "
    refused(CIFAR10, tmp_path, where, "os.system", "not executed")
    assert not (tmp_path / "mark").exists()


def test_the_checksum_is_compared_before_the_batch_is_unpickled(tmp_path, monkeypatch):
    files = official(monkeypatch, CIFAR10) | {"test_batch": b"cos\nsystem\n(S'true'\ntR."}
    write_files(tmp_path, unpacked(CIFAR10, files))
    assert "os.system" not in refused(CIFAR10, tmp_path, "is not the official test_batch")
