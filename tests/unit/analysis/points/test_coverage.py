"""Covered modes follow the rule of the protocol's metric."""

import numpy as np

from benchmark.analysis.points.coverage import coverage
from tests.support.experiment_rows import CORNERS


def test_the_metric_of_the_protocol_decides_which_modes_are_covered(experiment_row):
    points = CORNERS[[0, 2]] + 0.1
    row = experiment_row("GAN", [points], metric="near_corners", dataset="corners")
    found = coverage(row, points)
    assert (found.modes == CORNERS).all()
    assert found.is_covered.tolist() == [True, False, True, False]


def test_without_such_a_metric_the_modes_are_known_and_their_coverage_is_not(experiment_row):
    row = experiment_row("GAN", [CORNERS], metric="turn_accuracy", dataset="corners")
    found = coverage(row, CORNERS)
    assert np.array_equal(found.modes, CORNERS)
    assert found.is_covered is None


def test_images_have_no_modes_in_the_plane(experiment_row):
    assert coverage(experiment_row("GAN", [{}], dataset="two_classes"), CORNERS) is None
