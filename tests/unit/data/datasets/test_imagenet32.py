"""Both releases of ImageNet at 32x32: all formats, damaged in every way, and how much memory they take."""

import hashlib
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import UserError
from benchmark.data.datasets import imagenet32, imagenet32_png
from benchmark.data.datasets.imagenet32 import ImageNet32
from benchmark.data.datasets.imagenet32_png import ImageNet32PNG
from benchmark.data.prepared import open_prepared
from tests.support.examples import imagenet32_batches, npz, png, small_imagenet32_png, write_tar


@pytest.fixture
def batches(monkeypatch):
    return imagenet32_batches(monkeypatch)


def loose(folder, batches, ending="", dump=lambda batch: pickle.dumps(batch, protocol=3)):
    """One file for each batch."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in batches.values():
        for stem, batch in part.items():
            (folder / f"{stem}{ending}").write_bytes(dump(batch))
    return folder


def prepared(dataset, data, tmp_path):
    return open_prepared(dataset.prepare(data, tmp_path / "cache"))


def refused(dataset, data, tmp_path):
    """What is said when preparing is refused. Nothing is left behind."""
    with pytest.raises(UserError) as raised:
        dataset.prepare(data, tmp_path / "cache")
    cache = tmp_path / "cache"
    assert not [path for path in cache.glob("*") if not path.name.endswith(".lock")] if cache.exists() else True
    return str(raised.value)


# --- labelled batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pickles", "npz", "zip", "npz zip", "one folder for each zip"])
def test_every_release_gives_the_same_images(form, batches, tmp_path):
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
        imagenet32.PUBLISHED = {}  # of the real zips
    found = prepared(ImageNet32, data, tmp_path)
    images = np.concatenate([batch["data"] for batch in batches["train"].values()])
    labels = np.concatenate([batch["labels"] for batch in batches["train"].values()])
    assert (found.train.images == images.reshape(-1, 3, 32, 32)).all()
    assert (found.train.labels == labels - 1).all()
    assert (found.test.labels == np.array(batches["val"]["val_data"]["labels"]) - 1).all()
    assert "no published checksum is known" in found.manifest["note"]


@pytest.fixture(autouse=True)
def _published(monkeypatch):
    monkeypatch.setattr(imagenet32, "PUBLISHED", dict(imagenet32.PUBLISHED))


def change(batch, **changes):
    return pickle.dumps(batch | changes, protocol=3)


DAMAGE = {
    "truncated": (lambda b: pickle.dumps(b, protocol=3)[:-200], "is no pickled batch"),
    "empty": (lambda b: b"", "is no pickled batch"),
    "web page": (lambda b: b"<html>Please sign in</html>", "is no pickled batch"),
    "code": (lambda b: b"cos\nsystem\n(S'touch hacked'\ntR.", "is no pickled batch"),
    "wrong shape": (lambda b: change(b, data=np.zeros((4, 64 * 64 * 3), np.uint8)), "expected uint8 (n, 3072)"),
    "wrong type": (lambda b: change(b, data=np.zeros((4, 3072))), "data is float64 (4, 3072)"),
    "no array": (lambda b: change(b, data=[1, 2]), "data is list"),
    "labels from 0": (lambda b: change(b, labels=[0, 1, 2, 3]), "labels from 0 to 3, expected 1 to 1000"),
    "label 1001": (lambda b: change(b, labels=[1001, 1, 2, 3]), "labels from 1 to 1001"),
    "too few labels": (lambda b: change(b, labels=[1, 2, 3]), "4 images and labels"),
    "words for labels": (lambda b: change(b, labels=["a"] * 4), "4 images and labels"),
    "no labels": (lambda b: pickle.dumps({"data": b["data"]}, protocol=3), "expected data and labels"),
    "too few": (lambda b: change(b, data=b["data"][:3], labels=b["labels"][:3]), "holds 3 images, expected 4"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_batch_is_refused_by_name_and_leaves_nothing(damage, batches, tmp_path):
    data = loose(tmp_path / "data", batches)
    broken, said = DAMAGE[damage]
    (data / "train_data_batch_7").write_bytes(broken(batches["train"]["train_data_batch_7"]))
    problem = refused(ImageNet32, data, tmp_path)
    assert str(data / "train_data_batch_7") in problem
    assert said in problem
    assert "get the" in problem
    assert not Path("hacked").exists()


def test_an_npz_with_objects_in_it_is_refused(batches, tmp_path):
    data = loose(tmp_path / "data", batches, ".npz", npz)
    np.savez(data / "val_data.npz", data=np.array([{}] * 6, dtype=object), labels=[1] * 6)
    assert f"{data / 'val_data.npz'}: cannot be read" in refused(ImageNet32, data, tmp_path)


@pytest.mark.parametrize("cut", [10, 500, 3000])
def test_a_truncated_npz_is_refused_by_name(cut, batches, tmp_path):
    data = loose(tmp_path / "data", batches, ".npz", npz)
    path = data / "train_data_batch_1.npz"
    path.write_bytes(path.read_bytes()[:-cut])
    assert f"{path}: cannot be read" in refused(ImageNet32, data, tmp_path)


def test_batches_that_were_swapped_or_copied_are_found(batches, tmp_path):
    data = loose(tmp_path / "data", batches)
    (data / "train_data_batch_2").write_bytes((data / "train_data_batch_1").read_bytes())
    assert "train_data_batch_2: is the same as train_data_batch_1" in refused(ImageNet32, data, tmp_path)
    loose(data, batches)
    (data / "train_data_batch_10").rename(data / "x")
    (data / "val_data").rename(data / "train_data_batch_10")
    (data / "x").rename(data / "val_data")
    assert "train_data_batch_10: holds 6 images, expected 7" in refused(ImageNet32, data, tmp_path)


def test_a_missing_batch_is_named_and_no_other(batches, tmp_path):
    data = loose(tmp_path / "data", batches)
    (data / "train_data_batch_3").unlink()
    problem = refused(ImageNet32, data, tmp_path)
    assert "  train_data_batch_3[.npz]\n" in problem
    assert "batch_4" not in problem
    assert not (tmp_path / "cache").exists()


def test_a_zip_without_a_batch_or_none_at_all_is_refused(batches, tmp_path):
    data = loose(tmp_path / "data", {"val": batches["val"]})
    with zipfile.ZipFile(data / "Imagenet32_train.zip", "w") as archive:
        archive.writestr("train_data_batch_1", b"")
    assert "Imagenet32_train.zip: train_data_batch_2," in refused(ImageNet32, data, tmp_path)
    (data / "Imagenet32_train.zip").write_bytes(b"<html>")
    assert "Imagenet32_train.zip: cannot be read" in refused(ImageNet32, data, tmp_path)


def test_a_zip_other_than_the_published_one_is_refused(batches, tmp_path):
    data = loose(tmp_path / "data", {"val": batches["val"]})
    with zipfile.ZipFile(data / "Imagenet32_train_npz.zip", "w") as archive:
        for stem, batch in batches["train"].items():
            archive.writestr(f"{stem}.npz", npz(batch))
    assert "Imagenet32_train_npz.zip: is not the published file" in refused(ImageNet32, data, tmp_path)


MEMORY = """
import pickle, resource, sys
from pathlib import Path
import numpy as np
from benchmark.data.datasets import imagenet32
folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
imagenet32.COUNTS = {"train": 60_000, "val": 100}
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


def test_memory_stays_small_whatever_the_number_of_images(tmp_path):
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    growth, size = map(float, done.stdout.split())
    assert size > 180e6
    assert growth < 90, "a few batches of 18 MB; all images have 184 MB"


# --- PNGs ----------------------------------------------------------------------------------------------


@pytest.fixture
def tars(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    small_imagenet32_png(data, monkeypatch)
    return data


def test_tars_and_folders_give_the_same_bytes_in_the_order_of_names(tars, tmp_path):
    packed = ImageNet32PNG.prepare(tars, tmp_path / "packed")
    for path in list(tars.glob("*.tar")):
        with tarfile.open(path) as archive:
            archive.extractall(tars / "imagenet32", filter="data")
        path.unlink()
    unpacked = ImageNet32PNG.prepare(tars, tmp_path / "unpacked")
    for name in ("train_images.npy", "test_images.npy", "train_labels.npy"):
        assert (packed / name).read_bytes() == (unpacked / name).read_bytes()
    found = open_prepared(unpacked)
    assert set(found.train.labels.tolist()) == {-1}
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (found.train.images[0] == pixels.transpose(2, 0, 1)).all()
    assert ImageNet32PNG.num_classes() == 0


def swap_tar(data, monkeypatch, files):
    checksum = write_tar(data / "valid_32x32.tar", files)
    monkeypatch.setitem(imagenet32_png.PUBLISHED, "valid_32x32.tar", checksum)


def pngs(**changes):
    return {f"valid_32x32/{i}.png": png(i) for i in range(5)} | changes


@pytest.mark.parametrize(
    "files, said",
    [
        (pngs(**{"valid_32x32/0.png": b"no png"}), "valid_32x32.tar: 0.png: cannot be read"),
        (pngs(**{"valid_32x32/0.png": png(0)[:900]}), "valid_32x32.tar: 0.png: cannot be read"),
        (pngs(**{"valid_32x32/0.png": png(0, (32, 31))}), "0.png: is 31x32, expected 32x32"),
        (pngs(**{"../0.png": png(9)}), "'../0.png' leads out of it"),
        (pngs(**{"/etc/0.png": png(9)}), "leads out of it"),
        (pngs(**{"elsewhere/0.png": png(9)}), "PNGs of the same name"),
        (pngs(**{"valid_32x32/9.png": bytes(1 << 17)}), "is not an image file"),
        (pngs(**{"valid_32x32/9.png": png(9)}), "holds 6 PNGs, expected 5"),
    ],
)
def test_what_is_wrong_in_a_tar_is_named(files, said, tars, tmp_path, monkeypatch):
    swap_tar(tars, monkeypatch, files)
    assert said in refused(ImageNet32PNG, tars, tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tars, tmp_path):
    with tarfile.open(tars / "valid_32x32.tar", "w") as archive:
        member = tarfile.TarInfo("valid_32x32/0.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert "'valid_32x32/0.png' is not an image file" in refused(ImageNet32PNG, tars, tmp_path)


@pytest.mark.parametrize("cut", [600, 5000])
def test_a_truncated_tar_is_refused(cut, tars, tmp_path):
    path = tars / "train_32x32.tar"
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-cut])
    problem = refused(ImageNet32PNG, tars, tmp_path)
    assert str(path) in problem
    assert "again" in problem


def test_a_compressed_tar_and_another_tar_are_refused(tars, tmp_path):
    path = tars / "train_32x32.tar"
    with tarfile.open(path, "w:gz"):
        pass
    assert "cannot be read as a tar" in refused(ImageNet32PNG, tars, tmp_path)
    write_tar(path, {f"train_32x32/{i}.png": png(i) for i in range(12)})
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"is not the published file: SHA-256 {found}" in refused(ImageNet32PNG, tars, tmp_path)


def test_a_folder_that_lacks_images_is_refused(tars, tmp_path):
    (tars / "valid_32x32.tar").unlink()
    (tars / "valid_32x32").mkdir()
    (tars / "valid_32x32" / "1.png").write_bytes(png(1))
    assert f"{tars / 'valid_32x32'}: holds 1 PNGs, expected 5" in refused(ImageNet32PNG, tars, tmp_path)
