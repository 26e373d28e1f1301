"""RandAugment for batches: every image is changed by random operations of its own.

Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", NeurIPS 2020. The
operations, magnitudes and defaults (two operations of magnitude 9 of 30) are those of torchvision.transforms.v2, which
changes all images of a batch alike and draws from torch's global stream. Here every image has operations of its own,
drawn from the given stream: all candidates are computed for all images, and each image keeps one. Nothing waits for a
GPU, so that an update which augments can be captured as a CUDA graph.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from baselines.common import random_streams
from baselines.common.random_streams import Rng

WHITE = 255.0
LEVELS = 256
MAGNITUDES = 30  # the greatest magnitude
LUMA = (0.2989, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)
MOVES = ("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate")
COLOURS = ("brightness", "colour", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize")
OPERATIONS = MOVES + COLOURS


class RandAugment(nn.Module):
    """Changes each image by `count` operations, each drawn uniformly from `OPERATIONS`, with a random sign.

    Args:
        height, width: of the images, in pixels.
        count: number of operations per image.
        magnitude: strength of all operations, 0 to 30.
    """

    sources: Tensor

    def __init__(self, height: int, width: int, count: int = 2, magnitude: int = 9) -> None:
        super().__init__()
        self.count, self.share = count, magnitude / MAGNITUDES
        self.register_buffer("sources", source_pixels(height, width, self.share), persistent=False)

    def forward(self, images: Tensor, rng: Rng) -> Tensor:
        """(N, C, H, W) whole numbers of 0 to 255, in a floating-point type -> the same."""
        for _ in range(self.count):
            operations = random_streams.integers(rng, len(OPERATIONS), len(images))
            signs = random_streams.integers(rng, 2, len(images))
            images = self.apply_each(images, operations, signs)
        return images

    def apply_each(self, images: Tensor, operations: Tensor, signs: Tensor) -> Tensor:
        """Apply to each of N images its operation, an (N,) index, with its sign, (N,) 0 for minus and 1 for plus."""
        moves = operations.clamp(max=len(MOVES) - 1)
        factor = (1 + 0.9 * self.share * (2 * signs - 1)).to(images.dtype)[:, None, None, None]
        candidates = [
            move(images, self.sources[moves, signs]),
            blend(images, torch.zeros_like(images), factor),
            blend(images, grey(images).floor(), factor),
            blend(images, grey(images).floor().mean((1, 2, 3), keepdim=True), factor),
            blend(images, smooth(images), factor),
            posterize(images, 8 - round(4 * self.share)),
            torch.where(images >= WHITE * (1 - self.share), WHITE - images, images),
            autocontrast(images),
            equalize(images),
        ]
        chosen = (operations - (len(MOVES) - 1)).clamp(min=0)  # 0 for every move
        return torch.stack(candidates, 1).take_along_dim(chosen[:, None, None, None, None], 1).squeeze(1)


def source_pixels(height: int, width: int, share: float) -> Tensor:
    """(moves, 2, H W) the pixel that each pixel takes its value from, counted from 1; 0 is black.

    Every move with minus and plus `share` of its greatest magnitude, by torchvision's nearest neighbours.
    """
    from torchvision.transforms.v2 import functional  # importing it takes a second

    numbers = torch.arange(1.0, height * width + 1).view(1, height, width)

    def affine(angle: float, x: float, y: float, shear_x: float, shear_y: float, centre: list[float] | None) -> Tensor:
        shear = [math.degrees(math.atan(shear_x)), math.degrees(math.atan(shear_y))]
        moved: Tensor = functional.affine(numbers, angle, [int(x), int(y)], 1.0, shear, center=centre)
        return moved.long().flatten()

    corner = [0.0, 0.0]  # shears leave it where it is
    signed = []
    for strength in (-share, share):
        shift = 150 / 331 * strength
        moves = [affine(0, 0, 0, 0, 0, None), affine(0, 0, 0, 0.3 * strength, 0, corner)]
        moves += [affine(0, 0, 0, 0, 0.3 * strength, corner)]
        moves += [affine(0, shift * width, 0, 0, 0, None), affine(0, 0, shift * height, 0, 0, None)]
        moves += [functional.rotate(numbers, 30 * strength).long().flatten()]
        signed.append(torch.stack(moves))
    return torch.stack(signed, 1)


def move(images: Tensor, sources: Tensor) -> Tensor:
    """Give each pixel of (N, C, H, W) images the value of its source, an (N, H W) index as of `source_pixels`."""
    pixels = pad(images.flatten(2), (1, 0))
    return pixels.take_along_dim(sources.unsqueeze(1), 2).view_as(images)


def blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    """factor images + (1 - factor) others, as whole numbers of 0 to 255."""
    return (others + factor * (images - others)).clamp(0, WHITE).floor()


def grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) luma of colour images; the mean over channels of others."""
    if images.shape[1] != len(LUMA):
        return images.mean(1, keepdim=True)
    red, green, blue = (images[:, channel : channel + 1] * weight for channel, weight in enumerate(LUMA))
    return red + green + blue


def smooth(images: Tensor) -> Tensor:
    """Each pixel but those at the border averaged with its neighbours; it counts five times, they once each."""
    if min(images.shape[2:]) < 3:
        return images
    smoothed = images.clone()
    inner = smoothed[:, :, 1:-1, 1:-1]
    inner.copy_(((9 * avg_pool2d(images, 3, 1) + 4 * inner) / 13).round())
    return smoothed


def posterize(images: Tensor, bits: int) -> Tensor:
    """Keep the highest bits of each value."""
    step = 1 << (8 - bits)
    return (images / step).floor() * step


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel's values to 0 to 255; a channel of one value stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    stretched = ((images - low) / ((high - low).clamp(min=1) / WHITE)).clamp(0, WHITE).floor()
    return torch.where(high > low, stretched, images)


def equalize(images: Tensor) -> Tensor:
    """Give each channel a histogram as flat as Pillow's `ImageOps.equalize` makes it."""
    values = images.flatten(2).long()
    counts = torch.zeros_like(values[..., :1]).expand(-1, -1, LEVELS).scatter_add(2, values, torch.ones_like(values))
    highest = values.amax(2, keepdim=True)
    step = (values.shape[2] - counts.take_along_dim(highest, 2)) // (LEVELS - 1)
    below = counts.cumsum(2).take_along_dim(values, 2) - counts.take_along_dim(values, 2)  # pixels that are darker
    level = ((below + step // 2) // step.clamp(min=1)).clamp(max=LEVELS - 1)
    equalized = torch.where(step > 0, level, values)
    return equalized.to(images.dtype).view_as(images)
