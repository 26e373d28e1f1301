"""MNIST, from its four IDX files, plain or gzipped.

LeCun, Cortes and Burges, The MNIST database of handwritten digits. Addresses and checksums of the .gz files are those
that torchvision lists (torchvision.datasets.mnist).
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_published, checked_split, find, md5_of, read_bytes, require
from benchmark.data.raw.download import Download

FOLDERS = (".", "mnist", "MNIST", "MNIST/raw")
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
GZ_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


class MNIST(Dataset):
    """All 60,000 official training digits, and 10,000 held out."""

    name = "mnist"
    about = "70,000 handwritten digits, grey, 28x28, 60,000 of them for training"
    licence = "CC BY-SA 3.0 (MNIST, LeCun, Cortes and Burges)"
    source = "MNIST as IDX files, plain or .gz"
    shape = (1, 28, 28)
    num_labels = 10
    has_digits = True
    raw_dir = "mnist"
    required_files = tuple(((name.removesuffix(".gz"),), (name,)) for name in GZ_MD5)
    downloads = tuple(Download(name, md5, tuple(url + name for url in MIRRORS)) for name, md5 in GZ_MD5.items())
    how_to_get = "Put the four IDX files (plain or .gz) into one folder and pass it as --data-dir."
    checksums: ClassVar[dict[str, str]] = {  # MD5 of the unpacked files
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The IDX files that are not under `data_dir`."""
        return [f"{name}[.gz]" for name in cls.checksums if find(data_dir, FOLDERS, (name, f"{name}.gz")) is None]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Images (N, 1, 28, 28) from all four files, compared with their published MD5."""
        checksums, arrays = {}, {}
        for name in cls.checksums:
            path = require(data_dir, FOLDERS, (name, f"{name}.gz"))
            content = unpack(path)
            checksums[path.name] = md5_of(content)
            check_published(path, name, checksums[path.name], cls.checksums)
            arrays[name] = path, parse_idx(content, path)
        train_images, train_labels, test_images, test_labels = arrays.values()
        return _split(train_images, train_labels), _split(test_images, test_labels), checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """40 training and 20 test digits of random pixels."""
        rng = np.random.default_rng(1)
        checksums = {}
        for name in cls.checksums:
            n = 40 if name.startswith("train") else 20
            shape = (n, 28, 28) if "images" in name else (n,)
            content = idx_of(rng.integers(0, 10 if "labels" in name else 256, shape, dtype=np.uint8))
            (folder / name).write_bytes(content)
            checksums[name] = md5_of(content)
        return {"checksums": checksums}


def _split(images: tuple[Path, np.ndarray], labels: tuple[Path, np.ndarray]) -> ArraySplit:
    if images[1].shape[1:] != (28, 28):
        raise UserError(f"{images[0]}: holds {images[1].shape}, expected (N, 28, 28); get the original file")
    return checked_split(images[1][:, None], labels[1], labels[0], (1, 28, 28), 10)


def unpack(path: Path) -> bytes:
    """The content of a file, unzipped if its name ends in .gz. Raises UserError if it cannot be read."""
    content = read_bytes(path)
    try:
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {error}; get the file again") from None


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """The uint8 array in an IDX file. Raises UserError if header and length disagree."""
    if len(content) < 8 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise UserError(f"{path}: is not an IDX file of bytes; get the file again")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise UserError(f"{path}: ends inside its header; get it again")
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist())
    if len(content) - header != math.prod(shape):
        raise UserError(f"{path}: holds {len(content) - header} bytes, and its header says {shape}; get it again")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def idx_of(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
