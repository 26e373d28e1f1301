"""STL-10: 96x96 photographs, 100,000 of them without labels, made smaller as in papers on GANs.

MSGAN and SSGAN-LA train on the 100,000 unlabelled images at 48x48 and resize them differently (X-05): MSGAN with
skimage's `resize`, SSGAN-LA with PIL's bilinear filter. This module resizes as SSGAN-LA does; FID values against
MSGAN's pixels differ.

Sizes and checksums are those that torchvision lists (torchvision/datasets/stl10.py, 0.29).
"""

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import Chunk, StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_published, find, md5_of, require
from benchmark.data.raw.decode import pixels, resize
from benchmark.data.raw.download import Download
from benchmark.data.raw.examples import tar_of

URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
ARCHIVE = Download("stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb", (URL,))
SIDE = 96
PIXELS = 3 * SIDE * SIDE
CLASSES = 10
ALL_FILES = ("unlabeled_X.bin", "train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
ARCHIVE_FOLDERS = (".", "stl10", "STL10")
FOLDERS = (".", *(f"{folder}/stl10_binary" for folder in ARCHIVE_FOLDERS), "stl10", "STL10")
CHUNK = 500  # images in memory at a time


class STL10(Dataset):
    """(3, 48, 48) images, all 100,000 unlabelled ones; the 8,000 test images are held out, without their labels."""

    name = "stl10"
    about = "STL-10's 100,000 unlabelled photographs, 96x96 resized to 48x48 by PIL (bilinear; MSGAN: skimage)"
    licence = "research use; images from ImageNet (Coates, Lee and Ng)"
    source = "stl10_binary.tar.gz, or unpacked"
    shape = (3, 48, 48)
    split_names: ClassVar[dict[str, str]] = {"train": "unlabelled"}
    raw_dir = "stl10"
    required_files = (((ARCHIVE.name,), tuple(f"stl10_binary/{name}" for name in ALL_FILES)),)
    downloads = (ARCHIVE,)
    how_to_get = (
        f"All files are in {ARCHIVE.name} (2.6 GB, MD5 {ARCHIVE.checksum}). Get it with\n  curl -LO {URL}\n"
        "and pass the folder that contains it as --data-dir; it may be unpacked in stl10_binary/."
    )
    files: ClassVar[tuple[str, ...]] = ("unlabeled_X.bin", "test_X.bin")  # the official files that `read` needs
    lengths: ClassVar[dict[str, int]] = {  # images or labels in each official file
        "unlabeled_X.bin": 100_000,
        "train_X.bin": 5_000,
        "train_y.bin": 5_000,
        "test_X.bin": 8_000,
        "test_y.bin": 8_000,
    }
    checksums: ClassVar[dict[str, str]] = {  # MD5
        "unlabeled_X.bin": "5242ba1fed5e4be9e1e742405eb56ca4",
        "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "5a34089d4802c674881badbb80307741",
        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    }

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The archive or, if some files are unpacked, those missing beside them."""
        missing = min((_missing_in(data_dir / folder, cls.files) for folder in FOLDERS), key=len)
        if not missing or find(data_dir, ARCHIVE_FOLDERS, [ARCHIVE.name]):
            return []
        return missing if len(missing) < len(cls.files) else [ARCHIVE.name]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits, each compared with its published MD5 when its last image has been read."""
        folders = (data_dir / folder for folder in FOLDERS)
        folder = next((folder for folder in folders if not _missing_in(folder, cls.files)), None)
        source = folder or require(data_dir, ARCHIVE_FOLDERS, [ARCHIVE.name])
        train, test = (cls._stream(source, name) for name in cls.files if name.endswith("_X.bin"))
        return train, test, {name: cls.checksums[name] for name in cls.files}

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """The archive of the example files."""
        files = example_files()
        (folder / ARCHIVE.name).write_bytes(tar_of({f"stl10_binary/{name}": files[name] for name in files}))
        return example_attributes(files)

    @classmethod
    def _stream(cls, source: Path, name: str) -> StreamSplit:
        label_file = name.replace("_X", "_y")
        if label_file in cls.files:
            labels = cls._labels(source, label_file)
        else:
            labels = np.full(cls.lengths[name], -1, dtype=np.int64)
        return StreamSplit(cls.lengths[name], cls.shape, cls.chunks(source, name, labels))

    @classmethod
    def chunks(cls, source: Path, name: str, labels: np.ndarray) -> Iterator[Chunk]:
        """The resized images of an official file, with these labels."""
        done = 0
        for block in cls._blocks(source, name, PIXELS, CHUNK):
            columns_first = np.frombuffer(block, dtype=np.uint8).reshape(-1, 3, SIDE, SIDE)
            originals = map(Image.fromarray, np.ascontiguousarray(columns_first.transpose(0, 3, 2, 1)))
            images = np.stack([pixels(resize(image, cls.shape[1])) for image in originals])
            yield images, labels[done : done + len(images)]
            done += len(images)

    @classmethod
    def _labels(cls, source: Path, name: str) -> np.ndarray:
        """int64 labels from 0. The file counts from 1."""
        content = b"".join(cls._blocks(source, name, 1, cls.lengths[name]))
        labels = np.frombuffer(content, dtype=np.uint8).astype(np.int64) - 1
        if labels.min() < 0 or labels.max() >= CLASSES:
            raise UserError(
                f"{_location(source, name)}: has labels from {labels.min() + 1} to {labels.max() + 1},"
                f" expected 1 to {CLASSES}; get it again from {URL}"
            )
        return labels

    @classmethod
    def _blocks(cls, source: Path, name: str, item_size: int, items_per_block: int) -> Iterator[bytes]:
        """The content of an official file in blocks of whole items. Its length and MD5 are checked."""
        length, where = cls.lengths[name], _location(source, name)
        digest = hashlib.md5(usedforsecurity=False)
        with _opened(source, name) as (file, size):
            if size != length * item_size:
                raise UserError(
                    f"{where}: holds {size:,} bytes, expected {length * item_size:,}; get it again from {URL}"
                )
            while block := file.read(items_per_block * item_size):
                digest.update(block)
                if len(block) % item_size:
                    raise UserError(f"{where}: ends inside an image; get it again from {URL}")
                yield block
        check_published(where, name, digest.hexdigest(), cls.checksums)


class STL10At32(STL10):
    """As STL10, but (3, 32, 32) images."""

    name = "stl10_32"
    about = "STL-10's 100,000 unlabelled photographs, 96x96 resized to 32x32 by PIL (bilinear)"
    shape = (3, 32, 32)


class LabelledSTL10(STL10):
    """(3, 48, 48) images, the 5,000 with labels of 10 classes; the 8,000 test images are held out."""

    name = "stl10_labelled"
    about = "STL-10's 5,000 labelled photographs of 10 classes, 96x96 resized to 48x48 by PIL (bilinear)"
    num_labels = CLASSES
    split_names: ClassVar[dict[str, str]] = {}
    files = ("train_X.bin", "test_X.bin", "train_y.bin", "test_y.bin")


def _missing_in(folder: Path, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]


@contextmanager
def _opened(source: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """A file of the folder or the archive, and its size. Raises UserError if it cannot be read."""
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
        raise UserError(f"{_location(source, name)}: cannot be read: {error}; get it again from {URL}") from None
    raise UserError(f"{_location(source, name)}: is not in the archive; get it again from {URL}")


def _location(source: Path, name: str) -> str:
    return str(source / name) if source.is_dir() else f"{source}: {name}"


def example_files() -> dict[str, bytes]:
    """The five files with 12 unlabelled, 20 training and 7 test images."""
    rng = np.random.default_rng(2)
    files = {}
    for name in ALL_FILES:
        n = {"unlabeled": 12, "train": 20, "test": 7}[name.split("_")[0]]
        coarse = rng.integers(0, 256, (n, 3, 12, 12), dtype=np.uint8)
        labels = rng.permutation(np.arange(n) % 10 + 1).astype(np.uint8)
        files[name] = (coarse.repeat(8, 2).repeat(8, 3) if "X" in name else labels).tobytes()
    return files


def example_attributes(files: dict[str, bytes]) -> dict[str, Any]:
    """The class attributes that describe these files in place of the official ones."""
    sizes = {name: PIXELS if "X" in name else 1 for name in files}
    return {
        "lengths": {name: len(content) // sizes[name] for name, content in files.items()},
        "checksums": {name: md5_of(content) for name, content in files.items()},
    }
