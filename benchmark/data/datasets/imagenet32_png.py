"""ImageNet at 32x32 as it was first released: folders of PNGs without labels (van den Oord et al. 2016).

This is what MSGAN trained on (image-net.org/small/train_32x32.tar). The tars are read where they stand: a member is
bytes at a place, and is never written to disk. Images come in the order of their names, from a tar and from a folder.
"""

import hashlib
import io
import os
import struct
import tarfile
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset

COUNTS = {"train_32x32": 1_281_149, "valid_32x32": 49_999}
# SHA-256, from url_checksums/downsampled_imagenet.txt of tensorflow/datasets
PUBLISHED = {
    "train_32x32.tar": "244a323d48f8d72f65ad8b54658c01fed68d2d7bdc77ccb43da58c11e94224e5",
    "valid_32x32.tar": "862e559462b24cf736212a19f6b0d47b55c2dc8ebdaa95ccecfe71260124c8f7",
}
FOLDERS = (".", "imagenet32_png", "imagenet32", "Imagenet32", "ImageNet32")
SIZE = (32, 32)
CHUNK = 4_096
LARGEST = 1 << 16  # bytes of one PNG; 32x32 pixels have 3,072


class ImageNet32PNG(Dataset):
    """(3, 32, 32) images without labels; the validation images are held out."""

    name = "imagenet32_png"
    about = "ImageNet made small (van den Oord et al. 2016), without labels: what MSGAN was trained on"
    preprocessing = "whole pictures made 32x32"
    licence = "ImageNet's terms of access: non-commercial research and education"
    source = "train_32x32.tar and valid_32x32.tar, or the folders of PNGs in them"
    shape = (3, 32, 32)

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """The tars or folders that are not under `data_dir`, and where to put them."""
        lacking = [part for part in COUNTS if find(data_dir, part) is None]
        if not lacking:
            return None
        return (
            f"dataset imagenet32_png: not found under {data_dir}:\n"
            + "\n".join(f"  {part}.tar, or the folder {part}/ with its PNGs" for part in lacking)
            + "\nimage-net.org/small/ no longer offers them to everybody; ask for them where you registered, or use"
            "\nimagenet32, the later release with labels. Put them into one folder and pass it as --data-dir."
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits as streams. All files are listed and their checksums taken before the first image is read."""
        sources: dict[str, str] = {}
        streams = []
        for part, expected in COUNTS.items():
            path = find(data_dir, part)
            if path is None:
                raise UserError(cls.missing_files(data_dir) or f"{part} vanished from {data_dir}")
            images = _InTar(path) if path.is_file() else _InFolder(path)
            if len(images) != expected:
                raise UserError(f"{path}: holds {len(images):,} PNGs, expected {expected:,}; get all of them again")
            sources[path.name] = images.checksum()
            streams.append(StreamSplit(expected, cls.shape, _chunks(images)))
        return streams[0], streams[1], sources


def find(data_dir: Path, part: str) -> Path | None:
    """The tar of a split, else its folder, in one of the usual folders."""
    places = [data_dir / folder / part for folder in FOLDERS]
    tars = (path.with_name(f"{part}.tar") for path in places)
    return next((path for path in tars if path.is_file()), None) or next((p for p in places if p.is_dir()), None)


def decoded(content: bytes, label: str) -> np.ndarray:
    """uint8 (3, 32, 32). Raises UserError when it is no PNG of this size."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != SIZE:
                raise UserError(f"{label}: is {image.width}x{image.height}, expected 32x32; get all of them again")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError, struct.error) as error:  # what Pillow raises for a damaged PNG
        raise UserError(f"{label}: cannot be read: {error}; get all of them again") from None


class _InFolder:
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
        """SHA-256 of all names and contents, one after another."""
        digest = hashlib.sha256()
        for name, content in self:
            digest.update(name.encode() + len(content).to_bytes(8, "big") + content)
        return digest.hexdigest()


class _InTar:
    """The PNGs of an uncompressed tar, by name; what else is in it, links too, is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.offsets, self.sizes = array("q"), array("q")
        try:
            with tarfile.open(path, "r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # a million of them would fill the memory
                    self._note(member)
        except (OSError, tarfile.TarError) as error:
            raise UserError(f"{path}: cannot be read as a tar: {error}; get the file again") from None
        if len(set(self.names)) != len(self.names):
            raise UserError(f"{path}: holds PNGs of the same name; get the file again")

    def _note(self, member: tarfile.TarInfo) -> None:
        place = PurePosixPath(member.name)
        if place.is_absolute() or ".." in place.parts:
            raise UserError(f"{self.path}: '{member.name}' leads out of it; get the file again")
        if member.isdir():
            return
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size > LARGEST:
            raise UserError(f"{self.path}: '{member.name}' is not an image file; get the file again")
        if place.suffix == ".png":
            self.names.append(place.name)
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
        """SHA-256 of the tar. Raises UserError when it is not the published one."""
        with self.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        expected = PUBLISHED.get(self.path.name, found)
        if found != expected:
            raise UserError(
                f"{self.path}: is not the published file: SHA-256 {found}, expected {expected}; get the file again"
            )
        return found


def _chunks(images: _InFolder | _InTar) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    some: list[np.ndarray] = []
    for name, content in images:
        some.append(decoded(content, f"{images.path}: {name}"))
        if len(some) == CHUNK:
            yield _chunk(some)
            some = []
    if some:
        yield _chunk(some)


def _chunk(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack(images), np.full(len(images), -1, np.int64)
