"""What images pass through on their way to a metric."""

import io

import numpy as np
import torch
from torch import Tensor


def apply_codec(images: Tensor, codec: str) -> Tensor:
    """uint8 (N, C, H, W) images after being written and read back; `none` leaves them as they are.

    `jpeg`: Pillow's defaults, quality 75 and chroma halved in both directions. The released codes wrote by
    skimage.io.imsave, whose writer of then is taken to be the same (MS-08, MS-09). Images of one channel are grey, of
    three RGB.
    """
    if codec == "none":
        return images
    rows = images.permute(0, 2, 3, 1).cpu().numpy()
    return torch.from_numpy(np.stack([_jpeg(row) for row in rows])).permute(0, 3, 1, 2).to(images.device)


def _jpeg(image: np.ndarray) -> np.ndarray:
    """One uint8 (H, W, C) image."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(file, "JPEG")
    return np.asarray(Image.open(file)).reshape(image.shape)
