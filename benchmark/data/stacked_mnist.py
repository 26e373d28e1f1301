"""Stacked-MNIST: three MNIST digits as three channels, drawn on the fly; 1,000 modes.

MSGAN draws three independent uniform indices into the 55,000 training images of TensorFlow's MNIST tutorial
(tntrung/msgan modules/mnist.py:5-25), which sets the first 5,000 of the 60,000 aside.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from benchmark.data.base import Arrays, Dataset
from benchmark.errors import UserError

ASIDE = 5_000

# md5 of the unpacked official files (as torchvision and everybody else lists them for the archives' contents)
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FOLDERS = (".", "mnist", "MNIST", "MNIST/raw")


class StackedMNIST(Dataset):
    """(3, 28, 28) images from 55,000 training digits; the 10,000 test digits are held out."""

    name = "stacked_mnist"
    about = "three MNIST digits stacked as channels, drawn on the fly, 1,000 modes"
    licence = "CC BY-SA 3.0 (MNIST, LeCun, Cortes and Burges)"
    source = "MNIST as IDX files, plain or .gz"
    shape = (3, 28, 28)
    stacked = 3
    labels = 10

    @classmethod
    def missing(cls, data_dir: Path) -> str | None:
        """The IDX files that are not under `data_dir`, and where to put them."""
        lacking = [name for name in FILES if find(data_dir, name) is None]
        if not lacking:
            return None
        return (
            f"dataset stacked_mnist: {len(lacking)} of 4 MNIST files not found under {data_dir}:\n"
            + "\n".join(f"  {name}[.gz]" for name in lacking)
            + "\nGet them with torchvision:\n"
            f"  python -c \"from torchvision.datasets import MNIST; MNIST('{data_dir}', download=True)\"\n"
            "or put the four IDX files (plain or .gz) into one folder and pass it as --data-dir."
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[Arrays, Arrays, dict[str, str]]:
        """All four files, checked against the official checksums."""
        checksums: dict[str, str] = {}
        arrays = {}
        for name, expected in FILES.items():
            path = find(data_dir, name)
            if path is None:
                raise UserError(cls.missing(data_dir) or f"{name} vanished from {data_dir}")
            content = unpacked(path)
            checksums[path.name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if checksums[path.name] != expected:
                raise UserError(
                    f"{path}: is not the official {name}: md5 {checksums[path.name]}, expected {expected};"
                    " replace it with the original file"
                )
            arrays[name] = parse_idx(content, path)
        train_images, train_labels, test_images, test_labels = arrays.values()
        train = Arrays(train_images[ASIDE:, None], train_labels[ASIDE:].astype(np.int64))
        test = Arrays(test_images[:, None], test_labels.astype(np.int64))
        return train, test, checksums


def find(data_dir: Path, name: str) -> Path | None:
    """The IDX file `name`, plain or gzipped, in one of the usual folders."""
    candidates = (data_dir / folder / f"{name}{ending}" for folder in FOLDERS for ending in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def unpacked(path: Path) -> bytes:
    """The file's content, unzipped when it ends in .gz. Raises UserError when it cannot be read."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {error}; get the file again") from None


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """The uint8 array in an IDX file. Raises UserError when header and length disagree."""
    if len(content) < 8 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise UserError(f"{path}: is not an IDX file of bytes; get the file again")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise UserError(f"{path}: ends inside its header; get it again")
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist())
    if len(content) - header != math.prod(shape):
        raise UserError(f"{path}: holds {len(content) - header} bytes where its header says {shape}; get it again")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
