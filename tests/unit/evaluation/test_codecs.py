"""JPEG equals Pillow's for every image, with its effect on stacked digits (MS-09); stretching is mimicry's (X-09)."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.datasets.stacked_digits import StackedDigits
from benchmark.evaluation.codecs import apply_codec


def images(n=5, channels=3, size=32, seed=0):
    """Smooth patterns under noise, of which compression keeps the patterns and loses the noise."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 150, size)[None, None, :, None] * rng.uniform(0.2, 1, (n, channels, 1, 1))
    noisy = slope + rng.integers(0, 100, (n, channels, size, size))
    return torch.from_numpy(noisy.astype(np.uint8))


def saved_and_loaded(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG")
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("size", [8, 28, 33])
def test_rgb_is_what_pillow_writes_and_reads_by_default(size):
    given = images(size=size)
    for before, after in zip(given.numpy(), apply_codec(given, "jpeg").numpy(), strict=True):
        assert np.array_equal(after.transpose(1, 2, 0), saved_and_loaded(before.transpose(1, 2, 0).copy()))


def test_one_channel_is_grey():
    given = images(channels=1)
    for before, after in zip(given.numpy(), apply_codec(given, "jpeg").numpy(), strict=True):
        assert np.array_equal(after[0], saved_and_loaded(before[0]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [1, 4])
def test_shape_and_type_stay_and_no_image_depends_on_another(channels, n):
    given = images(n, channels)
    before = given.clone()
    after = apply_codec(given, "jpeg")
    assert after.shape == given.shape
    assert after.dtype is torch.uint8
    assert not torch.equal(after, given)
    assert torch.equal(given, before), "the input does not change"
    assert torch.equal(after[-1:], apply_codec(given[-1:], "jpeg"))


def test_the_codec_none_returns_the_images_themselves():
    given = images()
    assert apply_codec(given, "none") is given


def mimicrys(images):
    """mimicry's compute_is.py:29-36 on float images: the batch's own range becomes [0, 1], then 8 bits, rounded."""
    low, high = images.min(), images.max()
    return np.clip((images - low) / (high - low + 1e-5) * 255 + 0.5, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("gain", [0.1, 1.0, 3.0])
def test_min_max_is_mimicrys_stretch_up_to_rounding_twice(gain):
    """mimicry stretches floats and rounds once; here the rounded values are stretched and rounded again."""
    floats = np.tanh(gain * np.random.default_rng(1).normal(size=(50, 3, 8, 8)))
    eight_bits = torch.from_numpy(np.rint((floats + 1) * 127.5).astype(np.uint8))
    stretched, expected = apply_codec(eight_bits, "min_max").numpy(), mimicrys(floats)
    levels = np.abs(stretched.astype(int) - expected.astype(int)).max()
    assert stretched.min() == expected.min() == 0
    assert stretched.max() == expected.max() == 255
    used = int(eight_bits.max()) - int(eight_bits.min())
    assert levels <= 0.5 + 255 / used, "half a level of the narrow range, stretched, and the rounding to whole levels"


def test_min_max_returns_a_batch_that_has_the_full_range_or_a_single_value_itself():
    full = torch.tensor([0, 7, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    flat = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    assert apply_codec(full, "min_max") is full
    assert apply_codec(flat, "min_max") is flat


def test_min_max_depends_on_the_whole_batch():
    dark, bright = (torch.full((1, 1, 1, 1), value, dtype=torch.uint8) for value in (100, 200))
    assert apply_codec(torch.cat([dark, bright]), "min_max").flatten().tolist() == [0, 255]


def test_three_digits_as_one_colour_image_lose_more_than_three_grey_images(tmp_path):
    """MS-09: RGB becomes luma and chroma, and chroma is halved, so independent channels bleed into each other."""
    train, _, _ = StackedDigits.read(tmp_path)
    digits = torch.from_numpy(np.kron(train.images[:90], np.ones((1, 1, 4, 4), np.uint8)))[:, :, 2:30, 2:30]
    together = digits.reshape(30, 3, 28, 28)
    apart = digits.reshape(90, 1, 28, 28)
    lost_together, lost_apart = (
        float((apply_codec(some, "jpeg").float() - some.float()).abs().mean()) for some in (together, apart)
    )
    assert lost_together > 2 * lost_apart > 0
