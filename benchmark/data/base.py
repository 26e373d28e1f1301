"""The dataset contract, and how a dataset is prepared once and opened many times."""

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

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


class Drawn(NamedTuple):
    """uint8 (N, C, H, W) images and their (N,) labels, -1 where none is given; None where none is asked for."""

    images: Tensor
    labels: Tensor | None


class Images:
    """The training images as one uint8 tensor on the device, drawn from by index.

    With `stacked` = k, every drawn image has k channels: k independent, uniform draws of a one-channel image
    (MSGAN modules/mnist.py:5-25). Its label is the number that the k labels write, 100 R + 10 G + B for three digits.

    `labels`: (N,) of the stored images, -1 where none is given, each of so many `classes`. A stacked image has a label
    when all its parts have one.
    """

    def __init__(
        self,
        images: np.ndarray,
        stacked: int,
        device: torch.device,
        labels: np.ndarray | None = None,
        classes: int = 0,
    ) -> None:
        self.images = torch.from_numpy(np.array(images)).to(device)
        self.stacked = stacked
        self.labels = None if labels is None else torch.from_numpy(np.array(labels)).to(device)
        self.places = classes ** torch.arange(stacked - 1, -1, -1, device=device)

    def draw(self, n: int, rng: torch.Generator) -> Drawn:
        """n images uniformly and with replacement."""
        index = torch.randint(len(self.images), (n * self.stacked,), generator=rng, device=rng.device)
        picked = self.images[index]
        images = picked.view(n, self.stacked * picked.shape[1], *picked.shape[2:])
        if self.labels is None:
            return Drawn(images, None)
        parts = self.labels[index].view(n, self.stacked)
        whole = (parts * self.places).sum(1)
        return Drawn(images, torch.where((parts < 0).any(1), -1, whole))


LABELLED_SEED = 2019  # which images keep their label does not depend on the trial


def kept_labels(labels: np.ndarray, share: float, stacked: int) -> np.ndarray:
    """(N,) labels of stored images so that this share of training images has one, always the same; -1 elsewhere.

    Of a stacked image's parts the k-th root of the share is taken.
    """
    order = np.random.default_rng(LABELLED_SEED).permutation(len(labels))
    known = order[: round(share ** (1 / stacked) * len(order))]
    kept = np.full(len(labels), -1, dtype=np.int64)
    kept[known] = labels[known]
    return kept
