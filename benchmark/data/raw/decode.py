"""Decoding of image files to 8-bit RGB pixels, cropping and resizing, all by Pillow.

Transparency is dropped and the colours below it are kept, as in `Image.convert("RGB")` and torchvision's ImageFolder.
EXIF orientation is ignored. Of an animation the first frame is used.
"""

import io
import math
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmark.core.errors import UserError

ENDINGS = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Decoders to try, whatever the ending of the name. Pillow's others decode no photographs, or start programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LIMIT = Image.MAX_IMAGE_PIXELS or 2**26  # pixels of an image; Pillow treats more as a decompression bomb
RESIZED_LIMIT = 2**24  # pixels of an image that is resized and not yet cropped


def decode(content: bytes, where: str) -> Image.Image:
    """The RGB image in an image file. Raises UserError, naming the file `where`, if it is damaged or too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual metadata
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            if image.width * image.height > LIMIT:  # according to the header; no pixel is decoded yet
                raise Image.DecompressionBombError
            image.load()
            return _rgb(image)
    except UnidentifiedImageError:
        reason = "it is not an image of a known format"
    except Image.DecompressionBombError:
        raise UserError(f"{where}: has more than {LIMIT:,} pixels; make it smaller, or remove it") from None
    except Exception as error:  # damaged files make Pillow raise nearly any type
        reason = str(error) or type(error).__name__
    raise UserError(f"{where}: cannot be read as an image: {reason}; replace or remove it")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _high_bytes(np.asarray(image)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose value for white is unknown")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Pillow needs this step if entries of the palette are transparent
    return image.convert("RGB")


def _high_bytes(grey: np.ndarray) -> Image.Image:
    """16-bit grey as 8 bits. `convert` would clip at 255."""
    if grey.min() < 0 or grey.max() > 65_535:
        raise ValueError("its pixels have more than 16 bits")
    return Image.fromarray((grey >> 8).astype(np.uint8))


def pixels(image: Image.Image) -> np.ndarray:
    """uint8 (3, H, W) of an RGB image."""
    return np.asarray(image).transpose(2, 0, 1)


def centre_crop(image: Image.Image, size: int, where: str) -> Image.Image:
    """The central square of `size` pixels. Raises UserError if the image is smaller."""
    width, height = image.size
    if min(width, height) < size:
        raise UserError(f"{where}: is {width}x{height}, at least {size}x{size} is needed; replace it with the original")
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def resize(image: Image.Image, size: int) -> Image.Image:
    """The image at `size` x `size` pixels by bilinear interpolation, antialiased when it becomes smaller."""
    return image.resize((size, size), Image.Resampling.BILINEAR)


def resize_and_crop(image: Image.Image, size: int, where: str) -> Image.Image:
    """The smaller side resized to `size`, then the centre: torchvision's Resize and CenterCrop.

    Raises UserError if the image is so thin that its longer side would become millions of pixels.
    """
    width, height = image.size
    short = min(width, height)
    resized = (int(size * width / short), int(size * height / short))
    if math.prod(resized) > RESIZED_LIMIT:
        raise UserError(f"{where}: is {width}x{height}, too thin for {size}x{size}; crop it, or remove it")
    return centre_crop(image.resize(resized, Image.Resampling.BILINEAR), size, where)
