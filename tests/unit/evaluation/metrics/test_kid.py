"""Kernel distances between features: definition, torch-fidelity's value and refused inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics.kid import KID, mmd
from tests.support.examples import NoFiles32
from tests.support.measures import CPU, measured, normal, open_metric, torch_fidelity, uint8

KEY = "kd_random_conv"


def by_loops(x, y):
    """The MMD by its definition, pair by pair."""
    k = lambda a, b: (float(a @ b) / len(a) + 1) ** 3  # noqa: E731
    n = len(x)
    within = sum(k(z[i], z[j]) for z in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within - 2 * sum(k(a, b) for a in x for b in y) / n**2


@given(seed=st.integers(0, 10**6), n=st.integers(2, 7), d=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_the_mmd_equals_its_definition_pair_by_pair(seed, n, d):
    x, y = np.random.default_rng(seed).normal(size=(2, n, d))
    assert float(mmd(torch.from_numpy(x), torch.from_numpy(y))) == pytest.approx(by_loops(x, y), abs=1e-9)


def test_the_mmd_of_zeros_and_ones_equals_the_value_by_hand():
    """The kernel is 1 within zeros, (1 + 1)^3 within ones and 1 between them: 1 + 8 - 2."""
    assert float(mmd(torch.zeros(5, 3).double(), torch.ones(5, 3).double())) == pytest.approx(7, rel=1e-12)


def test_the_value_equals_torch_fidelitys():
    extractor = RandomConv(None, CPU)
    fake, real = uint8(90, 1), uint8(70, 2)
    expected = torch_fidelity(fake, real, kid=True, kid_subset_size=50, kid_subsets=20)
    values = measured(KID, extractor(fake).features, extractor(real).features, subset_size=50, subsets=20)
    assert values == {KEY: pytest.approx(expected["kernel_inception_distance_mean"], abs=1e-6)}
    assert abs(values[KEY]) > 1e-5, "otherwise the comparison says nothing"


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=20, deadline=None)
def test_the_value_does_not_depend_on_the_batches(cuts):
    fake, real = normal(60, 6, 1), normal(50, 6, 2)
    options = {"subset_size": 30, "subsets": 5}
    assert measured(KID, fake, real, cuts=cuts, **options) == measured(KID, fake, real, **options)


def test_kid_of_one_distribution_is_unbiased():
    values = [
        measured(KID, normal(60, 4, 2 * seed), normal(60, 4, 2 * seed + 1), subset_size=60, subsets=1)[KEY]
        for seed in range(60)
    ]
    error = np.std(values) / np.sqrt(60)
    assert abs(np.mean(values)) < 4 * error
    assert 10 < sum(value < 0 for value in values) < 50
    assert measured(KID, normal(60, 4) + 1, normal(60, 4, 1), subset_size=60, subsets=1)[KEY] > 10 * np.std(values)


def test_computing_twice_draws_the_same_subsets_and_no_global_random_numbers():
    opened = open_metric(KID, normal(40, 3), subset_size=20, subsets=3)
    opened.update(type("F", (), {"features": normal(40, 3, 1)}))
    torch_stream, numpy_stream = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert opened.compute() == opened.compute()
    assert torch.equal(torch.get_rng_state(), torch_stream)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_stream)


@pytest.mark.parametrize("n, expected", [(0, "no samples"), (29, "too few generated images, 29, for subsets of 30")])
def test_too_few_generated_images_are_refused(n, expected):
    with pytest.raises(ValueError, match=expected):
        measured(KID, normal(n, 3), normal(40, 3), subset_size=30)


def test_too_few_real_images_are_refused():
    with pytest.raises(ValueError, match="too few real images, 29"):
        measured(KID, normal(40, 3), normal(29, 3), subset_size=30)


@pytest.mark.parametrize("n_fake, n_real, kind", [(999, None, "n_fake is 999"), (1000, 999, "n_real is 999")])
def test_too_few_images_are_refused_before_a_run(n_fake, n_real, kind):
    problem = KID.check_config(KID.Options(extractor="random_conv", n_real=n_real), NoFiles32, n_fake)
    assert kind in problem
    assert "subset_size" in problem
    assert KID.check_config(KID.Options(extractor="random_conv", n_real=1000), NoFiles32, 1000) is None


def test_a_subset_of_one_has_no_pairs_and_is_refused():
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        KID.Options(subset_size=1)


def test_the_distance_is_named_kid_only_with_inception():
    assert [(o.key, o.title) for o in KID.outputs(KID.Options())] == [("kid", "KID")]
    (other,) = KID.outputs(KID.Options(extractor="pixels"))
    assert (other.key, other.title) == ("kd_pixels", "Kernel distance (8x8 pixels)")
    assert "nothing published" in KID.notes(KID.Options(extractor="pixels"), 9)[other.title]
    assert "nothing published" not in KID.notes(KID.Options(), 9)["KID"]
