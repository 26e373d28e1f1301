"""Sample grids: generated images side by side, as PNG."""

import io
from pathlib import Path

from torch import Tensor

from benchmark.core.files import write_atomically
from benchmark.store.workspace import sample_grid_path

GRID_IMAGES = 64  # in the grid of a record
THUMBNAILS = 16  # of them, in the small grid that is written at every evaluation


def sample_grid(images: Tensor, columns: int = 8) -> bytes:
    """uint8 (N, C, H, W) images as one PNG, without gaps, so that it can be cut into its images again."""
    from PIL import Image
    from torchvision.utils import make_grid

    grid = make_grid(images.cpu(), nrow=columns, padding=0)
    content = io.BytesIO()
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(content, format="PNG")
    return content.getvalue()


def write_thumbnails(images: Tensor, folder: Path, trial_id: str, step: int) -> None:
    """Write the small grid of an evaluation. Raises OSError if the disk refuses."""
    write_atomically(sample_grid_path(folder, trial_id, step), sample_grid(images[:THUMBNAILS], columns=4))
