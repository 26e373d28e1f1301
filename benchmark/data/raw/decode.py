"""Any image file becomes 8-bit RGB pixels, cropped and resized by Pillow.

Transparency is dropped and the colours below it are kept, as `Image.convert("RGB")` does and with it torchvision's
ImageFolder. Orientation tags (EXIF) are left alone: pixels are taken as they are stored. Of an animation the first
picture is taken.
"""

import io
import math
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmark.core.errors import UserError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# decoders that are tried, whatever the name ends in; the others of Pillow read no photographs, or start programs
# pixels of a picture in memory, four bytes each; more is Pillow's sign of a file that was made to exhaust it
LIMIT = Image.MAX_IMAGE_PIXELS or 2**26
RESIZED_LIMIT = 2**24  # pixels of one that was resized and is not cropped yet
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def decode(content: bytes, where: str) -> Image.Image:
    """The RGB picture in an image file. Raises UserError, naming `where` it is: when it is damaged, none, too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on odd metadata
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > LIMIT:  # as its header says; no pixel was decoded yet
                raise Image.DecompressionBombError
            picture.load()
            return _rgb(picture)
    except UnidentifiedImageError:
        reason = "it is no image, or of no known format"
    except Image.DecompressionBombError:
        raise UserError(f"{where}: has more than {LIMIT:,} pixels; make it smaller, or remove it") from None
    except Exception as error:  # damaged bytes make Pillow raise nearly anything
        reason = str(error) or type(error).__name__
    raise UserError(f"{where}: cannot be read as an image: {reason}; replace or remove it")


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        return _high_bytes(np.asarray(picture)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, and nobody says which one is white")
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")  # Pillow asks for this step where entries of a palette are transparent
    return picture.convert("RGB")


def _high_bytes(grey: np.ndarray) -> Image.Image:
    """16-bit grey as 8 bits. `convert` would cut off whatever is above 255."""
    if grey.min() < 0 or grey.max() > 65_535:
        raise ValueError("its pixels have more than 16 bits")
    return Image.fromarray((grey >> 8).astype(np.uint8))


def pixels(picture: Image.Image) -> np.ndarray:
    """uint8 (3, H, W) of an RGB picture."""
    return np.asarray(picture).transpose(2, 0, 1)


def centre_crop(picture: Image.Image, size: int, where: str) -> Image.Image:
    """The square of `size` pixels in the middle. Raises UserError when the picture is smaller."""
    width, height = picture.size
    if min(width, height) < size:
        raise UserError(f"{where}: is {width}x{height}, at least {size}x{size} is needed; replace it with the original")
    left, top = round((width - size) / 2), round((height - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def resize(picture: Image.Image, size: int) -> Image.Image:
    """Of `size` x `size` pixels, bilinear; made smaller, each pixel is a mean over all that it covers."""
    return picture.resize((size, size), Image.Resampling.BILINEAR)


def fill(picture: Image.Image, size: int, where: str) -> Image.Image:
    """The smaller side resized to `size`, then the centre: torchvision's Resize and CenterCrop.

    Raises UserError for a picture so thin that its longer side would be resized to millions of pixels.
    """
    width, height = picture.size
    short = min(width, height)
    wanted = (int(size * width / short), int(size * height / short))
    if math.prod(wanted) > RESIZED_LIMIT:
        raise UserError(f"{where}: is {width}x{height}, too thin to be made {size}x{size}; crop it, or remove it")
    return centre_crop(picture.resize(wanted, Image.Resampling.BILINEAR), size, where)
