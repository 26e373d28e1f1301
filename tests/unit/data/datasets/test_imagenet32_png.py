"""ImageNet at 32x32 as PNGs without labels, from tar archives and from folders."""

import hashlib
import tarfile

import numpy as np
import pytest

from benchmark.data.datasets.imagenet32_png import ImageNet32PNG, example_png
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.examples import tar_of
from tests.support.damage import refused
from tests.support.examples import example_files


@pytest.fixture
def tars(tmp_path, monkeypatch):
    data = tmp_path / "data"
    example_files(ImageNet32PNG, data, monkeypatch)
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
    prepared_data = open_prepared(unpacked)
    assert set(prepared_data.train.labels.tolist()) == {-1}
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (prepared_data.train.images[0] == pixels.transpose(2, 0, 1)).all()
    assert ImageNet32PNG.num_classes() == 0


def swap_tar(data, monkeypatch, files):
    archive = tar_of(files, "w")
    (data / "valid_32x32.tar").write_bytes(archive)
    monkeypatch.setitem(ImageNet32PNG.checksums, "valid_32x32.tar", hashlib.sha256(archive).hexdigest())


def pngs(**changes):
    return {f"valid_32x32/{i}.png": example_png(i) for i in range(5)} | changes


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (pngs(**{"valid_32x32/0.png": b"no png"}), "valid_32x32.tar: 0.png: cannot be read"),
        (pngs(**{"valid_32x32/0.png": example_png(0)[:900]}), "valid_32x32.tar: 0.png: cannot be read"),
        (pngs(**{"valid_32x32/0.png": example_png(0, (32, 31))}), "0.png: is 31x32, expected 32x32"),
        (pngs(**{"../0.png": example_png(9)}), "'../0.png' leads out of it"),
        (pngs(**{"/etc/0.png": example_png(9)}), "leads out of it"),
        (pngs(**{"elsewhere/0.png": example_png(9)}), "PNGs of the same name"),
        (pngs(**{"valid_32x32/9.png": bytes(1 << 17)}), "is not an image file"),
        (pngs(**{"valid_32x32/9.png": example_png(9)}), "holds 6 PNGs, expected 5"),
    ],
)
def test_a_wrong_member_of_a_tar_is_named(files, words, tars, tmp_path, monkeypatch):
    swap_tar(tars, monkeypatch, files)
    assert words in refused(ImageNet32PNG, tars)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tars, tmp_path):
    with tarfile.open(tars / "valid_32x32.tar", "w") as archive:
        member = tarfile.TarInfo("valid_32x32/0.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert "'valid_32x32/0.png' is not an image file" in refused(ImageNet32PNG, tars)


@pytest.mark.parametrize("cut", [600, 5000])
def test_a_truncated_tar_is_refused(cut, tars, tmp_path):
    path = tars / "train_32x32.tar"
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-cut])
    problem = refused(ImageNet32PNG, tars)
    assert str(path) in problem
    assert "again" in problem


def test_a_compressed_tar_and_another_tar_are_refused(tars):
    path = tars / "train_32x32.tar"
    with tarfile.open(path, "w:gz"):
        pass
    assert "cannot be read as a tar" in refused(ImageNet32PNG, tars)
    path.write_bytes(tar_of({f"train_32x32/{i}.png": example_png(i) for i in range(12)}, "w"))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"is not the official train_32x32.tar: SHA-256 {checksum}" in refused(ImageNet32PNG, tars)


def test_a_folder_that_lacks_images_is_refused(tars):
    (tars / "valid_32x32.tar").unlink()
    (tars / "valid_32x32").mkdir()
    (tars / "valid_32x32" / "1.png").write_bytes(example_png(1))
    assert f"{tars / 'valid_32x32'}: holds 1 PNGs, expected 5" in refused(ImageNet32PNG, tars)
