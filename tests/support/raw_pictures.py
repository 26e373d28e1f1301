"""Small raw files of datasets of pictures, in their real formats."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.datasets import celeba, stl10, tiny_imagenet


def picture(rng: np.random.Generator, width: int, height: int, kind: str = "JPEG") -> bytes:
    """An image file with random colours in blocks, which survive JPEG and resizing."""
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    blocks[0, 0], blocks[-1, -1] = 255, 0
    file = io.BytesIO()
    Image.fromarray(blocks.repeat(16, 0).repeat(16, 1)[:height, :width]).save(file, kind)
    return file.getvalue()


def write_files(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write_zip(files: dict[str, bytes], path: Path) -> str:
    """The archive's md5."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_tar(files: dict[str, bytes], path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def stl10_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """STL-10's five binary files with 12 unlabelled, 20 training and 7 test images."""
    rng = np.random.default_rng(2)
    contents = {}
    for name in list(stl10.FILES):
        n = {"unlabeled": 12, "train": 20, "test": 7}[name.split("_")[0]]
        coarse = rng.integers(0, 256, (n, 3, 12, 12), dtype=np.uint8)
        labels = rng.permutation(np.arange(n) % 10 + 1).astype(np.uint8)
        content = (coarse.repeat(8, 2).repeat(8, 3) if "X" in name else labels).tobytes()
        monkeypatch.setitem(stl10.FILES, name, (n, hashlib.md5(content).hexdigest()))
        contents[name] = content
    return contents


def small_stl10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive."""
    contents = {f"stl10_binary/{name}": content for name, content in stl10_files(monkeypatch).items()}
    write_tar(contents, folder / stl10.ARCHIVE)


def celeba_files(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes], bytes]:
    """Nine faces of CelebA's size, and the partition: 5 to train, 1 to validate, 3 to test."""
    rng = np.random.default_rng(3)
    images = {f"{number:06}.jpg": picture(rng, 178, 218) for number in range(1, 10)}
    parts = (0, 0, 2, 0, 1, 2, 0, 2, 0)
    partition = "".join(f"{name} {part}\n" for name, part in zip(images, parts, strict=True)).encode()
    monkeypatch.setattr(celeba, "LENGTH", len(images))
    monkeypatch.setitem(celeba.MD5, celeba.PARTITION, hashlib.md5(partition).hexdigest())
    return images, partition


def small_celeba(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive and the partition."""
    images, partition = celeba_files(monkeypatch)
    (folder / celeba.PARTITION).write_bytes(partition)
    members = {f"{celeba.IMAGES}/{name}": content for name, content in images.items()}
    monkeypatch.setitem(celeba.MD5, celeba.ARCHIVE, write_zip(members, folder / celeba.ARCHIVE))


def tiny_imagenet_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Tiny-ImageNet with all 200 classes, not in order, and one training image of each; five to validate."""
    rng = np.random.default_rng(4)
    ids = [f"n{number:08}" for number in rng.permutation(200)]
    files = {f"train/{wnid}/images/{wnid}_0.JPEG": picture(rng, 64, 64) for wnid in ids}
    files |= {f"train/{wnid}/{wnid}_boxes.txt": f"{wnid}_0.JPEG\t0\t10\t63\t58\n".encode() for wnid in ids}
    files |= {f"val/images/val_{number}.JPEG": picture(rng, 64, 64) for number in range(5)}
    lines = [f"val_{number}.JPEG\t{ids[40 * number]}\t0\t32\t44\t62\n" for number in range(5)]
    files |= {"val/val_annotations.txt": "".join(lines).encode(), "test/images/test_0.JPEG": picture(rng, 64, 64)}
    monkeypatch.setattr(tiny_imagenet, "LENGTHS", {"train": 200, "val": 5})
    return files | {"wnids.txt": "".join(f"{wnid}\n" for wnid in ids).encode()}


def small_tiny_imagenet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive."""
    members = {f"{tiny_imagenet.ROOT}/{name}": content for name, content in tiny_imagenet_files(monkeypatch).items()}
    monkeypatch.setattr(tiny_imagenet, "ARCHIVE_MD5", write_zip(members, folder / tiny_imagenet.ARCHIVE))


def small_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs of several sizes and kinds in two class folders, and one outside."""
    rng = np.random.default_rng(5)
    files = {f"cats/{number}.jpg": picture(rng, 90 + number, 70) for number in range(6)}
    files |= {f"dogs/{number}.png": picture(rng, 40, 100 + number, "PNG") for number in range(6)}
    write_files(files | {"neither.jpg": picture(rng, 64, 64), "dogs/read me.txt": b"no image"}, folder / "folder")
