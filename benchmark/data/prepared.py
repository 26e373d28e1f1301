"""A dataset is turned into memory-mapped arrays once: under a lock, all or nothing, with a checksum of every file."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

import numpy as np
from filelock import FileLock

from benchmark import __version__
from benchmark.core.errors import UserError
from benchmark.core.files import file_checksum
from benchmark.data.arrays import ArraySplit, PreparedData, Split, StreamSplit
from benchmark.data.manifest import MANIFEST, read_manifest

SPLITS = ("train", "test")
KINDS = ("images", "labels")
DTYPES = {"images": np.uint8, "labels": np.int64}

ProgressCallback = Callable[[str, int, int], None]  # split, images done, images in all


def write_prepared(
    target: Path,
    read: Callable[[], tuple[Split, Split, dict[str, str]]],
    about: dict[str, Any],
    told: ProgressCallback | None = None,
) -> None:
    """Write the folder `target`: two arrays for each split, and a manifest with `about` in it.

    A process that is killed at any moment leaves no folder of this name, only scratch that the next one clears.
    Raises UserError when the disk is full or cannot be written, naming the folder.
    """
    with _told_of_disk(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if is_prepared(target):
                return
            _clear_scratch(target)
            train, test, sources = read()
            folder = target.with_name(f"{_scratch(target)}{token_hex(4)}")
            folder.mkdir()
            try:
                _write(folder, {"train": as_stream(train), "test": as_stream(test)}, sources, about, told)
                shutil.rmtree(target, ignore_errors=True)  # what a machine that lost power may have left
                folder.replace(target)  # the last step: there is nothing to clear up after it
            except BaseException:  # Ctrl-C too
                shutil.rmtree(folder, ignore_errors=True)
                raise


def is_prepared(target: Path) -> bool:
    """Whether the folder was finished: the manifest is written last."""
    return (target / MANIFEST).is_file()


def as_stream(split: Split) -> StreamSplit:
    """Arrays as a stream of one chunk."""
    if isinstance(split, StreamSplit):
        return split
    return StreamSplit(len(split.labels), split.images.shape[1:], iter([(split.images, split.labels)]))


def _write(
    folder: Path,
    splits: dict[str, StreamSplit],
    sources: dict[str, str],
    about: dict[str, Any],
    told: ProgressCallback | None,
) -> None:
    _check_space(folder, splits)
    checksums: dict[str, str] = {}
    classes = 0
    for name, stream in splits.items():
        sums, highest = _write_split(folder, name, stream, told)
        checksums |= sums
        classes = max(classes, highest + 1)
    shapes = {name: [stream.length, *stream.shape] for name, stream in splits.items()}
    manifest = {
        **about,
        "code": __version__,
        "sources": sources,
        "classes": classes,
        **shapes,
        "checksums": checksums,
    }
    with (folder / MANIFEST).open("w") as file:
        file.write(json.dumps(manifest, indent=1) + "\n")
        _to_disk(file)


def _write_split(
    folder: Path, name: str, stream: StreamSplit, told: ProgressCallback | None
) -> tuple[dict[str, str], int]:
    """Both files of a split, written from one end to the other: a full disk is an error, not a crash as in a map.

    Returns their checksums, and the highest label.
    """
    if stream.length == 0:
        raise UserError(f"there are no {name} images; at least one is needed")
    images, labels = (folder / f"{name}_{kind}.npy" for kind in KINDS)
    done, highest = 0, -1
    with images.open("wb") as image_file, labels.open("wb") as label_file:
        of_images = _Hashed(image_file, (stream.length, *stream.shape), np.uint8)
        of_labels = _Hashed(label_file, (stream.length,), np.int64)
        for some_images, some_labels in stream.chunks:
            if some_images.shape != (len(some_labels), *stream.shape):
                raise UserError(f"{name} images are {some_images.shape[1:]}, expected {stream.shape}")
            of_images.write(some_images)
            of_labels.write(some_labels)
            done += len(some_labels)
            highest = max(highest, int(some_labels.max(initial=-1)))
            if told:
                told(name, done, stream.length)
        _to_disk(image_file)
        _to_disk(label_file)
    if done != stream.length:
        raise UserError(f"{done} {name} images were read where {stream.length} were announced; get the files again")
    return {images.name: of_images.checksum, labels.name: of_labels.checksum}, highest


class _Hashed:
    """A .npy file under way, and the SHA-256 of what is in it."""

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: Any) -> None:
        self.file, self.dtype, self.digest = file, np.dtype(dtype), hashlib.sha256()
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(_Tee(file, self.digest), header)

    def write(self, array: np.ndarray) -> None:
        """Append rows."""
        content = np.ascontiguousarray(array, dtype=self.dtype).tobytes()
        self.digest.update(content)
        self.file.write(content)

    @property
    def checksum(self) -> str:
        """Of the header and all rows so far."""
        return self.digest.hexdigest()


class _Tee:
    """Writes into a file and a digest."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self.file, self.digest = file, digest

    def write(self, content: bytes) -> int:
        """As a file does."""
        self.digest.update(content)
        return self.file.write(content)


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _check_space(folder: Path, splits: dict[str, StreamSplit]) -> None:
    needed = sum(stream.length * (math.prod(stream.shape) + 8) for stream in splits.values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder.parent}: {needed / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB are free;"
            " make room, or choose another --workspace"
        )


@contextmanager
def _told_of_disk(where: Path) -> Iterator[None]:
    """An error of the file system, in words."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or where}: {error.strerror or error}; nothing was prepared") from None


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One process at a time; where a file system knows no locks, the last rename still leaves a whole folder."""
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire()
    except NotImplementedError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _scratch(target: Path) -> str:
    return f".{target.name}-"


def _clear_scratch(target: Path) -> None:
    """Leftovers of processes that were killed: nobody else writes here while the lock is held."""
    for leftover in target.parent.glob(f"{_scratch(target)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


# --- opening and checking ------------------------------------------------------------------------------


def open_prepared(path: Path) -> PreparedData:
    """Map a prepared dataset into memory: no copy, pages shared by all trials of the machine.

    Pages are copied on write, and nobody writes. Raises UserError when files and manifest disagree in size.
    """
    problem = find_damage(path)
    if problem:
        raise UserError(problem)
    manifest = read_manifest(path)
    splits = {
        name: ArraySplit(np.load(path / f"{name}_images.npy", mmap_mode="c"), np.load(path / f"{name}_labels.npy"))
        for name in SPLITS
    }
    return PreparedData(path, splits["train"], splits["test"], manifest)


def find_damage(path: Path, thorough: bool = False) -> str | None:
    """What is wrong with a prepared folder, by sizes or, thoroughly, by checksums; None when it is whole."""
    again = "delete the folder, and prepare the dataset again"
    try:
        manifest = read_manifest(path)
        shapes = {name: tuple(manifest[name]) for name in SPLITS}
    except KeyError as error:
        return f"{path / MANIFEST}: has no {error}; {again}"
    except (OSError, ValueError) as error:
        return f"{path / MANIFEST}: cannot be read ({error}); {again}"
    for name, shape in shapes.items():
        for kind, expected in zip(KINDS, (shape, shape[:1]), strict=True):
            file = path / f"{name}_{kind}.npy"
            found = _shape_of(file, DTYPES[kind])
            if found != expected:
                return f"{file}: holds {found or 'no whole array'}, expected {expected}; {again}"
    if thorough:
        for file_name, checksum in manifest.get("checksums", {}).items():
            if file_checksum(path / file_name, "sha256") != checksum:
                return f"{path / file_name}: its SHA-256 is not that of the manifest; {again}"
    return None


def _shape_of(file: Path, dtype: Any) -> tuple[int, ...] | None:
    with suppress(OSError, ValueError, EOFError):  # an empty file is an EOFError
        array = np.load(file, mmap_mode="r")
        if isinstance(array, np.ndarray) and array.dtype == dtype:  # an .npz under this name is none
            return tuple(array.shape)
    return None
