"""ImageNet at 32x32 with labels: all formats, damaged files, and the memory that they need."""

import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.datasets.imagenet32 import ImageNet32, example_batches
from benchmark.data.prepared import open_prepared
from tests.support.damage import refused


@pytest.fixture
def batches(monkeypatch):
    monkeypatch.setattr(ImageNet32, "split_sizes", {"train": 43, "val": 6})
    return example_batches()


def npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def loose(folder, batches, ending="", dump=lambda batch: pickle.dumps(batch, protocol=3)):
    """A folder with one file for each batch."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in batches.values():
        for stem, batch in part.items():
            (folder / f"{stem}{ending}").write_bytes(dump(batch))
    return folder


@pytest.mark.parametrize("form", ["pickles", "npz", "zip", "npz zip", "one folder for each zip"])
def test_every_release_gives_the_same_images(form, batches, tmp_path, monkeypatch):
    data = tmp_path / "data"
    if form == "pickles":
        loose(data / "imagenet32", batches)
    elif form == "npz":
        loose(data, batches, ".npz", npz)
    elif form == "one folder for each zip":
        for part in batches:
            loose(data / f"Imagenet32_{part}", {part: batches[part]})
    else:
        data.mkdir()
        ending, dump = ("_npz", npz) if form == "npz zip" else ("", lambda batch: pickle.dumps(batch, protocol=3))
        for part in batches:
            name = f"Imagenet32_{part}{ending}"
            with zipfile.ZipFile(data / f"{name}.zip", "w") as archive:
                for stem, batch in batches[part].items():
                    archive.writestr(f"{name}/{stem}{'.npz' if ending else ''}", dump(batch))
        monkeypatch.setattr(ImageNet32, "checksums", {})  # of the official archives
    prepared_data = open_prepared(ImageNet32.prepare(data, tmp_path / "cache"))
    images = np.concatenate([batch["data"] for batch in batches["train"].values()])
    labels = np.concatenate([batch["labels"] for batch in batches["train"].values()])
    assert (prepared_data.train.images == images.reshape(-1, 3, 32, 32)).all()
    assert (prepared_data.train.labels == labels - 1).all()
    assert (prepared_data.test.labels == np.array(batches["val"]["val_data"]["labels"]) - 1).all()
    assert "no published checksum is known" in prepared_data.manifest["note"]


def change(batch, **changes):
    return pickle.dumps(batch | changes, protocol=3)


DAMAGE = {
    "truncated": (lambda b: pickle.dumps(b, protocol=3)[:-200], "is not a pickled batch"),
    "empty": (lambda b: b"", "is not a pickled batch"),
    "web page": (lambda b: b"<html>Please sign in</html>", "is not a pickled batch"),
    "code": (lambda b: b"cos\nsystem\n(S'touch hacked'\ntR.", "is not a pickled batch"),
    "wrong shape": (lambda b: change(b, data=np.zeros((4, 64 * 64 * 3), np.uint8)), "expected uint8 (n, 3072)"),
    "wrong type": (lambda b: change(b, data=np.zeros((4, 3072))), "data is float64 (4, 3072)"),
    "no array": (lambda b: change(b, data=[1, 2]), "data is list"),
    "labels from 0": (lambda b: change(b, labels=[0, 1, 2, 3]), "labels from 0 to 3, expected 1 to 1000"),
    "label 1001": (lambda b: change(b, labels=[1001, 1, 2, 3]), "labels from 1 to 1001"),
    "too few labels": (lambda b: change(b, labels=[1, 2, 3]), "4 images and labels"),
    "text for labels": (lambda b: change(b, labels=["a"] * 4), "4 images and labels"),
    "no labels": (lambda b: pickle.dumps({"data": b["data"]}, protocol=3), "expected data and labels"),
    "too few": (lambda b: change(b, data=b["data"][:3], labels=b["labels"][:3]), "holds 3 images, expected 4"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_batch_is_refused_by_name_and_leaves_nothing(damage, batches, tmp_path):
    data = loose(tmp_path / "data", batches)
    broken, words = DAMAGE[damage]
    (data / "train_data_batch_7").write_bytes(broken(batches["train"]["train_data_batch_7"]))
    problem = refused(ImageNet32, data)
    assert str(data / "train_data_batch_7") in problem
    assert words in problem
    assert "get the " in problem
    assert not Path("hacked").exists()


def test_an_npz_with_objects_in_it_is_refused(batches, tmp_path):
    data = loose(tmp_path / "data", batches, ".npz", npz)
    np.savez(data / "val_data.npz", data=np.array([{}] * 6, dtype=object), labels=[1] * 6)
    assert f"{data / 'val_data.npz'}: cannot be read" in refused(ImageNet32, data)


@pytest.mark.parametrize("cut", [10, 500, 3000])
def test_a_truncated_npz_is_refused_by_name(cut, batches, tmp_path):
    data = loose(tmp_path / "data", batches, ".npz", npz)
    path = data / "train_data_batch_1.npz"
    path.write_bytes(path.read_bytes()[:-cut])
    assert f"{path}: cannot be read" in refused(ImageNet32, data)


def test_swapped_and_copied_batches_are_refused(batches, tmp_path):
    data = loose(tmp_path / "data", batches)
    (data / "train_data_batch_2").write_bytes((data / "train_data_batch_1").read_bytes())
    assert "train_data_batch_2: is the same as train_data_batch_1" in refused(ImageNet32, data)
    loose(data, batches)
    (data / "train_data_batch_10").rename(data / "x")
    (data / "val_data").rename(data / "train_data_batch_10")
    (data / "x").rename(data / "val_data")
    assert "train_data_batch_10: holds 6 images, expected 7" in refused(ImageNet32, data)


def test_a_missing_batch_is_named_and_no_other(batches, tmp_path):
    data = loose(tmp_path / "data", batches)
    (data / "train_data_batch_3").unlink()
    problem = refused(ImageNet32, data)
    assert "  train_data_batch_3[.npz]\n" in problem
    assert "batch_4" not in problem
    assert not (data / "cache").exists()


def test_a_zip_without_a_batch_or_none_at_all_is_refused(batches, tmp_path):
    data = loose(tmp_path / "data", {"val": batches["val"]})
    with zipfile.ZipFile(data / "Imagenet32_train.zip", "w") as archive:
        archive.writestr("train_data_batch_1", b"")
    assert "Imagenet32_train.zip: lacks train_data_batch_2," in refused(ImageNet32, data)
    (data / "Imagenet32_train.zip").write_bytes(b"<html>")
    assert "Imagenet32_train.zip: cannot be read" in refused(ImageNet32, data)


def test_a_zip_other_than_the_published_one_is_refused(batches, tmp_path):
    data = loose(tmp_path / "data", {"val": batches["val"]})
    with zipfile.ZipFile(data / "Imagenet32_train_npz.zip", "w") as archive:
        for stem, batch in batches["train"].items():
            archive.writestr(f"{stem}.npz", npz(batch))
    assert "Imagenet32_train_npz.zip: is not the official Imagenet32_train_npz.zip" in refused(ImageNet32, data)


MEMORY = """
import pickle, resource, sys
from pathlib import Path
import numpy as np
from benchmark.data.datasets import imagenet32
folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
imagenet32.ImageNet32.split_sizes = {"train": 60_000, "val": 100}
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def write(name, n):
    batch = {"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), "labels": [1 + i % 1000 for i in range(n)]}
    (folder / name).write_bytes(pickle.dumps(batch, protocol=3))
for i in range(1, 11):
    write(f"train_data_batch_{i}", 6_000)
write("val_data", 100)
before = peak()
path = imagenet32.ImageNet32.prepare(folder, folder / "cache")
print(peak() - before, (path / "train_images.npy").stat().st_size)
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    growth, size = map(float, done.stdout.split())
    assert size > 180e6
    assert growth < 90, "a few batches of 18 MB; all images have 184 MB"
