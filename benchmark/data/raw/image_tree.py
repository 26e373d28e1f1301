"""A tree of image files: a folder, or a zip archive that is read without unpacking it.

Both give the same names in the same order, by bytes, regardless of the locale. Hidden files, links and files whose
name does not end like an image's are left out.
"""

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import Chunk, StreamSplit
from benchmark.data.raw.decode import ENDINGS, decode, pixels

FILE_LIMIT = 2**29  # bytes of a file; the largest accepted image needs as many without compression
CHUNK = 256  # images in memory at a time

Item = tuple[str, int]  # a file's name and label
Transform = Callable[[Image, str], Image]  # an RGB image and its location, for messages -> an image of the final size


class FileTree(Protocol):
    """Files whose names are relative to a root, with parts separated by `/`."""

    def names(self) -> list[str]:
        """The names of all images, in order."""

    def read(self, name: str) -> bytes:
        """The content of a file. Raises UserError if it cannot be read."""

    def location(self, name: str = "") -> str:
        """The path of a file, or of the tree itself, for messages."""


class DirectoryTree:
    """A folder on disk, which may itself be a link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """The names of all images, in order."""
        return sorted(self.walk(), key=sort_key)

    def walk(self, below: str = "") -> Iterator[str]:
        """The names of all images, in the order of the file system."""
        try:
            with os.scandir(self.root / below) as entries:
                unlinked = [entry for entry in entries if not entry.is_symlink()]
        except OSError as error:
            raise UserError(f"{self.location(below)}: cannot be read: {error.strerror}; make it readable") from None
        for entry in unlinked:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir() and not entry.name.startswith("."):
                yield from self.walk(name)
            elif entry.is_file() and is_image(name):
                yield name

    def read(self, name: str) -> bytes:
        """The content of a file. Raises UserError if it cannot be read."""
        path = self.root / name
        try:
            check_size(path.stat().st_size, self.location(name))
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.location(name)}: cannot be read: {error.strerror}; get it again") from None

    def location(self, name: str = "") -> str:
        """The path of a file, or of the folder itself, for messages."""
        return display_path(str(self.root / name))


class ZipTree:
    """The files below one folder of a zip archive. Nothing is unpacked, so no name can lead outside."""

    def __init__(self, path: Path, root: str) -> None:
        self.path, self.root = path, f"{root}/"
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read as a zip archive: {error}; get it again") from None

    def names(self) -> list[str]:
        """The names of all images, in order."""
        members = {member.filename: member for member in self.archive.infolist()}
        names = (
            name.removeprefix(self.root)
            for name, member in members.items()
            if name.startswith(self.root) and is_plain_file(member)
        )
        return sorted(filter(is_image, names), key=sort_key)

    def read(self, name: str) -> bytes:
        """The content of a file. Raises UserError if it cannot be read."""
        try:
            member = self.archive.getinfo(self.root + name)
            check_size(member.file_size, self.location(name))  # the unpacked size; zipfile reads no more than that
            return self.archive.read(member)
        except KeyError:
            raise UserError(f"{self.location(name)}: is not in the archive; get the archive again") from None
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.location(name)}: cannot be read: {error}; get the archive again") from None

    def location(self, name: str = "") -> str:
        """The path of a file, or of the archive itself, for messages."""
        return display_path(f"{self.path}: {self.root}{name}" if name else str(self.path))


def check_size(size: int, where: str) -> None:
    """Raises UserError if a file, which is read into memory whole, is larger than any image needs to be."""
    if size > FILE_LIMIT:
        raise UserError(f"{where}: has {size / 2**20:,.0f} MiB, too many for an image; make it smaller, or remove it")


def is_plain_file(member: zipfile.ZipInfo) -> bool:
    """Whether the member of an archive is neither a folder nor a link."""
    return not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16)


def is_image(name: str) -> bool:
    """Whether the name ends like an image's and no part of it is hidden."""
    return name.lower().endswith(ENDINGS) and not any(part.startswith(".") for part in name.split("/"))


def sort_key(name: str) -> tuple[bytes, bytes, bytes]:
    """Sorts by first folder, then folder, then file name, as torchvision's ImageFolder does."""
    parent, _, file = name.rpartition("/")
    return os.fsencode(first_folder(name)), os.fsencode(parent), os.fsencode(file)


def first_folder(name: str) -> str:
    """The folder at the first level; empty for a file at the top."""
    return name.partition("/")[0] if "/" in name else ""


def display_path(path: str) -> str:
    """The path, with escapes if it contains characters that a terminal cannot show."""
    return path if path.isprintable() else ascii(path)


def image_stream(
    tree: FileTree, items: Sequence[Item], transform: Transform, *, size: int, title: str, checksums: dict[str, str]
) -> StreamSplit:
    """The files `items` of a tree as a stream of (3, size, size) images.

    Each file is read once. The SHA-256 of all files, computed from the bytes that were decoded, is added to
    `checksums` at the end of the stream, under a key such as `folder train (1,234 files)`.
    """
    return StreamSplit(len(items), (3, size, size), _chunks(tree, items, transform, size, title, checksums))


def _chunks(
    tree: FileTree, items: Sequence[Item], transform: Transform, size: int, title: str, checksums: dict[str, str]
) -> Iterator[Chunk]:
    digest = hashlib.sha256()
    for start in range(0, len(items), CHUNK):
        chunk = items[start : start + CHUNK]
        images = np.empty((len(chunk), 3, size, size), dtype=np.uint8)
        for image, (name, _) in zip(images, chunk, strict=True):
            content = tree.read(name)
            digest.update(checksum_entry(name, content))
            where = tree.location(name)
            image[:] = pixels(transform(decode(content, where), where))
        yield images, np.array([label for _, label in chunk], dtype=np.int64)
    checksums[f"{title} ({len(items):,} files)"] = digest.hexdigest()


def checksum_entry(name: str, content: bytes) -> bytes:
    """A file's part of the checksum: name, size and SHA-256. Different lists of files have different entries."""
    return os.fsencode(name) + b"\0%d\0" % len(content) + hashlib.sha256(content).digest()
