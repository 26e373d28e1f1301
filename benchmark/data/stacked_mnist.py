"""Stacked-MNIST: three MNIST digits as three channels, drawn on the fly; 1,000 modes.

MSGAN draws three independent uniform indices into the 55,000 training images of TensorFlow's MNIST tutorial
(tntrung/msgan modules/mnist.py:5-25), which sets the first 5,000 of the 60,000 aside.
"""

from pathlib import Path

from benchmark.data.base import Arrays
from benchmark.data.mnist import MNIST

ASIDE = 5_000


class StackedMNIST(MNIST):
    """(3, 28, 28) images from 55,000 training digits; the 10,000 test digits are held out."""

    name = "stacked_mnist"
    about = "three MNIST digits stacked as channels, drawn on the fly, 1,000 modes"
    shape = (3, 28, 28)
    stacked = 3

    @classmethod
    def read(cls, data_dir: Path) -> tuple[Arrays, Arrays, dict[str, str]]:
        """All four files, checked against the official checksums."""
        train, test, checksums = super().read(data_dir)
        return Arrays(train.images[ASIDE:], train.labels[ASIDE:]), test, checksums
