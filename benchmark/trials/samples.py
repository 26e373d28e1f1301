"""The samples that a record keeps: a grid of generated images, as PNG, or points."""

import io
from pathlib import Path

from torch import Tensor

from benchmark.core.files import write_atomically
from benchmark.data.base import Dataset
from benchmark.store.sample_grids import RECORD_COLUMNS, THUMBNAIL_COLUMNS
from benchmark.store.workspace import sample_grid_path

GRID_IMAGES = RECORD_COLUMNS**2  # in the grid of a record
POINTS_ON_A_LINE, POINTS = 10_000, 2500  # in a record; on a line, enough for the estimate of a density
THUMBNAILS = THUMBNAIL_COLUMNS**2  # of them, in the small grid that is written at every evaluation
THUMBNAIL_HEIGHT = 32  # pixels: smaller images are enlarged, so that a viewer shows more than a stamp


def num_kept(dataset: type[Dataset]) -> int:
    """How many samples of an evaluation a record keeps: the images of its grid, or enough points for figures."""
    if not dataset.is_points:
        return GRID_IMAGES
    return POINTS_ON_A_LINE if dataset.shape == (1,) else POINTS


def sample_grid(images: Tensor, stacked: int = 1, columns: int = RECORD_COLUMNS, height: int = 1) -> bytes:
    """Images as one PNG, without gaps, so that it can be cut into its images again.

    Args:
        images: uint8 (N, C, H, W).
        stacked: how many grey images each image consists of, as its channels. More than one are shown side by side,
            and the PNG is grey.
        columns: images in a row.
        height: smaller images are enlarged to at least so many pixels, each into a square of whole pixels.
    """
    from PIL import Image
    from torchvision.utils import make_grid

    if stacked > 1:
        images = images.transpose(1, 2).flatten(2).unsqueeze(1)  # (N, 1, H, stacked * W)
    grid = make_grid(images.cpu(), nrow=columns, padding=0)
    png = Image.fromarray((grid[0] if stacked > 1 else grid.permute(1, 2, 0)).numpy())
    factor = -(-height // images.shape[2])
    if factor > 1:
        png = png.resize((png.width * factor, png.height * factor), Image.Resampling.NEAREST)
    content = io.BytesIO()
    png.save(content, format="PNG")
    return content.getvalue()


def write_thumbnails(images: Tensor, stacked: int, folder: Path, trial_id: str, step: int) -> None:
    """Write the small grid of an evaluation. Raises OSError if the disk refuses."""
    grid = sample_grid(images[:THUMBNAILS], stacked, THUMBNAIL_COLUMNS, THUMBNAIL_HEIGHT)
    write_atomically(sample_grid_path(folder, trial_id, step), grid)
