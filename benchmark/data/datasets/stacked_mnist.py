"""Stacked-MNIST: three MNIST digits as three channels, drawn on the fly; 1,000 modes.

MSGAN draws three independent uniform indices into the 55,000 training images of TensorFlow's MNIST tutorial
(tntrung/msgan modules/mnist.py:5-25), which sets the first 5,000 of the 60,000 aside. PacGAN draws on the fly from all
60,000 (fjxmlzn/PacGAN, unrolled_GAN_experiment/D=0.25G/model.py, generate_stacked_mnist). VEEGAN's protocol trains on
128,000 stacks that were drawn once.
"""

from pathlib import Path

from benchmark.data.arrays import ArraySplit
from benchmark.data.datasets.mnist import MNIST

ASIDE = 5_000


class StackedMNIST(MNIST):
    """(3, 28, 28) images from 55,000 training digits; the 10,000 test digits are held out."""

    name = "stacked_mnist"
    about = "three MNIST digits stacked as channels, drawn on the fly, 1,000 modes"
    shape = (3, 28, 28)
    stacked = 3

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """All four files, checked against the official checksums."""
        train, test, checksums = super().read(data_dir)
        return ArraySplit(train.images[ASIDE:], train.labels[ASIDE:]), test, checksums


class AllStackedMNIST(MNIST):
    """(3, 28, 28) images from all 60,000 training digits."""

    name = "stacked_mnist_60k"
    about = "three MNIST digits stacked as channels, drawn on the fly from all 60,000 (PacGAN), 1,000 modes"
    shape = (3, 28, 28)
    stacked = 3


class FixedStackedMNIST(AllStackedMNIST):
    """The same 128,000 stacks for every trial."""

    name = "stacked_mnist_fixed"
    about = "128,000 fixed stacks of three MNIST digits (VEEGAN's protocol), 1,000 modes"
    num_fixed_stacks = 128_000
