"""MNIST's four files: found plain or gzipped, compared with the published md5, read from the IDX format."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import checked_md5, how_to_get, read_verified, with_labels
from benchmark.data.raw.checksums import find as find_file

# md5 of the unpacked official files (as torchvision and everybody else lists them for the archives' contents)
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FOLDERS = (".", "mnist", "MNIST", "MNIST/raw")
LICENCE = "CC BY-SA 3.0 (MNIST, LeCun, Cortes and Burges)"
SOURCE = "MNIST as IDX files, plain or .gz"


def missing_mnist(dataset: str, data_dir: Path) -> str | None:
    """The IDX files that are not under `data_dir`, and where to put them."""
    lacking = [name for name in FILES if find(data_dir, name) is None]
    if not lacking:
        return None
    return (
        f"dataset {dataset}: {len(lacking)} of 4 MNIST files not found under {data_dir}:\n"
        + "\n".join(f"  {name}[.gz]" for name in lacking)
        + how_to_get("MNIST", data_dir, "the four IDX files (plain or .gz)")
    )


def read_mnist(dataset: str, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
    """The official 60,000 and 10,000 digits as (N, 1, 28, 28), and the md5 of each file."""
    sums, arrays = {}, {}
    for name in FILES:
        path = find(data_dir, name)
        if path is None:
            raise UserError(missing_mnist(dataset, data_dir) or f"{name} vanished from {data_dir}")
        content = unpacked(path)
        sums[path.name] = checked_md5(content, path, name, FILES)
        arrays[name] = path, parse_idx(content, path)
    train, train_labels, test, test_labels = arrays.values()
    return _split(train, train_labels), _split(test, test_labels), sums


def _split(images: tuple[Path, np.ndarray], labels: tuple[Path, np.ndarray]) -> ArraySplit:
    if images[1].shape[1:] != (28, 28):
        raise UserError(f"{images[0]}: holds {images[1].shape}, expected (N, 28, 28); get the original file")
    return with_labels(images[1][:, None], labels[1], labels[0], (1, 28, 28), 10)


def find(data_dir: Path, name: str) -> Path | None:
    """The IDX file `name`, plain or gzipped, in one of the usual folders."""
    return find_file(data_dir, FOLDERS, (name, f"{name}.gz"))


def unpacked(path: Path) -> bytes:
    """The file's content, unzipped when it ends in .gz. Raises UserError when it cannot be read."""
    content = read_verified(path)
    try:
        return gzip.decompress(content) if path.suffix == ".gz" else content
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


class MNIST(Dataset):
    """The official 60,000 training digits, all of them, and 10,000 held out."""

    name = "mnist"
    about = "70,000 handwritten digits, grey, 28x28, 60,000 of them for training"
    licence = LICENCE
    source = SOURCE
    shape = (1, 28, 28)
    num_labels = 10
    has_digits = True

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """The IDX files that are not under `data_dir`, and where to put them."""
        return missing_mnist(cls.name, data_dir)

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """All four files, checked against the official checksums."""
        return read_mnist(cls.name, data_dir)
