"""Downsampled ImageNet, 32x32, with labels: ten training batches and one for validation.

Chrabaszcz, Loshchilov and Hutter released them as pickles and as .npz files, in one zip for each split
(image2numpy_imagenet_train.py and image2numpy_imagenet_val.py of PatrykChrabaszcz/Imagenet32_Scripts write them).
One batch is in memory at a time.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import find as find_file
from benchmark.data.raw.pickle_reader import read_pickle

COUNTS = {"train": 1_281_167, "val": 50_000}
BATCHES = {"train": tuple(f"train_data_batch_{i}" for i in range(1, 11)), "val": ("val_data",)}
ZIPS = {part: (f"Imagenet32_{part}.zip", f"Imagenet32_{part}_npz.zip") for part in BATCHES}
# SHA-256, from checksums.tsv of imagenet_resized in tensorflow/datasets; of the pickles none is published
PUBLISHED = {
    "Imagenet32_train_npz.zip": "94226337ecc1b0309d9fcd0167127aaadc931587035fbcb53925235edbaec4fc",
    "Imagenet32_val_npz.zip": "013990e6dec1237dcd1f9beadbab81ead6604cc119af5cacbfb59ae28148377a",
}
FOLDERS = tuple(
    f"{home}/{inner}"
    for home in (".", "imagenet32", "Imagenet32", "ImageNet32")
    for inner in (".", *(name.removesuffix(".zip") for names in ZIPS.values() for name in names))
)
PIXELS = 3 * 32 * 32
LABELS = 1_000
CHUNK = 4_096
LARGEST = 1 << 30  # bytes of one batch, unpacked; the released ones have 394 million


@dataclass(frozen=True)
class Batch:
    """One batch: a file, or the member of a zip."""

    path: Path
    member: str | None = None

    @property
    def label(self) -> Path:
        """For messages: where it is."""
        return self.path / self.member if self.member else self.path

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """Its uint8 (n, 3, 32, 32) images and int64 (n,) labels from 0. Raises UserError naming the file."""
        try:
            if self.member is None:
                with self.path.open("rb") as file:
                    return self._parsed(file)
            with zipfile.ZipFile(self.path) as archive:
                if archive.getinfo(self.member).file_size > LARGEST:
                    raise UserError(f"{self.label}: is larger than any batch; get the file again")
                return self._parsed(io.BytesIO(archive.read(self.member)))
        except (OSError, EOFError, KeyError, ValueError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.label}: cannot be read: {error}; get the file again") from None

    def _parsed(self, file: IO[bytes]) -> tuple[np.ndarray, np.ndarray]:
        if self.label.suffix != ".npz":
            return checked(read_pickle(file.read(), str(self.label)), self.label)
        with zipfile.ZipFile(file) as archive:
            if any(member.file_size > LARGEST for member in archive.infolist()):
                raise UserError(f"{self.label}: is larger than any batch; get the file again")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return checked({name: arrays[name] for name in ("data", "labels") if name in arrays}, self.label)


class ImageNet32(Dataset):
    """(3, 32, 32) images of 1,000 classes; the validation images are held out."""

    name = "imagenet32"
    about = "ImageNet made small (Chrabaszcz et al. 2017): 1,281,167 images of 1,000 classes"
    preprocessing = "whole pictures made 32x32"
    licence = "ImageNet's terms of access: non-commercial research and education"
    source = "train_data_batch_1 .. 10 and val_data, pickles or .npz, loose or in Imagenet32_train.zip and _val.zip"
    shape = (3, 32, 32)
    num_labels = LABELS
    note = "no published checksum is known for the pickles; a published one is checked for the .npz zips"

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """The batches or zips that are not under `data_dir`, and where to put them."""
        lacking = [line for part in BATCHES for line in _lacking(data_dir, part)]
        if not lacking:
            return None
        return (
            f"dataset imagenet32: not found under {data_dir}:\n"
            + "\n".join(f"  {line}" for line in lacking)
            + "\nRegister at https://image-net.org/download-images (free for research) and get, under Downsampled"
            "\nImageNet, the 32x32 images for training and for validation, as pickles or as .npz. Put the zips, or"
            "\nthe batches in them, into one folder and pass it as --data-dir."
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits as streams. All files are checked for being the published ones, and none for another."""
        problem = cls.missing_files(data_dir)
        if problem:
            raise UserError(problem)
        batches = {part: _located(data_dir, part) for part in BATCHES}
        sources = _checksums([batch.path for part in batches.values() for batch in part])
        train, test = (StreamSplit(COUNTS[part], cls.shape, _chunks(batches[part], COUNTS[part])) for part in batches)
        return train, test, sources


def find(data_dir: Path, *names: str) -> Path | None:
    """The first of these files in one of the usual folders."""
    return find_file(data_dir, FOLDERS, names)


def checked(arrays: dict[str, Any], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a batch as it was released: rows of 3,072 bytes, labels from 1 to 1,000."""
    again = "get the file again"
    if not {"data", "labels"} <= set(arrays):
        raise UserError(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}, expected data and labels; {again}")
    images = arrays["data"]
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (len(images), PIXELS):
        found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise UserError(f"{path}: data is {found}, expected uint8 (n, {PIXELS}): 32x32 images; {again}")
    try:
        labels = np.asarray(arrays["labels"])
    except ValueError:
        labels = np.zeros(0)
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise UserError(f"{path}: {len(images)} images and labels {labels.dtype} {labels.shape}; {again}")
    if len(labels) and not 1 <= labels.min() <= labels.max() <= LABELS:
        raise UserError(f"{path}: labels from {labels.min()} to {labels.max()}, expected 1 to {LABELS}; {again}")
    return images.reshape(-1, *ImageNet32.shape), labels.astype(np.int64) - 1


def _lacking(data_dir: Path, part: str) -> list[str]:
    """What to say is missing of a split: its zip, or the batches that are not beside the others."""
    stems = [stem for stem in BATCHES[part] if find(data_dir, stem, f"{stem}.npz") is None]
    if not stems or find(data_dir, *ZIPS[part]):
        return []
    return [f"{stem}[.npz]" for stem in stems] if len(stems) < len(BATCHES[part]) else [ZIPS[part][0]]


def _located(data_dir: Path, part: str) -> list[Batch]:
    """The batches in order: loose ones if all are there, else those in the zip."""
    loose = [find(data_dir, stem, f"{stem}.npz") for stem in BATCHES[part]]
    complete = [Batch(path) for path in loose if path]
    packed = find(data_dir, *ZIPS[part])
    return complete if len(complete) == len(loose) or packed is None else _in_zip(packed, part)


def _in_zip(path: Path, part: str) -> list[Batch]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(name).name.removesuffix(".npz"): name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read: {error}; get the file again") from None
    lacking = [stem for stem in BATCHES[part] if stem not in members]
    if lacking:
        raise UserError(f"{path}: {', '.join(lacking)} not in it; get the file again")
    return [Batch(path, members[stem]) for stem in BATCHES[part]]


def _checksums(paths: list[Path]) -> dict[str, str]:
    """SHA-256 of each file. Raises UserError when one is not the published one, or the same as another."""
    found: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        expected = PUBLISHED.get(path.name, checksum)
        if checksum != expected:
            raise UserError(
                f"{path}: is not the published file: SHA-256 {checksum}, expected {expected}; get the file again"
            )
        twin = next((name for name in found if found[name] == checksum), None)
        if twin:
            raise UserError(f"{path}: is the same as {twin}; get the file again")
        found[path.name] = checksum
    return found


def _chunks(batches: list[Batch], count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Copies of a few images at a time, so that nobody keeps a batch in memory while the next one is read."""
    share = count // len(batches)  # the last batch also has what is left over
    sizes = [share] * (len(batches) - 1) + [count - share * (len(batches) - 1)]
    for batch, size in zip(batches, sizes, strict=True):
        images, labels = batch.load()
        if len(labels) != size:
            raise UserError(f"{batch.label}: holds {len(labels):,} images, expected {size:,}; get the file again")
        for start in range(0, size, CHUNK):
            yield images[start : start + CHUNK].copy(), labels[start : start + CHUNK]
        del images, labels
