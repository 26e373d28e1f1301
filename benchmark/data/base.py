"""The dataset contract, and how a dataset is prepared once and opened many times."""

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.spec import digest

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Arrays:
    """Labelled images of one split: uint8 (N, C, H, W) in [0, 255] and int64 (N,) labels."""

    images: np.ndarray
    labels: np.ndarray


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
    variant: ClassVar[str] = "1"  # raised when the preparation changes, so that old arrays are not taken

    @classmethod
    @abstractmethod
    def missing(cls, data_dir: Path) -> str | None:
        """Which files are missing under `data_dir` and how to get them; None when all are there."""

    @classmethod
    @abstractmethod
    def read(cls, data_dir: Path) -> tuple[Arrays, Arrays, dict[str, str]]:
        """Train and test arrays from the raw files, and the checksum of each source.

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
            for split, arrays in (("train", train), ("test", test)):
                np.save(folder / f"{split}_images.npy", arrays.images)
                np.save(folder / f"{split}_labels.npy", arrays.labels)
            manifest = {
                "dataset": cls.name,
                "variant": cls.variant,
                "sources": checksums,
                "train": list(train.images.shape),
                "test": list(test.images.shape),
            }
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
            try:
                folder.replace(target)
            except OSError:  # another process was faster, or an unfinished folder is in the way
                if not cls.is_prepared(cache):
                    shutil.rmtree(target, ignore_errors=True)
                    folder.replace(target)
        return target


def open_prepared(path: Path) -> Prepared:
    """Map a prepared dataset into memory: no copy, pages shared by all trials of the machine."""
    splits = {
        split: Arrays(np.load(path / f"{split}_images.npy", mmap_mode="r"), np.load(path / f"{split}_labels.npy"))
        for split in ("train", "test")
    }
    return Prepared(path, splits["train"], splits["test"], json.loads((path / "manifest.json").read_text()))


class Images:
    """The training images as one uint8 tensor on the device, drawn from by index.

    With `stacked` = k, every drawn image has k channels: k independent, uniform draws of a one-channel image
    (MSGAN modules/mnist.py:5-25).
    """

    def __init__(self, images: np.ndarray, stacked: int, device: torch.device) -> None:
        self.images = torch.from_numpy(np.array(images)).to(device)
        self.stacked = stacked

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n images, uint8 (n, C, H, W), uniformly and with replacement."""
        index = torch.randint(len(self.images), (n * self.stacked,), generator=rng, device=rng.device)
        picked = self.images[index]
        return picked.view(n, self.stacked * picked.shape[1], *picked.shape[2:])
