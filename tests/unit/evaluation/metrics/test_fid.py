"""Frechet distances between Gaussians of features."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from benchmark.core import registry
from benchmark.evaluation.extractors.pixels import Pixels
from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics import moments
from benchmark.evaluation.metrics.fid import FID, covariance_factor, fit_gaussian, frechet_distance
from benchmark.evaluation.metrics.moments import Gaussian, Moments
from tests.support.examples import NoFiles32
from tests.support.measures import CPU, measured, normal, open_metric, torch_fidelity, uint8

KEY = "fd_random_conv"


# --- the Gaussian --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 300, 1024, 2500])
def test_the_gaussian_equals_numpys(n):
    rows = normal(n, 5).numpy() + np.arange(5)
    gaussian = fit_gaussian(rows.astype(np.float32))
    exact = rows.astype(np.float32).astype(np.float64)
    assert gaussian.count == n
    np.testing.assert_allclose(gaussian.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(gaussian.covariance, np.cov(exact, rowvar=False), rtol=1e-12, atol=1e-14)


@given(cuts=st.lists(st.integers(0, 60), max_size=6), chunk=st.sampled_from([7, 20, 1024]))
@settings(max_examples=40, deadline=None)
def test_moments_are_bit_identical_for_any_batches(cuts, chunk):
    rows = normal(60, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "CHUNK", chunk)
        whole, parts = Moments(np.zeros(4)), Moments(np.zeros(4))
        whole.update(rows)
        for part in torch.tensor_split(rows, sorted(cuts)):
            parts.update(part)
        one, other = whole.gaussian(), parts.gaussian()
    assert other.count == 60
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.covariance, other.covariance)
    np.testing.assert_allclose(one.covariance, np.cov(rows.double().numpy(), rowvar=False), atol=1e-13)


def test_a_large_mean_loses_little_precision():
    rows = (normal(500, 3) * 0.01).double().numpy() + 1000
    fitted = fit_gaussian(rows.astype(np.float32))
    np.testing.assert_allclose(
        fitted.covariance, np.cov(rows.astype(np.float32).astype(float).T), rtol=1e-9, atol=1e-15
    )


def test_moments_can_be_read_twice_and_updated_further():
    rows, sums = normal(50, 3), Moments(np.zeros(3))
    sums.update(rows[:20])
    assert sums.gaussian().count == 20
    assert sums.gaussian().count == 20
    sums.update(rows[20:])
    np.testing.assert_allclose(sums.gaussian().covariance, np.cov(rows.double().numpy().T), rtol=1e-12)


# --- the distance --------------------------------------------------------------------------------------


def fitted(mean, covariance, count=1000):
    return Gaussian(np.array(mean, float), np.array(covariance, float), count)


def between(one, other):
    return frechet_distance(one.mean, covariance_factor(one), float(np.trace(one.covariance)), other)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (([0], [[1]]), ([0], [[1]]), 0),
        (([0], [[4]]), ([3], [[1]]), 9 + (2 - 1) ** 2),
        (([0, 0], [[1, 0], [0, 9]]), ([1, 2], [[4, 0], [0, 1]]), 5 + (1 - 2) ** 2 + (3 - 1) ** 2),
        (([0, 0], [[0, 0], [0, 0]]), ([0, 1], [[2, 1], [1, 3]]), 1 + 5),  # a single image against a spread
        (([0, 0], [[1, 0], [0, 0]]), ([0, 0], [[0, 0], [0, 1]]), 2),  # spreads that share no direction
        # rotated by 45 degrees: S1 = diag(1, 9), S2 = [[5, 4], [4, 5]]; (tr sqrt)^2 = tr(S1 S2) + 2 sqrt(det S1 S2)
        (([0, 0], [[1, 0], [0, 9]]), ([0, 0], [[5, 4], [4, 5]]), 20 - 2 * np.sqrt(50 + 2 * 9)),
    ],
)
def test_distances_by_hand(one, other, expected):
    assert between(fitted(*one), fitted(*other)) == pytest.approx(expected, abs=1e-7)
    assert between(fitted(*other), fitted(*one)) == pytest.approx(expected, abs=1e-7)


def random_gaussian(rng, size, rank):
    root = rng.normal(size=(size, rank))
    return fitted(rng.normal(size=size), root @ root.T)


sizes = {"seed": st.integers(0, 10**6), "size": st.integers(1, 12)}


@given(**sizes)
@settings(max_examples=50, deadline=None)
def test_the_distance_equals_the_textbook_formula(seed, size):
    rng = np.random.default_rng(seed)
    one, other = (random_gaussian(rng, size, size + 4) for _ in range(2))
    apart = ((one.mean - other.mean) ** 2).sum()
    spread = np.trace(one.covariance + other.covariance - 2 * sqrtm(one.covariance @ other.covariance).real)
    assert between(one, other) == pytest.approx(apart + spread, rel=1e-6, abs=1e-6)


@given(**sizes, lost=st.integers(0, 11))
@settings(max_examples=50, deadline=None)
def test_the_distance_is_a_symmetric_non_negative_distance_for_any_rank(seed, size, lost):
    rng = np.random.default_rng(seed)
    one, other = (random_gaussian(rng, size, max(size - lost, 1)) for _ in range(2))
    scale = np.trace(one.covariance + other.covariance)
    assert between(one, other) >= 0
    assert between(one, other) == pytest.approx(between(other, one), abs=1e-6 * scale)
    assert between(one, one) == pytest.approx(0, abs=1e-6 * scale)


@given(**sizes, factor=st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_the_distance_is_invariant_to_shifts_and_rotations_and_quadratic_in_scale(seed, size, factor):
    rng = np.random.default_rng(seed)
    one, other = (random_gaussian(rng, size, size) for _ in range(2))
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    here = between(one, other)
    shifted = (fitted(g.mean + 7, g.covariance) for g in (one, other))
    scaled = (fitted(factor * g.mean, factor**2 * g.covariance) for g in (one, other))
    rotated = (fitted(rotation @ g.mean, rotation @ g.covariance @ rotation.T) for g in (one, other))
    assert between(*shifted) == pytest.approx(here, rel=1e-6, abs=1e-8)
    assert between(*scaled) == pytest.approx(factor**2 * here, rel=1e-6, abs=1e-7 * factor**2)
    assert between(*rotated) == pytest.approx(here, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("rotated", [False, True])
def test_diagonal_and_rotated_gaussians_in_many_dimensions(rotated):
    """The covariances commute, so the distance is that of the standard deviations."""
    rng = np.random.default_rng(0)
    ones, others = rng.uniform(0, 3, (2, 40))
    rotation = np.linalg.qr(rng.normal(size=(40, 40)))[0] if rotated else np.eye(40)
    one, other = (fitted(np.zeros(40), rotation @ np.diag(std**2) @ rotation.T) for std in (ones, others))
    assert between(one, other) == pytest.approx(np.square(ones - others).sum(), rel=1e-9)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_fewer_samples_than_dimensions_have_distance_0_from_themselves(n):
    rows = normal(n, 64)
    scale = float(rows.var(0).sum())
    assert measured(FID, rows, rows)[KEY] == pytest.approx(0, abs=1e-6 * scale)


def test_eigenvalues_beyond_the_rank_of_a_covariance_add_no_rounding():
    """The reference uses singular values, which need no root of a rounding error; 195 of 200 are 0."""
    real, fake = fit_gaussian(normal(1000, 200).numpy()), fit_gaussian(normal(6, 200, 1).numpy())
    shared = np.linalg.svd(covariance_factor(real).T @ covariance_factor(fake), compute_uv=False).sum()
    apart = np.square(real.mean - fake.mean).sum()
    expected = apart + np.trace(real.covariance) + np.trace(fake.covariance) - 2 * shared
    assert between(real, fake) == pytest.approx(expected, rel=1e-10)


# --- the metric ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, m", [(200, 150), (40, 50)], ids=["full rank", "too few for full rank"])
def test_the_value_equals_torch_fidelitys(n, m):
    extractor = RandomConv(None, CPU)
    fake, real = uint8(n, 1), uint8(m, 2)
    expected = torch_fidelity(fake, real, fid=True)["frechet_inception_distance"]
    values = measured(FID, extractor(fake).features, extractor(real).features)
    assert values == {KEY: pytest.approx(expected, rel=1e-4)}


@given(cuts=st.lists(st.integers(0, 90), max_size=5), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_distance_does_not_depend_on_batches_and_order(cuts, seed):
    fake, real = normal(90, 6, 1), normal(70, 6, 2)
    whole = measured(FID, fake, real)
    assert measured(FID, fake, real, cuts=cuts) == whole
    order = torch.from_numpy(np.random.default_rng(seed).permutation(90))
    assert measured(FID, fake[order], real)[KEY] == pytest.approx(whole[KEY], rel=1e-9)


def test_real_images_have_distance_0_also_with_float64_features():
    images = uint8(400)
    features = Pixels(None, CPU)(images).features
    assert features.dtype == torch.float64
    assert measured(FID, features, features)[KEY] == pytest.approx(0, abs=1e-9)
    assert measured(FID, torch.cat([features] * 3), features)[KEY] == pytest.approx(
        0, abs=1e-4
    )  # n - 1 against 3 n - 1


def test_an_offset_adds_its_square_per_feature():
    dark = uint8(300, shape=(3, 8, 8)) // 2
    pixels = Pixels(None, CPU)
    values = measured(FID, pixels(dark + 51).features, pixels(dark).features, extractor="pixels")
    assert values == {"fd_pixels": pytest.approx(192 * 0.2**2, rel=1e-5)}


def test_the_distance_of_a_collapsed_generator_is_the_whole_variance():
    """A collapsed generator whose only image is the mean."""
    real = normal(500, 8)
    values = measured(FID, real.double().mean(0).expand(50, 8), real)
    assert values[KEY] == pytest.approx(float(real.double().var(0).sum()), rel=1e-6)


def test_memory_mapped_features_are_read(tmp_path):
    np.save(tmp_path / "real.npy", normal(1500, 3).numpy())
    mapped = np.load(tmp_path / "real.npy", mmap_mode="c")
    np.testing.assert_array_equal(fit_gaussian(mapped).covariance, fit_gaussian(normal(1500, 3).numpy()).covariance)


@pytest.mark.parametrize("n, expected", [(0, "no samples"), (1, "too few samples.*: 1")])
def test_fewer_than_two_images_are_refused(n, expected):
    with pytest.raises(ValueError, match=expected):
        measured(FID, normal(n, 3), normal(9, 3))
    with pytest.raises(ValueError, match=expected):
        open_metric(FID, normal(n, 3))


@pytest.mark.parametrize("n_fake, n_real", [(1, None), (9, 1)])
def test_too_few_images_are_refused_before_a_run(n_fake, n_real):
    assert "at least 2" in FID.check_config(FID.Options(extractor="random_conv", n_real=n_real), NoFiles32, n_fake)
    assert FID.check_config(FID.Options(extractor="random_conv"), NoFiles32, 2) is None


def test_datasets_that_the_extractor_does_not_support_are_refused():
    assert "does not take 3x8x8 images" in FID.check_config(FID.Options(), registry.datasets["stacked_digits"], 100)


# --- names and notes -----------------------------------------------------------------------------------


def test_the_distance_is_named_fid_only_with_inception():
    (output,) = FID.outputs(FID.Options())
    assert (output.key, output.title) == ("fid", "FID")
    (output,) = FID.outputs(FID.Options(extractor="pixels"))
    assert (output.key, output.title) == ("fd_pixels", "Fréchet distance (8x8 pixels)")


def test_the_notes_state_the_number_of_samples_and_what_the_value_compares_with():
    (plain,) = FID.notes(FID.Options(n_real=5000), 12_345).values()
    assert "12,345 generated and 5,000 train" in plain
    assert "nothing published" not in plain
    (other,) = FID.notes(FID.Options(extractor="random_conv"), 12_345).values()
    assert "not FID" in other
    assert "nothing published" in other
    title = "Fréchet distance (torchvision Inception)"
    assert "compares with values of SSGAN-LA" in FID.notes(FID.Options(extractor="inception_torchvision"), 9)[title]


@pytest.mark.parametrize("n, is_noted", [(2048, True), (2049, False)])
def test_the_notes_state_too_few_samples_for_a_full_rank(n, is_noted):
    (note,) = FID.notes(FID.Options(), n).values()
    assert (f"{n:,} samples in 2,048 dimensions" in note) is is_noted
