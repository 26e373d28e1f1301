"""Stacked-MNIST: three MNIST digits as the channels of one image; 1,000 modes.

MSGAN draws three independent uniform indices into the 55,000 training images of TensorFlow's MNIST tutorial
(tntrung/msgan modules/mnist.py:5-25), which sets the first 5,000 of the 60,000 aside. PacGAN draws on the fly from all
60,000 (fjxmlzn/PacGAN, unrolled_GAN_experiment/D=0.25G/model.py, generate_stacked_mnist). VEEGAN's protocol trains on
128,000 stacks that were drawn once.
"""

from pathlib import Path
from typing import Any, ClassVar

from benchmark.data.arrays import ArraySplit
from benchmark.data.datasets.mnist import MNIST


class StackedMNIST(MNIST):
    """(3, 28, 28) images from 55,000 training digits; the 10,000 test digits are held out."""

    name = "stacked_mnist"
    about = "three MNIST digits stacked as channels, drawn on the fly, 1,000 modes"
    shape = (3, 28, 28)
    stacked = 3
    num_set_aside: ClassVar[int] = 5_000

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """MNIST without the first training digits."""
        train, test, checksums = super().read(data_dir)
        kept = ArraySplit(train.images[cls.num_set_aside :], train.labels[cls.num_set_aside :])
        return kept, test, checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """MNIST's, with 5 of the 40 training digits set aside."""
        return {**super().write_example_files(folder), "num_set_aside": 5}


class AllStackedMNIST(MNIST):
    """(3, 28, 28) images from all 60,000 training digits."""

    name = "stacked_mnist_60k"
    about = "three MNIST digits stacked as channels, drawn on the fly from all 60,000 (PacGAN), 1,000 modes"
    shape = (3, 28, 28)
    stacked = 3


class FixedStackedMNIST(AllStackedMNIST):
    """128,000 stacks, the same for every trial."""

    name = "stacked_mnist_fixed"
    about = "128,000 fixed stacks of three MNIST digits (VEEGAN's protocol), 1,000 modes"
    num_fixed_stacks = 128_000
