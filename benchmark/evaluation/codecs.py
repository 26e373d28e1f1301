"""Image codecs that a protocol applies to real and generated images before a metric."""

import io

import numpy as np
import torch
from torch import Tensor


def apply_codec(images: Tensor, codec: str) -> Tensor:
    """Encode and decode images.

    Args:
        images: uint8 (N, C, H, W); one channel is grey, three are RGB.
        codec: `none` returns the images themselves. `jpeg` uses Pillow's defaults: quality 75, chroma halved in both
            directions. The released codes wrote with skimage.io.imsave, which is taken to have used the same (MS-08,
            MS-09).

    Returns:
        uint8 images of the same shape, on the same device.
    """
    if codec == "none":
        return images
    arrays = images.permute(0, 2, 3, 1).cpu().numpy()
    return torch.from_numpy(np.stack([_jpeg(array) for array in arrays])).permute(0, 3, 1, 2).to(images.device)


def _jpeg(image: np.ndarray) -> np.ndarray:
    """One uint8 (H, W, C) image."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(file, "JPEG")
    return np.asarray(Image.open(file)).reshape(image.shape)
