"""Stacked-Digits: three of scikit-learn's 8x8 handwritten digits as the channels of one image; 1,000 modes.

The offline substitute for Stacked-MNIST: real digits (UCI "Optical Recognition of Handwritten Digits", Alpaydin
& Kaynak, 1998) that come with scikit-learn, 1,797 images with 17 grey levels.
"""

import hashlib
from pathlib import Path

import numpy as np

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import BundledDataset

HELD_OUT = 4  # every fourth image is held out


class StackedDigits(BundledDataset):
    """(3, 8, 8) images from 1,348 training digits; 449 digits are held out."""

    name = "stacked_digits"
    about = "three 8x8 handwritten digits stacked as channels, 1,000 modes; ships with scikit-learn"
    licence = "CC BY 4.0 (UCI Machine Learning Repository)"
    source = "scikit-learn, sklearn.datasets.load_digits"
    shape = (3, 8, 8)
    stacked = 3
    num_labels = 10
    has_digits = True

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Single digits (N, 1, 8, 8). Grey levels 0 to 16 are scaled to 0 to 255."""
        del data_dir
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
        labels = digits.target.astype(np.int64)
        checksum = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        held_out = np.arange(len(images)) % HELD_OUT == HELD_OUT - 1
        train = ArraySplit(images[~held_out], labels[~held_out])
        test = ArraySplit(images[held_out], labels[held_out])
        return train, test, {"sklearn digits, as uint8": checksum}
