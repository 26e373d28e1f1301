"""The classifier score: known answers, torch-fidelity's value and refused inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics.inception_score import InceptionScore, score_over_splits
from tests.support.examples import NoFiles32
from tests.support.measures import CPU, measured, normal, torch_fidelity, uint8


def scored(logits, **options):
    values = measured(InceptionScore, logits[:, :0], logits=logits, **options)
    assert list(values) == ["classifier_score_random_conv"]
    return values["classifier_score_random_conv"]


@pytest.mark.parametrize("splits", [1, 10])
def test_identical_images_score_1(splits):
    assert scored(torch.zeros(50, 7), splits=splits) == pytest.approx(1, abs=1e-12)
    assert scored(normal(1, 7).expand(50, 7), splits=splits) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sure", [50.0, 1e4])  # the second is so sure that the other classes have probability 0
@pytest.mark.parametrize("classes", [2, 10])
def test_balanced_and_certain_images_score_the_number_of_classes(classes, sure):
    assert scored(sure * torch.eye(classes).repeat(6, 1), splits=1) == pytest.approx(classes, rel=1e-9)


def test_classes_of_probability_0_do_not_count():
    logits = torch.full((40, 9), -1e4)
    logits[:, :4] = 1e4 * torch.eye(4).repeat(10, 1) - 1e4
    assert scored(logits, splits=1) == pytest.approx(4, rel=1e-9)


@given(seed=st.integers(0, 10**6), scale=st.floats(0, 20))
@settings(max_examples=30, deadline=None)
def test_the_score_lies_between_1_and_the_number_of_classes(seed, scale):
    mean, std = score_over_splits(scale * normal(40, 5, seed), splits=4)
    assert 1 - 1e-9 <= mean <= 5 + 1e-9
    assert std >= 0


@pytest.mark.parametrize("n, splits", [(100, 10), (57, 10), (33, 1)])
def test_the_value_equals_torch_fidelitys(n, splits):
    images = uint8(n, 3)
    expected = torch_fidelity(images, images, isc=True, isc_splits=splits)
    logits = RandomConv(None, CPU)(images).logits
    mean, std = score_over_splits(logits, splits)
    assert scored(logits, splits=splits) == mean, "the metric gives the mean"
    assert mean == pytest.approx(expected["inception_score_mean"], rel=1e-9)
    assert std == pytest.approx(expected["inception_score_std"], rel=1e-6, abs=1e-12)
    assert mean > 1.001, "otherwise the comparison says nothing"


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=20, deadline=None)
def test_the_score_does_not_depend_on_the_batches(cuts):
    logits = normal(60, 5)
    assert scored(logits, cuts=cuts) == scored(logits)


def test_images_are_shuffled_before_they_are_split():
    """Without shuffling, images sorted by class would give splits of one class, which score 1."""
    logits = 50 * torch.eye(10).repeat_interleave(100, 0)
    assert scored(logits) > 9


def test_every_image_counts_once():
    """With 30 images of one class and 10 of another, the score is exp of the entropy of (3/4, 1/4)."""
    logits = 100 * torch.eye(2).repeat_interleave(torch.tensor([30, 10]), 0)
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert scored(logits, splits=1) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n, expected", [(0, "no samples"), (9, "too few samples, 9, for 10 splits")])
def test_fewer_images_than_splits_are_refused(n, expected):
    with pytest.raises(ValueError, match=expected):
        scored(normal(n, 5))


def test_too_few_images_are_refused_before_a_run():
    options = InceptionScore.Options(extractor="random_conv")
    assert "n_fake is 9, but" in InceptionScore.check_config(options, NoFiles32, 9)
    assert InceptionScore.check_config(options, NoFiles32, 10) is None


def test_an_extractor_without_logits_is_refused_and_the_message_names_those_with_logits():
    problem = InceptionScore.check_config(InceptionScore.Options(extractor="pixels"), NoFiles32, 100)
    assert "has no class logits" in problem
    assert "inception" in problem


def test_the_score_is_named_inception_score_only_with_inception():
    assert [o.key for o in InceptionScore.outputs(InceptionScore.Options())] == ["isc"], (
        "the deviation over splits is no result to rank"
    )
    assert InceptionScore.outputs(InceptionScore.Options())[0].title == "Inception Score"
    assert "nothing published" not in InceptionScore.notes(InceptionScore.Options(), 9)["Inception Score"]
    title = "Classifier score (random network)"
    assert InceptionScore.outputs(InceptionScore.Options(extractor="random_conv"))[0].title == title
    assert "nothing published" in InceptionScore.notes(InceptionScore.Options(extractor="random_conv"), 9)[title]
