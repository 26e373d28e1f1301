"""A tree of image files: a folder, or a zip archive that is read without being unpacked.

Both give the same names in the same order, by bytes, whatever the machine's language. Hidden files, links and what
does not end as an image does are left out.
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
from benchmark.data.arrays import StreamSplit
from benchmark.data.raw.decode import ENDINGS, decode, pixels

FILE_LIMIT = 2**29  # bytes; as many as the largest picture that is taken has without compression


class FileTree(Protocol):
    """Files with names relative to the root, parts separated by `/`."""

    def names(self) -> list[str]:
        """Of all images, in order."""

    def read(self, name: str) -> bytes:
        """A file's content. Raises UserError when it cannot be read."""

    def where(self, name: str = "") -> str:
        """The file, or the tree itself, for a message."""


class DirectoryTree:
    """A folder on disk, which may itself be a link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Of all images, in order."""
        return sorted(self.walk(), key=order)

    def walk(self, below: str = "") -> Iterator[str]:
        """Of all images, as the file system lists them."""
        try:
            with os.scandir(self.root / below) as entries:
                found = [entry for entry in entries if not entry.is_symlink()]
        except OSError as error:
            raise UserError(f"{self.where(below)}: cannot be read: {error.strerror}; make it readable") from None
        for entry in found:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir() and not entry.name.startswith("."):
                yield from self.walk(name)
            elif entry.is_file() and is_image(name):
                yield name

    def read(self, name: str) -> bytes:
        """A file's content. Raises UserError when it cannot be read."""
        path = self.root / name
        try:
            check_size(path.stat().st_size, self.where(name))
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.where(name)}: cannot be read: {error.strerror}; get it again") from None

    def where(self, name: str = "") -> str:
        """The file, or the folder itself, for a message."""
        return display_path(str(self.root / name))


class ZipTree:
    """What is below one folder of a zip archive. Nothing is unpacked, so a name leads nowhere outside."""

    def __init__(self, path: Path, root: str) -> None:
        self.path, self.root = path, f"{root}/"
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read as a zip archive: {error}; get it again") from None

    def names(self) -> list[str]:
        """Of all images, in order."""
        members = {info.filename: info for info in self.archive.infolist()}
        found = (
            name.removeprefix(self.root)
            for name in members
            if name.startswith(self.root) and is_safe_name(members[name])
        )
        return sorted((name for name in found if is_image(name)), key=order)

    def read(self, name: str) -> bytes:
        """A file's content. Raises UserError when it cannot be read."""
        try:
            member = self.archive.getinfo(self.root + name)
            check_size(member.file_size, self.where(name))  # what it unpacks to: no more is ever read
            return self.archive.read(member)
        except KeyError:
            raise UserError(f"{self.where(name)}: is not in the archive; get the archive again") from None
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.where(name)}: cannot be read: {error}; get the archive again") from None

    def where(self, name: str = "") -> str:
        """The file, or the archive itself, for a message."""
        return display_path(f"{self.path}: {self.root}{name}" if name else str(self.path))


def check_size(size: int, where: str) -> None:
    """Raises UserError for a file that no picture needs: it is read into memory as a whole."""
    if size > FILE_LIMIT:
        raise UserError(f"{where}: has {size / 2**20:,.0f} MiB, too many for an image; make it smaller, or remove it")


def is_safe_name(member: zipfile.ZipInfo) -> bool:
    """Whether it is a file, and not a folder or a link."""
    return not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16)


def is_image(name: str) -> bool:
    """By its ending; nothing below a hidden folder is one."""
    return name.lower().endswith(ENDINGS) and not any(part.startswith(".") for part in name.split("/"))


def order(name: str) -> tuple[bytes, bytes, bytes]:
    """By first folder, then by folder, then by name: torchvision's ImageFolder has this order, too."""
    parent, _, file = name.rpartition("/")
    return os.fsencode(first_folder(name)), os.fsencode(parent), os.fsencode(file)


def first_folder(name: str) -> str:
    """The folder at the first level; nothing for a file at the top."""
    return name.partition("/")[0] if "/" in name else ""


def display_path(text: str) -> str:
    """As it is, or with escapes where a terminal would choke on it."""
    return text if text.isprintable() else ascii(text)


CHUNK = 256

Fit = Callable[[Image, str], Image]  # an RGB picture and where it is -> of the wanted size


def image_stream(
    tree: FileTree, items: Sequence[tuple[str, int]], fit: Fit, size: int, title: str, checksums: dict[str, str]
) -> StreamSplit:
    """The files `items`, each a name and a label, as (3, size, size) pictures.

    Each file is read once. So the checksum, of the very bytes that were decoded, is put into `checksums` when the
    last one is: under a key like `folder train (1,234 files)`.
    """
    return StreamSplit(len(items), (3, size, size), _chunks(tree, items, fit, size, title, checksums))


def _chunks(
    tree: FileTree, items: Sequence[tuple[str, int]], fit: Fit, size: int, title: str, checksums: dict[str, str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    files = hashlib.sha256()
    for start in range(0, len(items), CHUNK):
        some = items[start : start + CHUNK]
        images = np.empty((len(some), 3, size, size), dtype=np.uint8)
        for image, (name, _) in zip(images, some, strict=True):
            content = tree.read(name)
            files.update(entry(name, content))
            where = tree.where(name)
            image[:] = pixels(fit(decode(content, where), where))
        yield images, np.array([label for _, label in some], dtype=np.int64)
    checksums[f"{title} ({len(items):,} files)"] = files.hexdigest()


def entry(name: str, content: bytes) -> bytes:
    """What a file adds to the checksum: name, size and SHA-256. No two lists of files give the same bytes."""
    return os.fsencode(name) + b"\0%d\0" % len(content) + hashlib.sha256(content).digest()
