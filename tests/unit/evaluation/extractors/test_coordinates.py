"""The extractor of points, and what each kind of extractor says about the other kind of data."""

import pytest
import torch

from benchmark.core import registry
from benchmark.evaluation.extractors.coordinates import Coordinates
from benchmark.evaluation.metrics.fid import FID
from tests.support.examples import CPU, NoFiles32
from tests.support.points import Line, Plane


def test_features_are_the_points_in_double_precision_and_no_view_of_them():
    points = torch.randn(5, 2)
    features, logits = Coordinates(None, CPU)(points)
    assert features.dtype is torch.float64
    assert torch.equal(features.float(), points)
    assert logits.shape == (5, 0)
    points.zero_()
    assert features.abs().min() > 0


@pytest.mark.parametrize("dataset", [Line, Plane])
def test_points_have_no_other_extractor(dataset):
    takers = {name for name in registry.extractors if registry.extractors[name].supports(dataset)}
    assert takers == {"coordinates"}
    assert not Coordinates.supports(NoFiles32)


def test_the_message_names_the_extractor_of_points():
    problem = FID.check_config(FID.Options(), Line, 100)
    assert (
        problem
        == "extractor 'inception' does not take 1-dimensional points of line; points have the extractor 'coordinates'"
    )
    assert FID.check_config(FID.Options(extractor="coordinates"), Line, 100) is None
