"""The sample grids of stacked digits, also of records in which a stack is an RGB image.

A training image of a stacked dataset consists of several grey images, one per channel. Grids show them side by side, as
a grey PNG. Earlier versions wrote one RGB pixel per stack, in which the digits overlap. Both hold the same numbers.
"""

import io

RECORD_COLUMNS = 8  # images in a row of a record's grid
THUMBNAIL_COLUMNS = 4  # images in a row of the grid of one evaluation


def side_by_side(png: bytes, stacked: int, columns: int) -> bytes:
    """The grid with the channels of every image side by side.

    A grid that is in this form already, of images that are not stacked, or that cannot be decoded is returned as it is.

    Args:
        png: a grid of any version; may be empty.
        stacked: how many grey images each of its images consists of.
        columns: images in a row.
    """
    if stacked == 1 or not png:
        return png
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image)
    except Exception:  # a damaged PNG raises errors of many kinds; whoever shows it handles them
        return png
    if pixels.ndim < 3 or pixels.shape[2] != stacked or pixels.shape[1] % columns:
        return png
    height, width, _ = pixels.shape
    stacks = pixels.reshape(height, columns, width // columns, stacked).swapaxes(2, 3)
    content = io.BytesIO()
    Image.fromarray(stacks.reshape(height, width * stacked)).save(content, format="PNG")
    return content.getvalue()
