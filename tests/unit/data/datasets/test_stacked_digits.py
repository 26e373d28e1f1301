"""Stacked-Digits are scikit-learn's digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmark.data.datasets.stacked_digits import StackedDigits


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return StackedDigits.read(tmp_path_factory.mktemp("raw"))[:2]


def test_every_fourth_digit_is_held_out(splits):
    (train, test), source = splits, load_digits()
    assert (len(train.labels), len(test.labels)) == (1348, 449)
    assert np.array_equal(test.labels, source.target[3::4])
    assert np.array_equal(test.images[:, 0], np.rint(source.images[3::4] / 16 * 255))
    assert set(np.unique(train.labels)) == set(np.unique(test.labels)) == set(range(10))


def test_grey_levels_are_scaled_to_the_range_of_a_byte(splits):
    levels = np.unique(splits[0].images)
    assert len(levels) == 17
    assert (levels[0], levels[-1]) == (0, 255)
    assert set(np.diff(levels.astype(int))) <= {15, 16, 17}
