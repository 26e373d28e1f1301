"""The base class of datasets: preparing once, versions of the preparation, and messages about missing files."""

import numpy as np
import pytest

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import UNKNOWN_CLASSES, BundledDataset, Dataset
from benchmark.data.prepared import open_prepared


class Counted(BundledDataset):
    """A dataset that counts how often it is read."""

    name, about, licence, source, shape = "counted", "for tests", "none", "none", (1, 2, 2)
    reads = 0

    @classmethod
    def read(cls, data_dir):
        cls.reads += 1
        split = ArraySplit(np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2), np.arange(3))
        return split, split, {"none": "0" * 32}


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(Counted, "reads", 0)
    return Counted


def visible(folder):
    """Everything in a folder but locks."""
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


def test_raw_files_are_read_once(counted, tmp_path):
    assert not counted.is_prepared(tmp_path)
    path = counted.prepare(tmp_path, tmp_path)
    assert counted.is_prepared(tmp_path)
    assert counted.prepare(tmp_path, tmp_path) == path == counted.prepared_dir(tmp_path)
    assert counted.reads == 1


@pytest.mark.parametrize("leftovers", [[], ["train_images.npy"], ["train_images.npy", "deep/er/file"]])
def test_an_incomplete_folder_is_replaced(counted, tmp_path, leftovers):
    """A folder without a manifest, as a power failure leaves it."""
    for name in leftovers:
        path = counted.prepared_dir(tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    counted.prepared_dir(tmp_path).mkdir(exist_ok=True)
    prepared = open_prepared(counted.prepare(tmp_path, tmp_path))
    assert prepared.train.images.shape == (3, 1, 2, 2)
    assert visible(tmp_path) == [prepared.path]


def test_a_failed_read_leaves_nothing(counted, tmp_path, monkeypatch):
    def broken(data_dir):
        raise UserError("file.gz: damaged")

    monkeypatch.setattr(counted, "read", broken)
    with pytest.raises(UserError, match="damaged"):
        counted.prepare(tmp_path, tmp_path / "cache")
    assert not counted.is_prepared(tmp_path / "cache")
    assert visible(tmp_path / "cache") == []


def test_another_variant_has_another_folder(counted, tmp_path, monkeypatch):
    first = counted.prepare(tmp_path, tmp_path)
    monkeypatch.setattr(counted, "variant", "2")
    assert counted.prepare(tmp_path, tmp_path) != first
    assert counted.reads == 2


@pytest.mark.parametrize(
    ("num_labels", "stacked", "expected"),
    [(0, 1, 0), (0, 3, 0), (10, 1, 10), (10, 3, 1000), (UNKNOWN_CLASSES, 1, UNKNOWN_CLASSES)],
)
def test_stacking_multiplies_classes(num_labels, stacked, expected, monkeypatch):
    monkeypatch.setattr(Counted, "num_labels", num_labels)
    monkeypatch.setattr(Counted, "stacked", stacked)
    assert Counted.num_classes() == expected


def test_missing_files_are_listed_with_instructions(tmp_path, monkeypatch):
    monkeypatch.setattr(Counted, "missing_files", lambda data_dir: ["a.bin", "b.bin"])
    monkeypatch.setattr(Counted, "how_to_get", "Ask the authors.")
    expected = f"dataset counted: not found under {tmp_path}:\n  a.bin\n  b.bin\nAsk the authors."
    assert Counted.missing_message(tmp_path) == expected
    with pytest.raises(UserError) as raised:
        Counted.prepare(tmp_path, tmp_path / "cache")
    assert str(raised.value) == expected


def test_a_dataset_with_raw_files_must_write_examples_of_them(tmp_path):
    class WithoutExamples(Dataset):
        pass

    with pytest.raises(NotImplementedError, match="WithoutExamples has raw files and writes no example"):
        WithoutExamples.write_example_files(tmp_path)
