"""The dataset contract, and how a dataset is prepared once and opened many times."""

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.errors import UserError
from benchmark.spec import digest

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Arrays:
    """Labelled images of one split: uint8 (N, C, H, W) in [0, 255] and int64 (N,) labels."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Stream:
    """A split that is too large for memory: so many images of one shape (C, H, W), read in order as they are asked for.

    `chunks` yields uint8 (n, C, H, W) images and int64 (n,) labels, -1 where an image has none, and is read once.
    """

    length: int
    shape: Shape
    chunks: Iterator[tuple[np.ndarray, np.ndarray]]


Split = Arrays | Stream


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset on disk: `train` for the GANs, `test` held out, and its manifest."""

    path: Path
    train: Arrays
    test: Arrays
    manifest: dict[str, Any]


class Dataset(ABC):
    """A source of training images. `shape` is (C, H, W) of what a GAN sees."""

    name: ClassVar[str]
    about: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    shape: ClassVar[Shape]
    stacked: ClassVar[int] = 1  # how many single-channel images make one training image
    labels: ClassVar[int] = 0  # of how many classes the labels of the stored images are; 0: they have none
    variant: ClassVar[str] = "1"  # raised when the preparation changes, so that old arrays are not taken

    @classmethod
    def classes(cls) -> int:
        """Of how many classes a training image can be: of as many for each image that is stacked."""
        return cls.labels**cls.stacked if cls.labels else 0

    @classmethod
    @abstractmethod
    def missing(cls, data_dir: Path) -> str | None:
        """Which files are missing under `data_dir` and how to get them; None when all are there."""

    @classmethod
    @abstractmethod
    def read(cls, data_dir: Path) -> tuple[Split, Split, dict[str, str]]:
        """Train and test images from the raw files, and the checksum of each source.

        Raises UserError naming the file when one is missing or damaged.
        """

    @classmethod
    def folder(cls, cache: Path) -> Path:
        """Where the prepared arrays stand under `cache`."""
        return cache / f"{cls.name}-{digest([cls.name, cls.variant])}"

    @classmethod
    def is_prepared(cls, cache: Path) -> bool:
        """Whether `prepare` has done its work before."""
        return (cls.folder(cache) / "manifest.json").is_file()

    @classmethod
    def prepare(cls, data_dir: Path, cache: Path) -> Path:
        """Write the arrays and a manifest under `cache`, atomically, unless they are there. Returns the folder."""
        target = cls.folder(cache)
        if cls.is_prepared(cache):
            return target
        problem = cls.missing(data_dir)
        if problem:
            raise UserError(problem)
        train, test, checksums = cls.read(data_dir)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{cls.name}-") as scratch:
            folder = Path(scratch) / "prepared"
            folder.mkdir()
            shapes = {name: _write(folder, name, split) for name, split in (("train", train), ("test", test))}
            manifest = {"dataset": cls.name, "variant": cls.variant, "sources": checksums, **shapes}
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
            try:
                folder.replace(target)
            except OSError:  # another process was faster, or an unfinished folder is in the way
                if not cls.is_prepared(cache):
                    shutil.rmtree(target, ignore_errors=True)
                    folder.replace(target)
        return target


def _write(folder: Path, name: str, split: Split) -> list[int]:
    """The split's two arrays as files; the shape of its images."""
    if isinstance(split, Arrays):
        split = Stream(len(split.labels), split.images.shape[1:], iter([(split.images, split.labels)]))
    shape = (split.length, *split.shape)
    images = np.lib.format.open_memmap(folder / f"{name}_images.npy", "w+", np.uint8, shape)
    labels = np.lib.format.open_memmap(folder / f"{name}_labels.npy", "w+", np.int64, (split.length,))
    done = 0
    for some_images, some_labels in split.chunks:
        images[done : done + len(some_labels)] = some_images
        labels[done : done + len(some_labels)] = some_labels
        done += len(some_labels)
    images.flush()
    labels.flush()
    return list(shape)


def open_prepared(path: Path) -> Prepared:
    """Map a prepared dataset into memory: no copy, pages shared by all trials of the machine."""
    splits = {
        split: Arrays(np.load(path / f"{split}_images.npy", mmap_mode="c"), np.load(path / f"{split}_labels.npy"))
        for split in ("train", "test")
    }
    return Prepared(path, splits["train"], splits["test"], json.loads((path / "manifest.json").read_text()))
