"""ImageNet at 32x32 as it was first released: folders of PNGs without labels (van den Oord et al. 2016).

MSGAN trained on these images (image-net.org/small/train_32x32.tar). The tar archives are read in place; no member is
written to disk. Images are in the order of their names, from an archive and from a folder.
"""

import hashlib
import io
import os
import struct
import tarfile
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import Chunk, StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_published, find, raw_file_checksum, require
from benchmark.data.raw.examples import tar_of

SPLITS = ("train_32x32", "valid_32x32")
FOLDERS = (".", "imagenet32_png", "imagenet32", "Imagenet32", "ImageNet32")
SIZE = (32, 32)
CHUNK = 4_096  # images in memory at a time
LARGEST = 1 << 16  # bytes of a PNG; 32x32 pixels have 3,072


class ImageNet32PNG(Dataset):
    """(3, 32, 32) images without labels; the validation images are held out."""

    name = "imagenet32_png"
    about = "ImageNet downsampled (van den Oord et al. 2016), without labels, on which MSGAN was trained"
    preprocessing = "whole pictures made 32x32"
    licence = "ImageNet's terms of access: non-commercial research and education"
    source = "train_32x32.tar and valid_32x32.tar, or the folders of PNGs in them"
    shape = (3, 32, 32)
    raw_dir = "imagenet32_png"
    required_files = tuple(((f"{split}.tar",), (f"{split}/*.png",)) for split in SPLITS)
    how_to_get = (
        "image-net.org/small/ no longer offers them to everybody; ask for them where you registered, or use\n"
        "imagenet32, the later release with labels. Put them into one folder and pass it as --data-dir."
    )
    split_sizes: ClassVar[dict[str, int]] = {"train_32x32": 1_281_149, "valid_32x32": 49_999}
    # SHA-256, from url_checksums/downsampled_imagenet.txt of tensorflow/datasets
    checksums: ClassVar[dict[str, str]] = {
        "train_32x32.tar": "244a323d48f8d72f65ad8b54658c01fed68d2d7bdc77ccb43da58c11e94224e5",
        "valid_32x32.tar": "862e559462b24cf736212a19f6b0d47b55c2dc8ebdaa95ccecfe71260124c8f7",
    }

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The archives that are not under `data_dir`, unless their folder is."""
        return [
            f"{split}.tar, or the folder {split}/ with its PNGs"
            for split in SPLITS
            if find(data_dir, FOLDERS, [f"{split}.tar", split]) is None
        ]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits as streams. All files are listed and their checksums computed before the first image is read."""
        checksums: dict[str, str] = {}
        streams = []
        for split, expected in cls.split_sizes.items():
            path = find(data_dir, FOLDERS, [f"{split}.tar"]) or require(data_dir, FOLDERS, [split])
            images = _TarImages(path) if path.is_file() else _FolderImages(path)
            if len(images) != expected:
                raise UserError(f"{path}: holds {len(images):,} PNGs, expected {expected:,}; get all of them again")
            checksums[path.name] = images.checksum()
            if path.is_file():
                check_published(path, path.name, checksums[path.name], cls.checksums, "sha256")
            streams.append(StreamSplit(expected, cls.shape, _chunks(images)))
        return streams[0], streams[1], checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """Both archives, 12 and 5 images, whose members are in random order."""
        split_sizes = dict(zip(SPLITS, (12, 5), strict=True))
        checksums = {}
        for split, n in split_sizes.items():
            order = np.random.default_rng(0).permutation(n).tolist()
            packed = tar_of({f"{split}/{i:07}.png": example_png(i) for i in order}, "w")
            (folder / f"{split}.tar").write_bytes(packed)
            checksums[f"{split}.tar"] = hashlib.sha256(packed).hexdigest()
        return {"split_sizes": split_sizes, "checksums": checksums}


def decode_png(content: bytes, where: str) -> np.ndarray:
    """uint8 (3, 32, 32). Raises UserError, naming the file, if it is not a PNG of this size."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != SIZE:
                raise UserError(f"{where}: is {image.width}x{image.height}, expected 32x32; get all of them again")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError, struct.error) as error:  # Pillow's errors for a damaged PNG
        raise UserError(f"{where}: cannot be read: {error}; get all of them again") from None


class _FolderImages:
    """The PNGs of a folder, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with os.scandir(path) as entries:
            self.names = sorted(entry.name for entry in entries if entry.name.endswith(".png") and entry.is_file())

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for name in self.names:
            yield name, (self.path / name).read_bytes()

    def checksum(self) -> str:
        """SHA-256 of all names and contents in turn."""
        digest = hashlib.sha256()
        for name, content in self:
            digest.update(name.encode() + len(content).to_bytes(8, "big") + content)
        return digest.hexdigest()


class _TarImages:
    """The PNGs of an uncompressed tar archive, by name. Raises UserError if it holds links or other unusual members."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.offsets, self.sizes = array("q"), array("q")
        try:
            with tarfile.open(path, "r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # a million of them would fill the memory
                    self._add(member)
        except (OSError, tarfile.TarError) as error:
            raise UserError(f"{path}: cannot be read as a tar: {error}; get the file again") from None
        if len(set(self.names)) != len(self.names):
            raise UserError(f"{path}: holds PNGs of the same name; get the file again")

    def _add(self, member: tarfile.TarInfo) -> None:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{self.path}: '{member.name}' leads out of it; get the file again")
        if member.isdir():
            return
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size > LARGEST:
            raise UserError(f"{self.path}: '{member.name}' is not an image file; get the file again")
        if path.suffix == ".png":
            self.names.append(path.name)
            self.offsets.append(member.offset_data)
            self.sizes.append(member.size)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        with self.path.open("rb") as file:
            for i in sorted(range(len(self.names)), key=self.names.__getitem__):
                file.seek(self.offsets[i])
                yield self.names[i], file.read(self.sizes[i])

    def checksum(self) -> str:
        """SHA-256 of the archive."""
        return raw_file_checksum(self.path, "sha256")


def _chunks(images: _FolderImages | _TarImages) -> Iterator[Chunk]:
    chunk: list[np.ndarray] = []
    for index, (name, content) in enumerate(images, 1):
        chunk.append(decode_png(content, f"{images.path}: {name}"))
        if len(chunk) == CHUNK or index == len(images):
            yield np.stack(chunk), np.full(len(chunk), -1, np.int64)
            chunk = []


def example_png(seed: int, size: tuple[int, int] = SIZE) -> bytes:
    """A PNG of (height, width) random pixels."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
