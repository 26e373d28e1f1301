"""Precision and recall: definition, known answers and refused inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics import precision_recall
from benchmark.evaluation.metrics.precision_recall import PrecisionRecall, squared_distances, squared_radii
from tests.support.examples import NoFiles32
from tests.support.measures import CPU, measured, normal, torch_fidelity, uint8


def both(fake, real, **options):
    values = measured(PrecisionRecall, fake, real, **options)
    assert list(values) == ["precision_random_conv", "recall_random_conv"]
    return tuple(values.values())


def by_definition(fake, real, k):
    reach = lambda x: np.sort(cdist(x, x), 1)[:, k]  # noqa: E731
    between = cdist(fake, real)
    return (between <= reach(real)).any(1).mean(), (between <= reach(fake)[:, None]).any(0).mean()


@given(seed=st.integers(0, 10**6), n=st.integers(5, 30), m=st.integers(5, 30), k=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_the_shares_follow_the_definition_for_any_chunks(seed, n, m, k):
    fake, real = normal(n, 3, seed), normal(m, 3, seed + 1) + 0.5
    expected = by_definition(fake.double().numpy(), real.double().numpy(), k)
    assert both(fake, real, neighbourhood=k) == pytest.approx(expected, abs=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision_recall, "CHUNK", 4)
        assert both(fake, real, neighbourhood=k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("neighbourhood", [3, 5])
def test_the_value_equals_torch_fidelitys(neighbourhood):
    extractor = RandomConv(None, CPU)
    fake, real = uint8(90, 1) // 2 + 60, uint8(70, 2)
    expected = torch_fidelity(fake, real, prc=True, prc_neighborhood=neighbourhood)
    shares = both(extractor(fake).features, extractor(real).features, neighbourhood=neighbourhood)
    assert shares == pytest.approx((expected["precision"], expected["recall"]), abs=1e-6)  # its mean is of float32
    assert all(0.05 < share < 0.999 for share in shares), "otherwise the comparison says nothing"
    assert shares[0] != shares[1]


def test_a_collapsed_generator_is_precise_and_recalls_nothing():
    real = normal(200, 8)
    assert both(real[:1].expand(100, 8), real) == (1.0, 1 / 200)


def test_fakes_spread_around_collapsed_real_images_have_recall_and_no_precision():
    fake = normal(200, 8)
    assert both(fake, fake[:1].expand(100, 8)) == (1 / 200, 1.0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_set_covers_itself_and_nothing_far_away(scale):
    rows = scale * (normal(100, 16) + 30)
    assert both(rows, rows) == (1.0, 1.0)
    assert both(rows, rows + 1000 * scale) == (0.0, 0.0)


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=20, deadline=None)
def test_the_values_do_not_depend_on_the_batches(cuts):
    fake, real = normal(60, 6, 1), normal(50, 6, 2)
    assert both(fake, real, cuts=cuts) == both(fake, real)


def test_a_point_is_not_its_own_neighbour_but_a_copy_of_it_is():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert squared_radii(line, 1).tolist() == [1, 1, 4, 16]
    assert squared_radii(line, 3).tolist() == [49, 36, 16, 49]
    assert squared_radii(torch.cat([line, line]), 1).tolist() == [0] * 8


def test_only_copies_have_distance_0():
    rows = normal(50, 300) * 100
    distances = squared_distances(rows, torch.cat([rows, rows * (1 + 1e-4)]))
    assert (distances[:, :50].diagonal() == 0).all()
    assert (distances > 0).sum() == 50 * 100 - 50


@pytest.mark.parametrize("n, expected", [(0, "no samples"), (3, "too few samples, 3, to have 3 neighbours")])
def test_too_few_images_are_refused(n, expected):
    with pytest.raises(ValueError, match=expected):
        both(normal(n, 3), normal(9, 3))
    with pytest.raises(ValueError, match="too few samples"):
        both(normal(9, 3), normal(n, 3))


@pytest.mark.parametrize("n_fake, n_real, kind", [(3, None, "n_fake is 3"), (9, 3, "n_real is 3")])
def test_too_few_images_are_refused_before_a_run(n_fake, n_real, kind):
    problem = PrecisionRecall.check_config(
        PrecisionRecall.Options(extractor="random_conv", n_real=n_real), NoFiles32, n_fake
    )
    assert kind in problem
    assert (
        PrecisionRecall.check_config(PrecisionRecall.Options(extractor="random_conv", n_real=4), NoFiles32, 4) is None
    )


def test_the_keys_name_every_extractor_except_vgg_16():
    assert [(o.key, o.title) for o in PrecisionRecall.outputs(PrecisionRecall.Options())] == [
        ("precision", "Precision"),
        ("recall", "Recall"),
    ]
    (first, _) = PrecisionRecall.outputs(PrecisionRecall.Options(extractor="inception"))
    assert (first.key, first.title) == ("precision_inception", "Precision (Inception)")
    (first, _) = PrecisionRecall.outputs(PrecisionRecall.Options(extractor="pixels"))
    assert "nothing published" in PrecisionRecall.notes(PrecisionRecall.Options(extractor="pixels"), 9)[first.title]
    assert "VGG-16" not in PrecisionRecall.notes(PrecisionRecall.Options(), 9)["Precision"]
