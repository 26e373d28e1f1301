"""Grids of samples as PNG."""

import io

from torch import Tensor


def sample_grid(images: Tensor, columns: int = 8) -> bytes:
    """uint8 (N, C, H, W) images as one PNG, without gaps so that it can be cut again."""
    from PIL import Image
    from torchvision.utils import make_grid

    grid = make_grid(images.cpu(), nrow=columns, padding=0)
    content = io.BytesIO()
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(content, format="PNG")
    return content.getvalue()
