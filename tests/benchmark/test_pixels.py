"""The Frechet distance between Gaussians of pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from benchmark import plugins
from benchmark.data.base import Arrays, Prepared
from benchmark.metrics import pixels
from benchmark.metrics.pixels import Gaussian, PixelFrechet, chunks, distance, features, fit

CPU = torch.device("cpu")


def images(n, shape=(3, 16, 16), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8))


def gaussian(mean, covariance):
    return Gaussian(np.array(mean, float), np.array(covariance, float), 1)


# --- features ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_a_feature_is_the_mean_of_its_area_in_0_to_1(side):
    found = features(images(3, (3, side, side)))
    step = side // 8
    expected = images(3, (3, side, side)).numpy().reshape(3, 3, 8, step, 8, step).mean((3, 5)) / 255
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected.reshape(3, 192), rtol=1e-12)


@pytest.mark.parametrize("side", [8, 9, 28, 31, 48])
@pytest.mark.parametrize("channels", [1, 3])
def test_black_is_0_and_white_1_whatever_the_side(side, channels):
    white = torch.full((2, channels, side, side), 255, dtype=torch.uint8)
    assert features(white).shape == (2, channels * 64)
    assert (features(white) - 1).abs().max() < 1e-12
    assert (features(torch.zeros_like(white)) == 0).all()


# --- the Gaussian --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 300])
def test_the_gaussian_is_numpys(n):
    rows = features(images(n)).numpy()
    found = fit([images(n)])
    assert found.count == n
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows, rowvar=False, bias=True), atol=1e-15)


@given(cuts=st.lists(st.integers(1, 59), max_size=6))
@settings(max_examples=25, deadline=None)
def test_it_counts_every_image_once_however_they_come(cuts):
    whole, parts = fit([images(60)]), fit(torch.tensor_split(images(60), sorted(cuts)))
    assert parts.count == whole.count == 60
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, whole.covariance, atol=1e-15)


def test_a_large_array_is_read_in_parts_and_to_its_end(monkeypatch):
    monkeypatch.setattr(pixels, "CHUNK", 7)
    parts = list(chunks(images(20).numpy()))
    assert [len(part) for part in parts] == [7, 7, 6]
    assert torch.equal(torch.cat(parts), images(20))


@pytest.mark.parametrize("batches", [[], [images(0)]], ids=["no batch", "an empty batch"])
def test_nothing_to_fit_is_an_error(batches):
    with pytest.raises(ValueError, match="no samples"):
        fit(batches)


# --- the distance --------------------------------------------------------------------------------------


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
    assert distance(gaussian(*one), gaussian(*other)) == pytest.approx(expected, abs=1e-7)
    assert distance(gaussian(*other), gaussian(*one)) == pytest.approx(expected, abs=1e-7)


def random_gaussian(rng, size, rank):
    factor = rng.normal(size=(size, rank))
    return Gaussian(rng.normal(size=size), factor @ factor.T, 1)


sizes = {"seed": st.integers(0, 10**6), "size": st.integers(1, 12)}


@given(**sizes)
@settings(max_examples=50, deadline=None)
def test_it_is_the_textbooks_formula(seed, size):
    rng = np.random.default_rng(seed)
    one, other = (random_gaussian(rng, size, size + 4) for _ in range(2))
    apart = ((one.mean - other.mean) ** 2).sum()
    spread = np.trace(one.covariance + other.covariance - 2 * sqrtm(one.covariance @ other.covariance).real)
    assert distance(one, other) == pytest.approx(apart + spread, rel=1e-6, abs=1e-6)


@given(**sizes, lost=st.integers(0, 11))
@settings(max_examples=50, deadline=None)
def test_it_is_symmetric_and_0_to_itself_and_never_below(seed, size, lost):
    rng = np.random.default_rng(seed)
    one, other = (random_gaussian(rng, size, max(size - lost, 1)) for _ in range(2))
    scale = np.trace(one.covariance + other.covariance)
    assert distance(one, other) >= 0
    assert distance(one, other) == pytest.approx(distance(other, one), abs=1e-6 * scale)
    assert distance(one, one) == pytest.approx(0, abs=1e-6 * scale)


@given(**sizes, factor=st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_a_shift_changes_nothing_and_a_scale_its_square(seed, size, factor):
    rng = np.random.default_rng(seed)
    one, other = (random_gaussian(rng, size, size) for _ in range(2))
    here = distance(one, other)
    shifted = (Gaussian(g.mean + 7, g.covariance, 1) for g in (one, other))
    scaled = (Gaussian(factor * g.mean, factor**2 * g.covariance, 1) for g in (one, other))
    assert distance(*shifted) == pytest.approx(here, rel=1e-6, abs=1e-8)
    assert distance(*scaled) == pytest.approx(factor**2 * here, rel=1e-6, abs=1e-8 * factor**2)


# --- the metric ----------------------------------------------------------------------------------------


def prepared(test, **manifest):
    arrays = Arrays(test.numpy(), np.zeros(len(test), np.int64))
    nothing = Arrays(test.numpy()[:0], np.zeros(0, np.int64))
    return Prepared(None, nothing, arrays, {"dataset": "noise"} | manifest)


def metric(test, tmp_path):
    return PixelFrechet(PixelFrechet.prepare(prepared(test), tmp_path), CPU)


def test_the_held_out_images_are_at_distance_0_in_any_order_and_any_number_of_times(tmp_path):
    found = metric(images(400), tmp_path)
    assert found.measure([images(400)])["pixel_fd"] == pytest.approx(0, abs=1e-9)
    assert found.measure([images(400).flip(0), images(400)])["pixel_fd"] == pytest.approx(0, abs=1e-9)
    assert found.facts == {"held_out_images": 400}


def test_an_offset_of_the_brightness_is_its_square_for_every_number(tmp_path):
    dark = images(400) // 2
    found = metric(dark, tmp_path).measure([dark + 51])
    assert found["pixel_fd"] == pytest.approx(192 * 0.2**2, rel=1e-9)


def test_one_image_for_all_costs_the_whole_variance(tmp_path):
    """A collapsed generator whose only image is the mean."""
    grey = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 8, 8)
    found = metric(grey, tmp_path).measure([torch.full((50, 1, 8, 8), 127, dtype=torch.uint8)])
    variance = (256**2 - 1) / 12 / 255**2
    assert found["pixel_fd"] == pytest.approx(64 * (variance + (0.5 / 255) ** 2), rel=1e-9)


def test_detail_below_an_area_is_not_seen_and_said_so(tmp_path):
    fine = images(50, (3, 8, 8)).repeat_interleave(2, 2).repeat_interleave(2, 3).clamp(20, 200)
    checks = torch.tensor([[10, -10], [-10, 10]]).repeat(8, 8)
    found = metric(fine, tmp_path).measure([(fine.int() + checks).to(torch.uint8)])
    assert found["pixel_fd"] == pytest.approx(0, abs=1e-9)
    assert "no detail" in PixelFrechet.notes(100)["Pixel Frechet distance"]


def test_the_notes_say_that_it_is_not_fid_and_over_how_many_samples():
    (note,) = PixelFrechet.notes(12_345).values()
    assert "not FID" in note
    assert "nothing published" in note
    assert "12,345" in note


def test_other_data_is_another_reference(tmp_path):
    first = PixelFrechet.prepare(prepared(images(20)), tmp_path)
    assert PixelFrechet.prepare(prepared(images(20)), tmp_path) == first
    assert PixelFrechet.prepare(prepared(images(20), variant="2"), tmp_path) != first


def test_it_fits_images_of_8_pixels_and_more_that_are_not_stacked():
    class Some:
        def __init__(self, shape, stacked):
            self.shape, self.stacked = shape, stacked

    assert PixelFrechet.fits(Some((3, 32, 32), 1))
    assert PixelFrechet.fits(Some((1, 8, 8), 1))
    assert not PixelFrechet.fits(Some((3, 7, 7), 1))
    assert not PixelFrechet.fits(plugins.datasets["stacked_digits"])
