"""CIFAR-10 and CIFAR-100, from the official archives for Python or from the folders that they unpack to.

Krizhevsky, Learning multiple layers of features from tiny images, 2009. Addresses and MD5 are those that torchvision
lists (torchvision.datasets.cifar: url, tgz_md5, train_list, test_list). Each file is a pickled Python 2 dictionary:
`data` (N, 3072) bytes, the red, green and blue channel in turn, and `labels` or `fine_labels`.
"""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.raw.archive import read_members
from benchmark.data.raw.checksums import (
    check_published,
    checked_split,
    find,
    md5_of,
    raw_file_checksum,
    read_bytes,
    require,
)
from benchmark.data.raw.download import Download
from benchmark.data.raw.examples import tar_of
from benchmark.data.raw.pickle_reader import read_pickle

URL = "https://www.cs.toronto.edu/~kriz/"


class _CIFAR(Dataset):
    """What both datasets have in common."""

    shape = (3, 32, 32)
    licence = "none stated; the authors ask to cite Krizhevsky (2009)"
    how_to_get = "Put the archive, or the folder that it unpacks to, into one folder and pass it as --data-dir."
    folders: ClassVar[tuple[str, ...]]  # under the data directory
    archive: ClassVar[Download]
    unpacked: ClassVar[str]  # the folder in the archive
    label_key: ClassVar[str]
    checksums: ClassVar[dict[str, str]]  # file -> MD5; the last file is the test split

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The archive, and what is missing in an incomplete folder, unless one of them is complete."""
        if find(data_dir, cls.folders, [cls.archive.name]) or cls._complete_folder(data_dir):
            return []
        partial = [folder for folder in cls._candidates(data_dir) if folder.is_dir()]
        return [
            f"{cls.archive.name}, or the folder {cls.unpacked}",
            *(
                f"{folder} lacks {', '.join(n for n in cls.checksums if not (folder / n).is_file())}"
                for folder in partial
            ),
        ]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Every batch, compared with its published MD5: from the folder if complete, else from the archive.

        A repacked archive is accepted. If one of its files is wrong, the message compares the archive's MD5, too.
        """
        folder = cls._complete_folder(data_dir)
        if folder:
            return cls._splits((name, str(folder / name), read_bytes(folder / name)) for name in cls.checksums)
        archive = require(data_dir, cls.folders, [cls.archive.name])
        names = {f"{cls.unpacked}/{name}": name for name in cls.checksums}
        members = read_members(archive, names)
        try:
            return cls._splits((names[member], f"{archive}: {member}", content) for member, content in members)
        except UserError as error:
            checksum = raw_file_checksum(archive, "md5")
            raise UserError(
                f"{error}\n(MD5 of this archive {checksum}, of the official one {cls.archive.checksum})"
            ) from None

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """The archive, with 12 random images in each file."""
        files = cls.example_batches()
        packed = tar_of({f"{cls.unpacked}/{name}": content for name, content in files.items()})
        (folder / cls.archive.name).write_bytes(packed)
        return {"checksums": {name: md5_of(content) for name, content in files.items()}}

    @classmethod
    def example_batches(cls) -> dict[str, bytes]:
        """The files of the dataset with 12 random images each."""
        rng = np.random.default_rng(2)
        files = {}
        for name in cls.checksums:
            images = rng.integers(0, 256, (12, 3072), dtype=np.uint8)
            labels = rng.permutation(np.arange(12) % cls.num_labels).tolist()
            batch = {"batch_label": name, "data": images, cls.label_key: labels}
            files[name] = pickle.dumps(batch, protocol=2)
        return files

    @classmethod
    def _splits(cls, files: Iterable[tuple[str, str, bytes]]) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """From the name, location and content of each file, in any order."""
        batches = {}
        for name, where, content in files:
            check_published(where, name, md5_of(content), cls.checksums)  # before the content is unpickled
            batches[name] = cls._batch(content, where)
        *train_names, test_name = cls.checksums
        train = ArraySplit(
            np.concatenate([batches[name].images for name in train_names]),
            np.concatenate([batches[name].labels for name in train_names]),
        )
        return train, batches[test_name], dict(cls.checksums)

    @classmethod
    def _batch(cls, content: bytes, where: str) -> ArraySplit:
        batch = read_pickle(content, where)
        data, labels = batch.get("data"), batch.get(cls.label_key)
        if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3 * 32 * 32:
            found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
            raise UserError(f"{where}: 'data': expected uint8 (N, 3072), found {found}; get the original file")
        if not isinstance(labels, list) or any(type(label) is not int for label in labels):
            raise UserError(f"{where}: '{cls.label_key}': expected a list of integers; get the original file")
        images = data.reshape(-1, *cls.shape)
        return checked_split(images, np.array(labels, np.int64), where, cls.shape, cls.num_labels)

    @classmethod
    def _complete_folder(cls, data_dir: Path) -> Path | None:
        folders = cls._candidates(data_dir)
        return next((f for f in folders if all((f / name).is_file() for name in cls.checksums)), None)

    @classmethod
    def _candidates(cls, data_dir: Path) -> list[Path]:
        return [data_dir / folder / cls.unpacked for folder in cls.folders]


class CIFAR10(_CIFAR):
    """50,000 training and 10,000 test photographs of ten classes."""

    name = "cifar10"
    about = "60,000 photographs of ten kinds of animals and vehicles, 32x32, 50,000 of them for training"
    source = "cifar-10-python.tar.gz, https://www.cs.toronto.edu/~kriz/cifar.html"
    num_labels = 10
    raw_dir = "cifar10"
    folders = (".", "cifar10", "CIFAR10", "cifar-10")
    archive = Download("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", (f"{URL}cifar-10-python.tar.gz",))
    unpacked = "cifar-10-batches-py"
    label_key = "labels"
    checksums: ClassVar = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    }
    required_files = (((archive.name,), tuple(f"cifar-10-batches-py/{name}" for name in checksums)),)
    downloads = (archive,)


class CIFAR100(_CIFAR):
    """50,000 training and 10,000 test photographs of a hundred classes, the fine labels."""

    name = "cifar100"
    about = "60,000 photographs of a hundred classes, 32x32, 50,000 of them for training"
    source = "cifar-100-python.tar.gz, https://www.cs.toronto.edu/~kriz/cifar.html"
    num_labels = 100
    raw_dir = "cifar100"
    folders = (".", "cifar100", "CIFAR100", "cifar-100")
    archive = Download(
        "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", (f"{URL}cifar-100-python.tar.gz",)
    )
    unpacked = "cifar-100-python"
    label_key = "fine_labels"
    checksums: ClassVar = {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    }
    required_files = (((archive.name,), tuple(f"cifar-100-python/{name}" for name in checksums)),)
    downloads = (archive,)
