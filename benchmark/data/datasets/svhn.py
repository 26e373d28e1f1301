"""SVHN: house numbers in photographs of streets, cropped to one digit, from the two official .mat files.

Netzer et al., Reading digits in natural images with unsupervised feature learning, 2011. Addresses and MD5 are those
that torchvision lists (torchvision.datasets.svhn: split_list). `X` holds the images (32, 32, 3, N), `y` the digits
(N, 1), in which 10 stands for the digit 0.
"""

import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.io import loadmat, savemat

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_published, checked_split, find, md5_of, read_bytes, require
from benchmark.data.raw.download import Download

URL = "http://ufldl.stanford.edu/housenumbers/"
FOLDERS = (".", "svhn", "SVHN")
MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


class SVHN(Dataset):
    """73,257 digits for training, 26,032 held out; the extra training digits are not used."""

    name = "svhn"
    about = "99,289 photographed digits of house numbers, 32x32, 73,257 of them for training"
    licence = "for non-commercial use (Netzer et al.)"
    source = "train_32x32.mat and test_32x32.mat, http://ufldl.stanford.edu/housenumbers/"
    shape = (3, 32, 32)
    num_labels = 10
    raw_dir = "svhn"
    required_files = tuple(((name,),) for name in MD5)
    downloads = tuple(Download(name, md5, (URL + name,)) for name, md5 in MD5.items())
    how_to_get = "Put both .mat files into one folder and pass it as --data-dir."
    checksums: ClassVar[dict[str, str]] = MD5

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The .mat files that are not under `data_dir`."""
        return [f"{name} ({URL}{name})" for name in MD5 if find(data_dir, FOLDERS, [name]) is None]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Both files, compared with their published MD5."""
        checksums, splits = {}, []
        for name in MD5:
            path = require(data_dir, FOLDERS, [name])
            content = read_bytes(path)
            checksums[name] = md5_of(content)
            check_published(path, name, checksums[name], cls.checksums)
            splits.append(parse_mat(content, path))
        return splits[0], splits[1], checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """24 training and 15 test digits of random pixels."""
        rng = np.random.default_rng(3)
        for name, n in (("train_32x32.mat", 24), ("test_32x32.mat", 15)):
            digits = rng.permutation(np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
            images = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
            savemat(folder / name, {"X": images, "y": digits}, do_compression=True)
        return {"checksums": {name: md5_of((folder / name).read_bytes()) for name in MD5}}


def parse_mat(content: bytes, path: Path) -> ArraySplit:
    """The images and labels in a .mat file. Raises UserError if they are missing or wrong."""
    try:
        arrays = loadmat(io.BytesIO(content), variable_names=("X", "y"))
    except Exception as error:  # damaged files make scipy raise nearly any type
        raise UserError(f"{path}: cannot be read as a MATLAB 5 file: {error}; get the file again") from None
    if not {"X", "y"} <= arrays.keys():
        raise UserError(f"{path}: lacks {' and '.join({'X', 'y'} - arrays.keys())}; get the original file")
    images, digits = arrays["X"], arrays["y"]
    if images.ndim != 4 or digits.shape != (images.shape[3], 1) or digits.dtype.kind not in "iu":
        raise UserError(
            f"{path}: X is {images.dtype} {images.shape} and y {digits.dtype} {digits.shape},"
            " expected uint8 (32, 32, 3, N) and (N, 1); get the original file"
        )
    if len(digits) and not (digits.min() >= 1 and digits.max() <= 10):
        raise UserError(
            f"{path}: y holds labels from {digits.min()} to {digits.max()}, expected 1 to 10 (10 is the digit 0);"
            " get the original file"
        )
    labels = digits[:, 0].astype(np.int64) % 10
    return checked_split(images.transpose(3, 2, 0, 1), labels, path, SVHN.shape, SVHN.num_labels)
