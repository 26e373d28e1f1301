"""Decoding of image files in every mode, damaged files, cropping and resizing."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from torchvision.transforms import v2

from benchmark.core.errors import UserError
from benchmark.data.raw.decode import centre_crop, decode, pixels, resize, resize_and_crop

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
ALPHA = RGB[:, :, 1]


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(content):
    """(H, W, 3)."""
    image = decode(content, "x.png")
    assert image.mode == "RGB"
    return pixels(image).transpose(1, 2, 0)


def grey_as_rgb(grey):
    return np.repeat(grey[:, :, None], 3, 2)


def palette(**options):
    return encoded(Image.fromarray(RGB).quantize(200), **options)


# --- modes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_rgb_is_read_exactly_from_every_lossless_format(kind):
    assert np.array_equal(decoded(encoded(Image.fromarray(RGB), kind)), RGB)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_are_read_as_by_pillow(kind):
    content = encoded(Image.fromarray(RGB), kind)
    assert np.array_equal(decoded(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_pixels_are_channels_first():
    planes = pixels(Image.fromarray(RGB))
    assert planes.shape == (3, 20, 30)
    assert np.array_equal(planes[2], RGB[:, :, 2])


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF"])
def test_grey_is_the_same_in_all_channels(kind):
    assert np.array_equal(decoded(encoded(Image.fromarray(GREY), kind)), grey_as_rgb(GREY))


def test_black_and_white_is_0_and_255():
    content = encoded(Image.fromarray(GREY > 127))
    assert np.array_equal(decoded(content), grey_as_rgb((GREY > 127) * np.uint8(255)))


def test_transparency_is_dropped_and_colours_below_it_kept():
    assert np.array_equal(decoded(encoded(Image.fromarray(np.dstack([RGB, ALPHA])))), RGB)
    assert np.array_equal(decoded(encoded(Image.fromarray(np.dstack([GREY, ALPHA])))), grey_as_rgb(GREY))


@pytest.mark.parametrize("transparent", [{}, {"transparency": 3}, {"transparency": bytes(range(0, 200))}])
def test_palettes_become_their_colours_transparent_or_not(transparent, recwarn):
    assert np.array_equal(decoded(palette(**transparent)), decoded(palette()))
    assert np.array_equal(decoded(palette()), np.asarray(Image.fromarray(RGB).quantize(200).convert("RGB")))
    assert not recwarn


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_by_its_high_byte_and_not_clipped(kind):
    wide = GREY.astype(np.uint16) * 256 + ALPHA
    content = encoded(Image.fromarray(wide), kind)
    assert np.array_equal(decoded(content), grey_as_rgb(GREY))


def test_32_bit_grey_in_16_bits_is_read_and_more_is_refused():
    wide = GREY.astype(np.int32) * 256
    assert np.array_equal(decoded(encoded(Image.fromarray(wide), "TIFF")), grey_as_rgb(GREY))
    with pytest.raises(UserError, match="more than 16 bits"):
        decode(encoded(Image.fromarray(wide * 256), "TIFF"), "x.tif")


def test_floating_point_is_refused():
    with pytest.raises(UserError, match=r"x\.tif: .*floating-point"):
        decode(encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "x.tif")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_read_as_pillow_converts_it(kind):
    content = encoded(Image.fromarray(RGB).convert("CMYK"), kind)
    assert np.array_equal(decoded(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_orientation_tags_are_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated by 90 degrees
    plain, tagged = (encoded(Image.fromarray(RGB), "JPEG", **options) for options in ({}, {"exif": exif}))
    assert np.array_equal(decoded(plain), decoded(tagged))


def test_the_content_decides_the_format_and_not_the_suffix():
    assert np.array_equal(decode(encoded(Image.fromarray(RGB), "BMP"), "x.jpg"), RGB)


# --- damaged files -------------------------------------------------------------------------------------


def refused(content):
    with pytest.raises(UserError) as raised:
        decode(content, "some/cat.png")
    assert str(raised.value).startswith("some/cat.png: cannot be read as an image: ")
    assert "replace or remove it" in str(raised.value)
    assert "BytesIO" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x89PNG"]
)
def test_other_files_are_refused(content):
    refused(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_image_is_refused(kind, share):
    content = encoded(Image.fromarray(RGB), kind)
    refused(content[: int(share * len(content))])


@given(place=st.integers(0, 2000), value=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_gives_an_image_or_a_message(place, value):
    content = bytearray(encoded(Image.fromarray(RGB)))
    content[place % len(content)] = value
    try:
        image = decode(bytes(content), "x.png")
    except UserError:
        return
    assert image.mode == "RGB"


def test_a_decompression_bomb_that_pillow_finds_while_decoding_is_refused(monkeypatch):
    """This may happen if a frame is larger than its header says."""

    def load(image):
        raise Image.DecompressionBombError("a large frame")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(UserError, match=r"cat.png: has more than 89,478,485 pixels"):
        decode(encoded(Image.fromarray(RGB)), "cat.png")


# --- sizes ---------------------------------------------------------------------------------------------


def test_the_crop_is_central():
    image = Image.fromarray(RGB)
    assert np.array_equal(centre_crop(image, 10, "x"), RGB[5:15, 10:20])
    assert np.array_equal(centre_crop(image, 20, "x"), RGB[:, 5:25])
    with pytest.raises(UserError, match="x: is 30x20, at least 21x21 is needed"):
        centre_crop(image, 21, "x")


@given(width=st.integers(1, 150), height=st.integers(1, 150), size=st.sampled_from([8, 32, 64]))
@settings(max_examples=80, deadline=None)
def test_resize_and_crop_is_torchvisions_resize_and_centre_crop(width, height, size):
    rng = np.random.default_rng(width)
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    theirs = v2.CenterCrop(size)(v2.Resize(size)(image))
    resized = resize_and_crop(image, size, "x")
    assert resized.size == (size, size)
    assert np.array_equal(resized, theirs)


def test_downscaling_averages():
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    small = np.asarray(resize(Image.fromarray(grey_as_rgb(board.astype(np.uint8))), 8))
    assert abs(small.astype(int) - 127).max() <= 2, "without averaging a pixel would be black or white"


def header_of(width, height):
    """A PNG that has a header and no pixels: opening a file reads no more."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    shape = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", shape) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("shape", [(30_000, 30_000), (9_460, 9_460), (1, 2**31 - 1), (2**31 - 1, 1)])
def test_an_image_with_too_many_pixels_is_refused_before_one_is_decoded(monkeypatch, shape):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(UserError, match=r"here/bomb.png: has more than 89,478,485 pixels; make it smaller, or remove"):
        decode(header_of(*shape), "here/bomb.png")


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (4, 80_000_000 // 4)])
@pytest.mark.parametrize("size", [32, 64])
def test_an_image_too_thin_to_be_resized_is_refused(shape, size):
    class Thin:
        """Stands in for an image that must not be copied."""

        def __init__(self):
            self.size = shape

    with pytest.raises(UserError, match=rf"thin.png: is {shape[0]}x{shape[1]}, too thin for {size}x{size}"):
        resize_and_crop(Thin(), size, "thin.png")


@pytest.mark.parametrize("shape", [(1, 4_000), (4_000, 1), (5, 7_000)])
def test_a_thin_image_is_resized_as_torchvision_does(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (shape[1], shape[0], 3), dtype=np.uint8)
    resized = resize_and_crop(Image.fromarray(pixels), 32, "thin.png")
    expected = v2.Compose([v2.Resize(32), v2.CenterCrop(32)])(Image.fromarray(pixels))
    assert np.array_equal(resized, expected)
