"""SVHN: house numbers in photographs of streets, cropped to one digit, from the two official .mat files.

Netzer et al., Reading digits in natural images with unsupervised feature learning, 2011. The md5 are those that
torchvision lists (torchvision.datasets.svhn: split_list). `X` holds the images (32, 32, 3, N), `y` the digits (N, 1),
of which 0 is written as 10.
"""

import io
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from benchmark.core.errors import UserError
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import checked_md5, find, read_verified, with_labels

FILES = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}
FOLDERS = (".", "svhn", "SVHN")


class SVHN(Dataset):
    """73,257 digits for training, 26,032 held out; the extra ones are not used."""

    name = "svhn"
    about = "99,289 digits of house numbers, photographed, 32x32, 73,257 of them for training"
    licence = "for non-commercial use (Netzer et al.)"
    source = "train_32x32.mat and test_32x32.mat, http://ufldl.stanford.edu/housenumbers/"
    shape = (3, 32, 32)
    num_labels = 10

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """The .mat files that are not under `data_dir`, and where to put them."""
        lacking = [name for name in FILES if find(data_dir, FOLDERS, [name]) is None]
        if not lacking:
            return None
        return (
            f"dataset svhn: {len(lacking)} of 2 files not found under {data_dir}:\n"
            + "\n".join(f"  {name} (http://ufldl.stanford.edu/housenumbers/{name})" for name in lacking)
            + "\nPut both .mat files into one folder and pass it as --data-dir. torchvision downloads them with\n"
            f"  python -c \"from torchvision.datasets import SVHN; [SVHN('{data_dir}', split, download=True)"
            " for split in ('train', 'test')]\""
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Both files, checked against the published md5."""
        sums, splits = {}, []
        for name in FILES:
            path = find(data_dir, FOLDERS, [name])
            if path is None:
                raise UserError(cls.missing_files(data_dir) or f"{name} vanished from {data_dir}")
            content = read_verified(path)
            sums[name] = checked_md5(content, path, name, FILES)
            splits.append(parse_mat(content, path))
        return splits[0], splits[1], sums


def parse_mat(content: bytes, path: Path) -> ArraySplit:
    """Images and digits in a .mat file. Raises UserError when they are not there."""
    try:
        found = loadmat(io.BytesIO(content), variable_names=("X", "y"))
    except Exception as error:  # scipy does not say what it raises where a file is damaged, and it raises a lot
        raise UserError(f"{path}: is no readable MATLAB 5 file: {error}; get the file again") from None
    if not {"X", "y"} <= found.keys():
        raise UserError(f"{path}: lacks {' and '.join({'X', 'y'} - found.keys())}; get the original file")
    images, digits = found["X"], found["y"]
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
    return with_labels(images.transpose(3, 2, 0, 1), labels, path, SVHN.shape, SVHN.num_labels)
