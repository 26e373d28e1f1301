"""A tree of image files: a folder, or a zip archive that is read without unpacking it.

Both give the same names in the same order, by bytes, regardless of the locale. Links, hidden files, the folders of
other programs and files whose name does not end like an image's are left out; a folder reports which.
"""

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np
from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import Chunk, StreamSplit
from benchmark.data.raw.decode import ENDINGS, decode, pixels
from benchmark.data.raw.file_states import FileStates, display_path

FILE_LIMIT = 2**29  # bytes of a file; the largest accepted image needs as many without compression
CHUNK = 256  # images in memory at a time
NAMED_PROBLEMS, MOST_PROBLEMS = 20, 1000  # unusable images that a message names; after so many, reading stops
# Folders that file servers, macOS and Windows create among a user's files, in lower case.
TOOL_FOLDERS = frozenset(
    {"@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "__macosx", "$recycle.bin"}
    | {"system volume information", "lost+found"}
)

Item = tuple[str, int]  # a file's name and label
Transform = Callable[[Image, str], Image]  # an RGB image and its location, for messages -> an image of the final size
LeftOut = dict[str, list[str]]  # kind of file or folder, in the plural -> names


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
        return sorted(self.walk({}), key=sort_key)

    def left_out(self) -> LeftOut:
        """The files and folders that are not taken as images, by kind; empty for none."""
        left_out: LeftOut = {}
        for _ in self.walk(left_out):
            pass
        return {kind: sorted(names) for kind, names in sorted(left_out.items())}

    def walk(self, left_out: LeftOut, below: str = "") -> Iterator[str]:
        """The names of all images, in the order of the file system. What is left out is added to `left_out`."""
        try:
            with os.scandir(self.root / below) as entries:
                listed = list(entries)
        except OSError as error:
            raise UserError(f"{self.location(below)}: cannot be read: {error.strerror}; make it readable") from None
        for entry in listed:
            name = f"{below}/{entry.name}" if below else entry.name
            if kind := _kind_left_out(entry):
                left_out.setdefault(kind, []).append(name)
            elif entry.is_dir():
                yield from self.walk(left_out, name)
            else:
                yield name

    def states(self) -> FileStates:
        """The size and the time of the last change of every image."""
        try:
            stats = {name: (self.root / name).stat() for name in self.walk({})}
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from None
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

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
    """Whether the name ends like an image's, and no part of it is hidden or the folder of another program."""
    parts = name.lower().split("/")
    return parts[-1].endswith(ENDINGS) and not any(part.startswith(".") or part in TOOL_FOLDERS for part in parts)


def _kind_left_out(entry: os.DirEntry[str]) -> str:
    """Why an entry of a folder is not taken, as a plural; "" for a folder to search and for an image."""
    if entry.is_symlink():
        return "links, which are not followed"
    if entry.name.startswith("."):
        return "hidden files and folders"
    if entry.is_dir():
        return "folders of other programs" if entry.name.lower() in TOOL_FOLDERS else ""
    if entry.name.lower().endswith(ENDINGS) and entry.is_file():
        return ""
    ending = PurePath(entry.name).suffix.lower()
    return f"files that end in {ending}" if ending else "files without an ending"


def sort_key(name: str) -> tuple[bytes, bytes, bytes]:
    """Sorts by first folder, then folder, then file name, as torchvision's ImageFolder does."""
    parent, _, file = name.rpartition("/")
    return os.fsencode(first_folder(name)), os.fsencode(parent), os.fsencode(file)


def first_folder(name: str) -> str:
    """The folder at the first level; empty for a file at the top."""
    return name.partition("/")[0] if "/" in name else ""


def image_streams(
    splits: Mapping[str, tuple[FileTree, Sequence[Item]]],
    transform: Transform,
    *,
    size: int,
    checksums: dict[str, str],
) -> list[StreamSplit]:
    """The files of each split, by the split's title, as a stream of (3, size, size) images.

    Each file is read once. The SHA-256 of all files of a split, computed from the bytes that were decoded, is added to
    `checksums` at the end of its stream, under a key such as `folder train (1,234 files)`. If images cannot be used,
    the first stream with such images raises a UserError at its end, which names those of all streams.
    """
    reader = _ImageReader(splits, transform, checksums)
    return [
        StreamSplit(len(items), (3, size, size), reader.chunks(title, size)) for title, (_, items) in splits.items()
    ]


class _ImageReader:
    """Decodes the images of several splits, and collects the problems of all before it reports any."""

    def __init__(
        self, splits: Mapping[str, tuple[FileTree, Sequence[Item]]], transform: Transform, checksums: dict[str, str]
    ) -> None:
        self.unread, self.transform, self.checksums = dict(splits), transform, checksums
        self.problems: list[str] = []

    def chunks(self, title: str, size: int) -> Iterator[Chunk]:
        """The images of a split and their labels."""
        (tree, items), digest = self.unread.pop(title), hashlib.sha256()
        for start in range(0, len(items), CHUNK):
            chunk = items[start : start + CHUNK]
            images = np.zeros((len(chunk), 3, size, size), dtype=np.uint8)
            for image, (name, _) in zip(images, chunk, strict=True):
                decoded = self._decode(tree, name, digest)
                if decoded is not None:
                    image[:] = decoded
            yield images, np.array([label for _, label in chunk], dtype=np.int64)
        if self.problems:
            for other, unread in self.unread.values():
                for name, _ in unread:
                    self._decode(other, name, digest)
            raise self._error("")
        self.checksums[f"{title} ({len(items):,} files)"] = digest.hexdigest()

    def _decode(self, tree: FileTree, name: str, digest: "hashlib._Hash") -> np.ndarray | None:
        """The pixels of a file, whose content is added to the checksum; None if it cannot be used."""
        try:
            content = tree.read(name)
            digest.update(checksum_entry(name, content))
            where = tree.location(name)
            return pixels(self.transform(decode(content, where), where))
        except UserError as error:
            self.problems.append(str(error))
        if len(self.problems) == MOST_PROBLEMS:
            raise self._error("at least ")
        return None

    def _error(self, least: str) -> UserError:
        if len(self.problems) == 1:
            return UserError(self.problems[0])
        more = len(self.problems) - NAMED_PROBLEMS
        return UserError(
            "\n".join(
                [f"{least}{len(self.problems):,} images cannot be used; replace or remove them:"]
                + [f"  {problem}" for problem in self.problems[:NAMED_PROBLEMS]]
                + ([f"  and {more:,} more"] if more > 0 else [])
            )
        )


def checksum_entry(name: str, content: bytes) -> bytes:
    """A file's part of the checksum: name, size and SHA-256. Different lists of files have different entries."""
    return os.fsencode(name) + b"\0%d\0" % len(content) + hashlib.sha256(content).digest()
