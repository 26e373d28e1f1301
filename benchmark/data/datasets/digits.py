"""Handwritten digits that come with scikit-learn: 8x8 pixels, grey.

UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak, 1998): 1,797 images with 17 grey levels.
"""

import hashlib
from pathlib import Path

import numpy as np

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import BundledDataset

HELD_OUT = 4  # every fourth image is held out


class DigitImages(BundledDataset):
    """(1, 8, 8) images: 1,348 training digits, and 449 held out."""

    name = "digits"
    about = "1,797 handwritten digits, grey, 8x8; ships with scikit-learn"
    licence = "CC BY 4.0 (UCI Machine Learning Repository)"
    source = "scikit-learn, sklearn.datasets.load_digits"
    shape = (1, 8, 8)
    num_labels = 10
    has_digits = True

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Digits (N, 1, 8, 8). Grey levels 0 to 16 are scaled to 0 to 255."""
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
