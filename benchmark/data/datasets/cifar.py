"""CIFAR-10 and CIFAR-100, from the official archives for Python or from the folders that they unpack to.

Krizhevsky, Learning multiple layers of features from tiny images, 2009. The md5 of archives and files are those that
torchvision lists (torchvision.datasets.cifar: tgz_md5, train_list, test_list). Each file is a pickled dictionary of
Python 2: `data` (N, 3072) bytes, red, green and blue one after the other, and `labels` or `fine_labels`.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.raw.archive import members
from benchmark.data.raw.checksums import checked_md5, concatenate, find, how_to_get, read_verified, with_labels
from benchmark.data.raw.pickle_reader import read_pickle


class _CIFAR(Dataset):
    """What both have in common. The tables are what differs."""

    shape = (3, 32, 32)
    licence = "none stated; the authors ask to cite Krizhevsky (2009)"
    torchvision: ClassVar[str]  # the class that downloads it
    archive: ClassVar[str]
    archive_md5: ClassVar[str]
    folders: ClassVar[tuple[str, ...]]
    unpacked: ClassVar[str]
    files: ClassVar[dict[str, str]]  # the last one is the test split
    key: ClassVar[str]

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """Neither the archive nor the whole unpacked folder is there: what lacks, and where to get it."""
        if cls._archive(data_dir) or cls._unpacked(data_dir):
            return None
        text = f"dataset {cls.name}: neither {cls.archive} nor a whole folder {cls.unpacked} found under {data_dir}"
        for folder in cls._candidates(data_dir):
            if folder.is_dir():
                text += f"\n  {folder} lacks {', '.join(n for n in cls.files if not (folder / n).is_file())}"
        return text + how_to_get(cls.torchvision, data_dir, f"{cls.archive} (or the folder that it unpacks to)")

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Every batch, checked against the published md5: from the folder when it is whole, else from the archive.

        An archive that was packed again will do; where one will not, its md5 is told beside the official one.
        """
        folder, archive = cls._unpacked(data_dir), cls._archive(data_dir)
        if folder:
            return cls._splits((name, str(folder / name), read_verified(folder / name)) for name in cls.files)
        if archive is None:
            raise UserError(cls.missing_files(data_dir) or f"{cls.archive} vanished from {data_dir}")
        names = {f"{cls.unpacked}/{name}": name for name in cls.files}
        try:
            return cls._splits((names[m], f"{archive}: {m}", content) for m, content in members(archive, names))
        except UserError as error:
            found = hashlib.md5(read_verified(archive), usedforsecurity=False).hexdigest()
            raise UserError(f"{error}\n(md5 of this archive {found}, of the official one {cls.archive_md5})") from None

    @classmethod
    def _splits(cls, files: Iterable[tuple[str, str, bytes]]) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """From (name, where it is, bytes) of each file, in any order."""
        parts, sums = {}, {}
        for name, where, content in files:
            sums[name] = checked_md5(content, where, name, cls.files)
            parts[name] = cls._batch(content, where)
        *train, test = cls.files
        return concatenate(parts[name] for name in train), parts[test], {name: sums[name] for name in cls.files}

    @classmethod
    def _batch(cls, content: bytes, where: str) -> ArraySplit:
        batch = read_pickle(content, where)
        data, labels = batch.get("data"), batch.get(cls.key)
        if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3 * 32 * 32:
            found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else "nothing of the kind"
            raise UserError(f"{where}: 'data': expected uint8 (N, 3072), found {found}; get the original file")
        if not isinstance(labels, list) or any(type(label) is not int for label in labels):
            raise UserError(f"{where}: '{cls.key}': expected a list of whole numbers; get the original file")
        if not all(0 <= label < cls.num_labels for label in labels):
            raise UserError(
                f"{where}: '{cls.key}': holds labels from {min(labels)} to {max(labels)}, expected 0 to"
                f" {cls.num_labels - 1}; get the original file"
            )
        return with_labels(data.reshape(-1, *cls.shape), np.array(labels, np.int64), where, cls.shape, cls.num_labels)

    @classmethod
    def _archive(cls, data_dir: Path) -> Path | None:
        return find(data_dir, cls.folders, [cls.archive])

    @classmethod
    def _unpacked(cls, data_dir: Path) -> Path | None:
        whole = (f for f in cls._candidates(data_dir) if all((f / name).is_file() for name in cls.files))
        return next(whole, None)

    @classmethod
    def _candidates(cls, data_dir: Path) -> list[Path]:
        return [data_dir / folder / cls.unpacked for folder in cls.folders]


class CIFAR10(_CIFAR):
    """50,000 and 10,000 photographs of ten kinds of things."""

    name = "cifar10"
    about = "60,000 photographs of ten kinds of animals and vehicles, 32x32, 50,000 of them for training"
    source = "cifar-10-python.tar.gz, https://www.cs.toronto.edu/~kriz/cifar.html"
    num_labels = 10
    torchvision = "CIFAR10"
    archive = "cifar-10-python.tar.gz"
    archive_md5 = "c58f30108f718f92721af3b95e74349a"
    folders = (".", "cifar10", "CIFAR10", "cifar-10")
    unpacked = "cifar-10-batches-py"
    files: ClassVar = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    }
    key = "labels"


class CIFAR100(_CIFAR):
    """50,000 and 10,000 photographs of a hundred kinds of things; the labels are the fine ones."""

    name = "cifar100"
    about = "60,000 photographs of a hundred kinds of things, 32x32, 50,000 of them for training"
    source = "cifar-100-python.tar.gz, https://www.cs.toronto.edu/~kriz/cifar.html"
    num_labels = 100
    torchvision = "CIFAR100"
    archive = "cifar-100-python.tar.gz"
    archive_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    folders = (".", "cifar100", "CIFAR100", "cifar-100")
    unpacked = "cifar-100-python"
    files: ClassVar = {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    }
    key = "fine_labels"
