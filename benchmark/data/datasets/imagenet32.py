"""Downsampled ImageNet, 32x32, with labels: ten training batches and one for validation.

Chrabaszcz, Loshchilov and Hutter released the batches as pickles and as .npz files, in one zip archive per split
(image2numpy_imagenet_train.py and image2numpy_imagenet_val.py of PatrykChrabaszcz/Imagenet32_Scripts write them).
One batch is in memory at a time.
"""

import io
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, ClassVar

import numpy as np

from benchmark.core.errors import UserError
from benchmark.data.arrays import Chunk, StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_published, find, raw_file_checksum
from benchmark.data.raw.examples import zip_of
from benchmark.data.raw.pickle_reader import read_pickle

BATCHES = {"train": tuple(f"train_data_batch_{i}" for i in range(1, 11)), "val": ("val_data",)}
ZIPS = {split: (f"Imagenet32_{split}.zip", f"Imagenet32_{split}_npz.zip") for split in BATCHES}
FOLDERS = tuple(
    f"{home}/{inner}"
    for home in (".", "imagenet32", "Imagenet32", "ImageNet32")
    for inner in (".", *(name.removesuffix(".zip") for names in ZIPS.values() for name in names))
)
PIXELS = 3 * 32 * 32
LABELS = 1_000
CHUNK = 4_096  # images in a chunk
LARGEST = 1 << 30  # bytes of an unpacked batch; the released ones have 394 million


@dataclass(frozen=True)
class BatchFile:
    """One batch: a file, or a member of a zip archive."""

    path: Path
    member: str | None = None

    @property
    def location(self) -> Path:
        """The path, for messages."""
        return self.path / self.member if self.member else self.path

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (n, 3, 32, 32) images and int64 (n,) labels from 0. Raises UserError naming the file."""
        try:
            if self.member is None:
                with self.path.open("rb") as file:
                    return self._parse(file)
            with zipfile.ZipFile(self.path) as archive:
                if archive.getinfo(self.member).file_size > LARGEST:
                    raise UserError(f"{self.location}: is larger than any batch; get the file again")
                return self._parse(io.BytesIO(archive.read(self.member)))
        except (OSError, EOFError, KeyError, ValueError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.location}: cannot be read: {error}; get the file again") from None

    def _parse(self, file: IO[bytes]) -> tuple[np.ndarray, np.ndarray]:
        if self.location.suffix != ".npz":
            return check_batch(read_pickle(file.read(), str(self.location)), self.location)
        with zipfile.ZipFile(file) as archive:
            if any(member.file_size > LARGEST for member in archive.infolist()):
                raise UserError(f"{self.location}: is larger than any batch; get the file again")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return check_batch({name: arrays[name] for name in ("data", "labels") if name in arrays}, self.location)


class ImageNet32(Dataset):
    """(3, 32, 32) images of 1,000 classes; the validation images are held out."""

    name = "imagenet32"
    about = "ImageNet downsampled (Chrabaszcz et al. 2017): 1,281,167 images of 1,000 classes"
    preprocessing = "whole pictures made 32x32"
    licence = "ImageNet's terms of access: non-commercial research and education"
    source = "train_data_batch_1 .. 10 and val_data, pickles or .npz, loose or in Imagenet32_train.zip and _val.zip"
    shape = (3, 32, 32)
    num_labels = LABELS
    note = "no published checksum is known for the pickles; a published one is checked for the .npz zips"
    raw_dir = "imagenet32"
    required_files = tuple(
        ((ZIPS[split][0],), (ZIPS[split][1],), stems, tuple(f"{stem}.npz" for stem in stems))
        for split, stems in BATCHES.items()
    )
    how_to_get = (
        "Register at https://image-net.org/download-images (free for research) and get, under Downsampled\n"
        "ImageNet, the 32x32 images for training and for validation, as pickles or as .npz. Put the zip archives,\n"
        "or the batches in them, into one folder and pass it as --data-dir."
    )
    split_sizes: ClassVar[dict[str, int]] = {"train": 1_281_167, "val": 50_000}
    # SHA-256, from checksums.tsv of imagenet_resized in tensorflow/datasets. None is published for the pickles.
    checksums: ClassVar[dict[str, str]] = {
        "Imagenet32_train_npz.zip": "94226337ecc1b0309d9fcd0167127aaadc931587035fbcb53925235edbaec4fc",
        "Imagenet32_val_npz.zip": "013990e6dec1237dcd1f9beadbab81ead6604cc119af5cacbfb59ae28148377a",
    }

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """For each split the zip archive, or the batches that are missing beside the others."""
        return [line for split in BATCHES for line in _missing_of(data_dir, split)]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits as streams. Published checksums are compared, and duplicates are refused, before reading."""
        files = {split: _batch_files(data_dir, split) for split in BATCHES}
        checksums = cls._checksums([file.path for split_files in files.values() for file in split_files])
        train, test = (
            StreamSplit(size, cls.shape, _chunks(files[split], size)) for split, size in cls.split_sizes.items()
        )
        return train, test, checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """The two zip archives of pickles."""
        for split, batches in example_batches().items():
            files = {stem: pickle.dumps(batch, protocol=3) for stem, batch in batches.items()}
            (folder / ZIPS[split][0]).write_bytes(zip_of(files))
        return {"split_sizes": {"train": 43, "val": 6}}

    @classmethod
    def _checksums(cls, paths: list[Path]) -> dict[str, str]:
        """SHA-256 of each file. Raises UserError if one differs from the published one or equals another."""
        checksums: dict[str, str] = {}
        for path in dict.fromkeys(paths):
            checksum = raw_file_checksum(path, "sha256")
            if path.name in cls.checksums:
                check_published(path, path.name, checksum, cls.checksums, "sha256")
            duplicate = next((name for name in checksums if checksums[name] == checksum), None)
            if duplicate:
                raise UserError(f"{path}: is the same as {duplicate}; get the file again")
            checksums[path.name] = checksum
        return checksums


def check_batch(arrays: dict[str, Any], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a released batch, which has rows of 3,072 bytes and labels from 1 to 1,000.

    Raises UserError, naming the file, if it holds anything else.
    """
    remedy = "get the file again"
    if not {"data", "labels"} <= set(arrays):
        raise UserError(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}, expected data and labels; {remedy}")
    images = arrays["data"]
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (len(images), PIXELS):
        found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise UserError(f"{path}: data is {found}, expected uint8 (n, {PIXELS}): 32x32 images; {remedy}")
    try:
        labels = np.asarray(arrays["labels"])
    except ValueError:
        labels = np.zeros(0)
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise UserError(f"{path}: {len(images)} images and labels {labels.dtype} {labels.shape}; {remedy}")
    if len(labels) and not 1 <= labels.min() <= labels.max() <= LABELS:
        raise UserError(f"{path}: labels from {labels.min()} to {labels.max()}, expected 1 to {LABELS}; {remedy}")
    return images.reshape(-1, *ImageNet32.shape), labels.astype(np.int64) - 1


def _find_batches(data_dir: Path, split: str) -> dict[str, Path | None]:
    return {stem: find(data_dir, FOLDERS, (stem, f"{stem}.npz")) for stem in BATCHES[split]}


def _missing_of(data_dir: Path, split: str) -> list[str]:
    """What is missing of a split: its zip archive, or batches if some of them are there."""
    missing = [stem for stem, path in _find_batches(data_dir, split).items() if path is None]
    if not missing or find(data_dir, FOLDERS, ZIPS[split]):
        return []
    return [f"{stem}[.npz]" for stem in missing] if len(missing) < len(BATCHES[split]) else [ZIPS[split][0]]


def _batch_files(data_dir: Path, split: str) -> list[BatchFile]:
    """The batches in order: separate files if all are there, else members of the zip archive."""
    archive = find(data_dir, FOLDERS, ZIPS[split])
    files = [BatchFile(path) for path in _find_batches(data_dir, split).values() if path]
    if len(files) == len(BATCHES[split]) or archive is None:
        return files
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {PurePosixPath(name).name.removesuffix(".npz"): name for name in opened.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive}: cannot be read: {error}; get the file again") from None
    missing = [stem for stem in BATCHES[split] if stem not in members]
    if missing:
        raise UserError(f"{archive}: lacks {', '.join(missing)}; get the file again")
    return [BatchFile(archive, members[stem]) for stem in BATCHES[split]]


def _chunks(files: list[BatchFile], length: int) -> Iterator[Chunk]:
    """Copies of a few images at a time, so that no batch stays in memory while the next one is read."""
    share = length // len(files)  # the last batch also has the remainder
    sizes = [share] * (len(files) - 1) + [length - share * (len(files) - 1)]
    for file, size in zip(files, sizes, strict=True):
        images, labels = file.load()
        if len(labels) != size:
            raise UserError(f"{file.location}: holds {len(labels):,} images, expected {size:,}; get the file again")
        for start in range(0, size, CHUNK):
            yield images[start : start + CHUNK].copy(), labels[start : start + CHUNK]
        del images, labels


def example_batches() -> dict[str, dict[str, dict[str, Any]]]:
    """Split -> name -> batch: nine training batches of 4 images, one of 7, and a validation batch of 6."""
    sizes = {"train": [4] * 9 + [7], "val": [6]}
    batches: dict[str, dict[str, dict[str, Any]]] = {}
    for split, stems in BATCHES.items():
        batches[split] = {}
        for seed, (stem, n) in enumerate(zip(stems, sizes[split], strict=True)):
            rng = np.random.default_rng(seed)
            batches[split][stem] = {
                "data": rng.integers(0, 256, (n, PIXELS), dtype=np.uint8),
                "labels": rng.integers(1, LABELS + 1, n).tolist(),
                "mean": rng.random(PIXELS),
            }
    return batches
