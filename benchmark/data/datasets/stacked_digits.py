"""Stacked-Digits: three of scikit-learn's 8x8 handwritten digits as the channels of one image; 1,000 modes.

The offline substitute for Stacked-MNIST.
"""

from benchmark.data.datasets.digits import DigitImages


class StackedDigits(DigitImages):
    """(3, 8, 8) images from 1,348 training digits; 449 digits are held out."""

    name = "stacked_digits"
    about = "three 8x8 handwritten digits stacked as channels, 1,000 modes; ships with scikit-learn"
    shape = (3, 8, 8)
    stacked = 3
