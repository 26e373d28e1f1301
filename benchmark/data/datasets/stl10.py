"""STL-10: 96x96 photographs, 100,000 of them without labels; made smaller, as papers on GANs do.

MSGAN and SSGAN-LA train on the 100,000 unlabelled images at 48x48. They make them smaller in different ways (X-05):
MSGAN by skimage's `resize`, SSGAN-LA by PIL's bilinear one. This is SSGAN-LA's; an FID against MSGAN's pixels differs.

Sizes and checksums are those that torchvision lists (torchvision/datasets/stl10.py, 0.29).
"""

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import find_in, refuse_md5
from benchmark.data.raw.decode import pixels, resize

ARCHIVE = "stl10_binary.tar.gz"
ARCHIVE_MD5 = "91f7769df0f17e558f3565bffb0c7dfb"
URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
SIDE = 96
PIXELS = 3 * SIDE * SIDE
CLASSES = 10

# name -> how many images or labels, md5
FILES = {
    "unlabeled_X.bin": (100_000, "5242ba1fed5e4be9e1e742405eb56ca4"),
    "train_X.bin": (5_000, "918c2871b30a85fa023e0c44e0bee87f"),
    "train_y.bin": (5_000, "5a34089d4802c674881badbb80307741"),
    "test_X.bin": (8_000, "7f263ba9f9e0b06b93213547f721ac82"),
    "test_y.bin": (8_000, "36f9794fa4beb8a2c72628de14fa638e"),
}
ARCHIVE_FOLDERS = (".", "stl10", "STL10")
FOLDERS = (".", *(f"{folder}/stl10_binary" for folder in ARCHIVE_FOLDERS), "stl10", "STL10")
CHUNK = 500


class STL10(Dataset):
    """(3, 48, 48) images, all 100,000 unlabelled ones; the 8,000 test images are held out, without their labels."""

    name = "stl10"
    about = "STL-10's 100,000 unlabelled photographs, 96x96 made 48x48 by PIL (bilinear; MSGAN: skimage)"
    licence = "research use; images from ImageNet (Coates, Lee and Ng)"
    source = "stl10_binary.tar.gz, or unpacked"
    shape = (3, 48, 48)
    split_names: ClassVar[dict[str, str]] = {"train": "unlabelled"}
    files: ClassVar[tuple[str, ...]] = ("unlabeled_X.bin", "test_X.bin")

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """The files that are not under `data_dir`, and where to put the archive."""
        if _unpacked(data_dir, cls.files) or find_in(data_dir, ARCHIVE_FOLDERS, ARCHIVE):
            return None
        lacking = min((_lacking(data_dir / folder, cls.files) for folder in FOLDERS), key=len)
        return (
            f"dataset {cls.name}: {len(lacking)} of {len(cls.files)} STL-10 files not found under {data_dir}:\n"
            + "\n".join(f"  {name}" for name in lacking)
            + f"\nAll are in {ARCHIVE} (2.6 GB, md5 {ARCHIVE_MD5}). Get it with\n  curl -LO {URL}\n"
            "and pass the folder that it is in as --data-dir; it is read as it is, unpacked in stl10_binary/ too."
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits, each checked against its official checksum when its last image is read."""
        folder = _unpacked(data_dir, cls.files)
        source = folder or find_in(data_dir, ARCHIVE_FOLDERS, ARCHIVE)
        if source is None:
            raise UserError(cls.missing_files(data_dir) or f"{ARCHIVE} vanished from {data_dir}")
        train, test = (cls._stream(source, name) for name in cls.files if name.endswith("_X.bin"))
        return train, test, {name: FILES[name][1] for name in cls.files}

    @classmethod
    def _stream(cls, source: Path, name: str) -> StreamSplit:
        length = FILES[name][0]
        label_name = name.replace("_X", "_y")
        labelled = label_name in cls.files
        labels = _read_labels(source, label_name) if labelled else np.full(length, -1, dtype=np.int64)
        return StreamSplit(length, cls.shape, _chunks(source, name, cls.shape[1], labels))


class STL10At32(STL10):
    """(3, 32, 32) images, otherwise as STL10."""

    name = "stl10_32"
    about = "STL-10's 100,000 unlabelled photographs, 96x96 made 32x32 by PIL (bilinear)"
    shape = (3, 32, 32)


class LabelledSTL10(STL10):
    """(3, 48, 48) images, the 5,000 with labels of 10 classes; the 8,000 test images are held out."""

    name = "stl10_labelled"
    about = "STL-10's 5,000 labelled photographs of 10 classes, 96x96 made 48x48 by PIL (bilinear)"
    num_labels = CLASSES
    split_names: ClassVar[dict[str, str]] = {}
    files = ("train_X.bin", "test_X.bin", "train_y.bin", "test_y.bin")


# --- where the files are -------------------------------------------------------------------------------


def _lacking(folder: Path, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]


def _unpacked(data_dir: Path, names: tuple[str, ...]) -> Path | None:
    """The folder that has them all."""
    return next((data_dir / folder for folder in FOLDERS if not _lacking(data_dir / folder, names)), None)


@contextmanager
def _opened(source: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """A file of the folder or the archive, and its size. Raises UserError when it cannot be read."""
    try:
        if source.is_dir():
            with (source / name).open("rb") as plain:
                yield plain, (source / name).stat().st_size
            return
        with tarfile.open(source, "r|gz") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None and Path(member.name).name == name:
                    yield content, member.size
                    return
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"{_where(source, name)}: cannot be read: {error}; get it again from {URL}") from None
    raise UserError(f"{_where(source, name)}: is not in the archive; get it again from {URL}")


def _where(source: Path, name: str) -> str:
    return str(source / name) if source.is_dir() else f"{source}: {name}"


# --- what is in them -----------------------------------------------------------------------------------


def _blocks(source: Path, name: str, item: int, at_once: int) -> Iterator[bytes]:
    """The content of an official file of so many items of `item` bytes, checked at its end."""
    length, expected = FILES[name]
    where = _where(source, name)
    digest = hashlib.md5(usedforsecurity=False)
    with _opened(source, name) as (file, size):
        if size != length * item:
            raise UserError(
                f"{where}: holds {size:,} bytes where the official file holds {length * item:,};"
                f" get it again from {URL}"
            )
        while block := file.read(at_once * item):
            digest.update(block)
            if len(block) % item:
                raise UserError(f"{where}: ends inside an image; get it again from {URL}")
            yield block
    refuse_md5(where, name, digest.hexdigest(), expected)


def _chunks(source: Path, name: str, size: int, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    done = 0
    for block in _blocks(source, name, PIXELS, CHUNK):
        by_column = np.frombuffer(block, dtype=np.uint8).reshape(-1, 3, SIDE, SIDE)
        pictures = map(Image.fromarray, np.ascontiguousarray(by_column.transpose(0, 3, 2, 1)))
        images = np.stack([pixels(resize(picture, size)) for picture in pictures])
        yield images, labels[done : done + len(images)]
        done += len(images)


def _read_labels(source: Path, name: str) -> np.ndarray:
    """int64 from 0; the file counts from 1."""
    content = b"".join(_blocks(source, name, 1, FILES[name][0]))
    labels = np.frombuffer(content, dtype=np.uint8).astype(np.int64) - 1
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise UserError(
            f"{_where(source, name)}: has labels from {labels.min() + 1} to {labels.max() + 1},"
            f" expected 1 to {CLASSES}; get it again from {URL}"
        )
    return labels
