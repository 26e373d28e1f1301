"""Prepared datasets: memory-mapped arrays and a manifest, written once and all or nothing."""

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
from benchmark.data.arrays import ArraySplit, Chunk, PreparedData, Split, StreamSplit, stored_dtype
from benchmark.data.manifest import MANIFEST, read_manifest
from benchmark.data.raw.download import ProgressCallback
from benchmark.data.raw.file_states import FileStates, write_states

SPLITS = ("train", "test")
LABELS = np.dtype(np.int64)


def write_prepared(
    target: Path,
    read: Callable[[], tuple[Split, Split, dict[str, str]]],
    description: dict[str, Any],
    *,
    states: FileStates | None = None,
    is_current: Callable[[], bool] | None = None,
    progress: ProgressCallback | None = None,
) -> None:
    """Write the folder `target`: two arrays for each split, the `states` of the raw files, and a manifest.

    The manifest includes `description`. Does nothing if the folder `is_current` (default: is complete). A process that
    is killed leaves no folder of this name, only a scratch folder that the next process removes. Raises UserError,
    naming the folder, if the disk is full or read-only.
    """
    with _disk_errors_explained(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if is_current() if is_current else is_prepared(target):
                return
            scratch_prefix = f".{target.name}-"
            for leftover in target.parent.glob(f"{scratch_prefix}*"):  # no other process writes under this lock
                shutil.rmtree(leftover, ignore_errors=True)
            train, test, sources = read()
            folder = target.with_name(f"{scratch_prefix}{token_hex(4)}")
            folder.mkdir()
            try:
                if states:
                    write_states(folder, states)
                _write(folder, {"train": as_stream(train), "test": as_stream(test)}, sources, description, progress)
                shutil.rmtree(target, ignore_errors=True)  # incomplete, as a power failure may leave it, or outdated
                folder.replace(target)
            except BaseException:  # includes KeyboardInterrupt
                shutil.rmtree(folder, ignore_errors=True)
                raise


def is_prepared(target: Path) -> bool:
    """Whether the folder is complete: the manifest is written last."""
    return (target / MANIFEST).is_file()


def as_stream(split: Split) -> StreamSplit:
    """The split as a stream; an array becomes one chunk."""
    if isinstance(split, StreamSplit):
        return split
    return StreamSplit(len(split.labels), split.images.shape[1:], iter([(split.images, split.labels)]))


def counted_chunks(name: str, stream: StreamSplit, progress: ProgressCallback | None) -> Iterator[Chunk]:
    """The chunks of a stream. Reports progress after each; raises UserError if there are too few or too many images."""
    done = 0
    for images, labels in stream.chunks:
        yield images, labels
        done += len(labels)
        if progress:
            progress(name, done, stream.length)
    if done != stream.length:
        raise UserError(f"read {done:,} {name} images, expected {stream.length:,}; get the files again")


def _write(
    folder: Path,
    splits: dict[str, StreamSplit],
    sources: dict[str, str],
    description: dict[str, Any],
    progress: ProgressCallback | None,
) -> None:
    _check_free_space(folder, splits)
    checksums: dict[str, str] = {}
    highest_label = -1
    for name, stream in splits.items():
        split_checksums, highest = _write_split(folder, name, stream, progress)
        checksums |= split_checksums
        highest_label = max(highest_label, highest)
    manifest = {
        **description,
        "code": __version__,
        "sources": sources,
        "classes": highest_label + 1,
        **{name: [stream.length, *stream.shape] for name, stream in splits.items()},
        "checksums": checksums,
    }
    with (folder / MANIFEST).open("w") as file:
        file.write(json.dumps(manifest, indent=1) + "\n")
        _flush_to_disk(file)


def array_checksums(splits: dict[str, Split], progress: ProgressCallback | None = None) -> dict[str, str]:
    """The checksums that the manifest would have if these splits were prepared. Writes nothing."""
    checksums: dict[str, str] = {}
    for name, split in splits.items():
        checksums |= _write_split(None, name, as_stream(split), progress)[0]
    return checksums


def _write_split(
    folder: Path | None, name: str, stream: StreamSplit, progress: ProgressCallback | None
) -> tuple[dict[str, str], int]:
    """Write both files of a split sequentially; returns their checksums and the highest label. None: writes no file.

    Sequential writes turn a full disk into an error; writing to a memory map would crash instead.
    """
    if stream.length == 0:
        raise UserError(f"there are no {name} {_samples(stream)}; at least one is needed")
    highest = -1
    image_name, label_name = f"{name}_images.npy", f"{name}_labels.npy"
    with _opened(folder, image_name) as image_file, _opened(folder, label_name) as label_file:
        image_writer = _HashingWriter(image_file, (stream.length, *stream.shape), stored_dtype(stream.shape))
        label_writer = _HashingWriter(label_file, (stream.length,), LABELS)
        for images, labels in counted_chunks(name, stream, progress):
            if images.shape != (len(labels), *stream.shape):
                raise UserError(f"{name} {_samples(stream)} are {images.shape[1:]}, expected {stream.shape}")
            image_writer.append(images)
            label_writer.append(labels)
            highest = max(highest, int(labels.max(initial=-1)))
        if folder:
            _flush_to_disk(image_file)
            _flush_to_disk(label_file)
    return {image_name: image_writer.checksum, label_name: label_writer.checksum}, highest


def _opened(folder: Path | None, name: str) -> IO[bytes]:
    return (folder / name if folder else Path(os.devnull)).open("wb")


class _HashingWriter:
    """Writes a .npy file row by row and computes its SHA-256."""

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.file, self.dtype, self.digest = file, dtype, hashlib.sha256()
        np.lib.format.write_array_header_1_0(self, {"descr": dtype.str, "fortran_order": False, "shape": shape})

    def append(self, rows: np.ndarray) -> None:
        self.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self.file.write(content)

    @property
    def checksum(self) -> str:
        """SHA-256 of everything written so far."""
        return self.digest.hexdigest()


def _samples(stream: StreamSplit) -> str:
    return "points" if len(stream.shape) == 1 else "images"


def _flush_to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def split_size(shape: tuple[int, ...]) -> int:
    """The bytes of a split whose images or points are an array of this shape, with their labels."""
    return math.prod(shape) * stored_dtype(shape[1:]).itemsize + shape[0] * LABELS.itemsize


def _check_free_space(folder: Path, splits: dict[str, StreamSplit]) -> None:
    needed = sum(split_size((stream.length, *stream.shape)) for stream in splits.values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder.parent}: {needed / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB are free;"
            " make room, or choose another --workspace"
        )


@contextmanager
def _disk_errors_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}; nothing was prepared") from None


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One process at a time. On a file system without locks the final rename still leaves a complete folder."""
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


# --- opening and checking ------------------------------------------------------------------------------


def open_prepared(path: Path, checksums: dict[str, str] | None = None) -> PreparedData:
    """Map a prepared dataset into memory, copy-on-write: all processes of a machine share its pages.

    Raises UserError if the sizes of the files differ from the manifest, or if `checksums` are given and differ.
    """
    damage = find_damage(path)
    if damage:
        raise UserError(damage)
    if checksums and read_manifest(path).get("checksums", checksums) != checksums:
        raise UserError(f"{path}: other images were prepared while the run was going on; run again to train on them")
    train, test = (
        ArraySplit(np.load(path / f"{name}_images.npy", mmap_mode="c"), np.load(path / f"{name}_labels.npy"))
        for name in SPLITS
    )
    return PreparedData(path, train, test, read_manifest(path))


def find_damage(path: Path, thorough: bool = False) -> str | None:
    """The first damage in a prepared folder, judged by file sizes or, if thorough, by checksums; None if intact."""
    remedy = "delete the folder, and prepare the dataset again"
    try:
        manifest = read_manifest(path)
        shapes = {name: tuple(manifest[name]) for name in SPLITS}
    except KeyError as error:
        return f"{path / MANIFEST}: has no {error}; {remedy}"
    except (OSError, ValueError) as error:
        return f"{path / MANIFEST}: cannot be read ({error}); {remedy}"
    for name, shape in shapes.items():
        expectations = (("images", shape, stored_dtype(shape[1:])), ("labels", shape[:1], LABELS))
        for kind, expected, dtype in expectations:
            file = path / f"{name}_{kind}.npy"
            found = _array_shape(file, dtype)
            if found != expected:
                return f"{file}: holds {found or 'no complete array'}, expected {expected}; {remedy}"
    if thorough:
        for file_name, checksum in manifest.get("checksums", {}).items():
            if file_checksum(path / file_name, "sha256") != checksum:
                return f"{path / file_name}: its SHA-256 differs from the manifest; {remedy}"
    return None


def _array_shape(file: Path, dtype: np.dtype[Any]) -> tuple[int, ...] | None:
    with suppress(OSError, ValueError, EOFError):  # EOFError: the file is empty
        array = np.load(file, mmap_mode="r")
        if isinstance(array, np.ndarray) and array.dtype == dtype:  # an .npz archive is no ndarray
            return tuple(array.shape)
    return None
