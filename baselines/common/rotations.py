"""Rotated batches for the self-supervised tasks: the batch recipes of the papers and codes, by name (SS-01).

Rotation r rotates an image counter-clockwise by r times 90 degrees. All functions take (N, C, S, S) images.

    quarter_four_ways   N images: a quarter of the batch, each image in all four rotations; SSGAN's paper
    each_one_way        N images: every image once, each quarter of the batch in another rotation
    each_four_ways      4N images: every image in all four rotations
    random              N images, drawn without replacement from the 4N
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from baselines.common import random_streams
from baselines.common.random_streams import Rng

NUM_ROTATIONS = 4
BatchRecipe = Literal["quarter_four_ways", "each_one_way", "each_four_ways", "random"]
WholeBatchRecipe = Literal["each_one_way", "each_four_ways"]


class RotatedBatch(NamedTuple):
    """(M, C, S, S) images and their (M,) integer labels."""

    images: Tensor
    labels: Tensor


def rotate(images: Tensor, rotation: int) -> Tensor:
    """All images, rotated counter-clockwise by `rotation` times 90 degrees."""
    return torch.rot90(images, rotation, dims=(2, 3))


def each_four_ways(images: Tensor) -> RotatedBatch:
    """Every image in all four rotations: 4N images, first all upright ones; labels 0..0 1..1 2..2 3..3.

    SSGAN-LA BigGAN.py:562-590, its `--all_T` batches.
    """
    labels = torch.arange(NUM_ROTATIONS, device=images.device).repeat_interleave(len(images))
    return RotatedBatch(torch.cat([rotate(images, r) for r in range(NUM_ROTATIONS)]), labels)


def quarter_four_ways(images: Tensor) -> RotatedBatch:
    """The last N/4 images in all four rotations: N images.

    SSGAN's paper rotates 16 images of a batch of 64 in all four directions and adds no image to the batch
    (arXiv 1811.11212v2); compare_gan gans/ssgan.py:133-202, with R = N.
    """
    return each_four_ways(images[-(len(images) // NUM_ROTATIONS) :])


def each_one_way(images: Tensor) -> RotatedBatch:
    """Every image once, quarter r of the batch in rotation r: N images.

    mimicry nets/ssgan/ssgan_base.py:124-178; SSGAN-LA BigGAN.py:493-531, its "fast" batches.
    """
    size = len(images) // NUM_ROTATIONS
    parts = [rotate(images[r * size : (r + 1) * size], r) for r in range(NUM_ROTATIONS)]
    return RotatedBatch(torch.cat(parts), torch.arange(NUM_ROTATIONS, device=images.device).repeat_interleave(size))


def select_candidates(images: Tensor, n: int, index: Tensor) -> RotatedBatch:
    """The candidates with the (M,) indices `index`.

    Candidates are the first n images in all four rotations, in the order of `each_four_ways`, followed by the
    other images, if there are any, upright and with label 4. Only the selected candidates are computed.
    """
    labels = index // n
    source = index % n + n * (labels == NUM_ROTATIONS)
    return RotatedBatch(rotate_each(images, source, labels % NUM_ROTATIONS), labels)


def rotate_each(images: Tensor, source: Tensor, rotation: Tensor) -> Tensor:
    """(M, C, S, S): image `source[i]`, rotated by `rotation[i]` times 90 degrees, for (M,) indices and rotations."""
    n, channels, side, _ = images.shape
    grid = torch.arange(side * side, device=images.device).view(side, side)
    pixel_index = torch.stack([torch.rot90(grid, r) for r in range(NUM_ROTATIONS)]).flatten(1)[rotation]
    pixels = _take(images.permute(0, 2, 3, 1).reshape(n, side * side, channels), source)
    rotated = pixels.gather(1, pixel_index[:, :, None].expand(-1, -1, channels))
    return rotated.view(-1, side, side, channels).permute(0, 3, 1, 2)


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """rows[index]. On a CPU the gradient of plain indexing is summed in varying order, unlike index_select's."""
    return rows[index] if rows.is_cuda else rows.index_select(0, index)


def random_indices(rng: Rng, total: int, n: int) -> Tensor:
    """(n,) of the indices 0 .. total - 1, without replacement (msgan modules/imutils.py:74-200)."""
    return random_streams.permutation(rng, total)[:n]


def mixed_rotations(real: Tensor, fake: Tensor, rng: Rng) -> RotatedBatch:
    """N random ones of 4N rotated real images and N upright fake ones; fake ones have label 4 (imutils.py:158-200)."""
    n = len(real)
    return select_candidates(torch.cat([real, fake]), n, random_indices(rng, (NUM_ROTATIONS + 1) * n, n))


RECIPES = {
    "quarter_four_ways": quarter_four_ways,
    "each_one_way": each_one_way,
    "each_four_ways": each_four_ways,
}


def rotated_alike(recipe: str, batches: Sequence[Tensor], rng: Rng) -> list[RotatedBatch]:
    """The rotated images of each of several batches of N, at the same places and in the same rotations.

    Only `random` draws random numbers, once for all batches (msgan modules/imutils.py:104-106).
    """
    if recipe != "random":
        return [RECIPES[recipe](images) for images in batches]
    n = len(batches[0])
    index = random_indices(rng, NUM_ROTATIONS * n, n)
    return [select_candidates(images, n, index) for images in batches]


def rotated_batch(recipe: str, images: Tensor, rng: Rng) -> RotatedBatch:
    """The rotated images of a batch recipe."""
    (batch,) = rotated_alike(recipe, [images], rng)
    return batch


def real_rotation_logits(class_logits: Tensor) -> Tensor:
    """(N, 4) logits of the rotations of real images: the first four of (N, K) class logits."""
    return class_logits[:, :NUM_ROTATIONS]


def joint_rotation_logits(class_logits: Tensor) -> Tensor:
    """(N, 4) scores of the rotations of real images, from (N, 8) scores of rotation and origin: real 2r, fake 2r + 1.

    The images are known to be real, so the scores of fake classes are left out, as with a fifth class. Marginalising
    over the origin, log(exp(s_2r) + exp(s_2r+1)), would read hinge scores as log-probabilities.
    """
    return class_logits[:, ::2]


def check_batch_size(recipe: str, batch_size: int) -> str | None:
    """The reason why a batch recipe cannot use this batch size, or None."""
    if recipe in ("quarter_four_ways", "each_one_way") and batch_size % NUM_ROTATIONS:
        return (
            f"batch_size {batch_size} is not divisible by {NUM_ROTATIONS}, the number of rotations (batches: {recipe})"
        )
    return None
