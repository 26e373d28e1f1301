"""What a protocol does to real and generated 8-bit images before a metric; points have no codec."""

import io

import numpy as np
import torch
from torch import Tensor


def apply_codec(images: Tensor, codec: str) -> Tensor:
    """The images as a metric sees them.

    Args:
        images: uint8 (N, C, H, W); one channel is grey, three are RGB. Points (N, D) have the codec `none`.
        codec: `none` returns the images themselves. `jpeg` encodes and decodes with Pillow's defaults, quality 75 and
            chroma halved in both directions; skimage.io.imsave, with which the released codes wrote, gives the same
            pixels (MS-08, MS-09). `min_max` stretches the batch from its own darkest and brightest value to 0 and 255.
            mimicry's Inception Score does so from floats, in batches of 50 (torch_mimicry/metrics/compute_is.py:15-39).

    Returns:
        uint8 images of the same shape, on the same device.
    """
    if codec == "none":
        return images
    if codec == "min_max":
        return _stretch(images)
    arrays = images.permute(0, 2, 3, 1).cpu().numpy()
    return torch.from_numpy(np.stack([_jpeg(array) for array in arrays])).permute(0, 3, 1, 2).to(images.device)


def _stretch(images: Tensor) -> Tensor:
    """One batch, whose darkest value becomes 0 and brightest 255; the same batch if they are, or are equal."""
    low, high = (int(bound) for bound in torch.aminmax(images))
    if low == high or (low, high) == (0, 255):
        return images
    return images.float().sub_(low).mul_(255 / (high - low)).round_().to(torch.uint8)


def _jpeg(image: np.ndarray) -> np.ndarray:
    """One uint8 (H, W, C) image."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(file, "JPEG")
    return np.asarray(Image.open(file)).reshape(image.shape)
