"""Rotated batches for the self-supervised tasks: the recipes of the released codes, by name (SS-01).

Rotation r turns an image counter-clockwise by r times 90 degrees. All functions take (N, C, S, S) images.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from baselines.common import random_streams
from baselines.common.random_streams import Rng

NUM_ROTATIONS = 4
BatchRecipe = Literal["subset", "quarters", "all_turns", "random"]


class RotatedBatch(NamedTuple):
    """(M, C, S, S) images and their (M,) integer labels."""

    images: Tensor
    labels: Tensor


def rotate(images: Tensor, turns: int) -> Tensor:
    """All images turned counter-clockwise by `turns` times 90 degrees."""
    return torch.rot90(images, turns, dims=(2, 3))


def all_rotations(images: Tensor) -> RotatedBatch:
    """Every image in all four turns: 4N images, first all upright ones, labels 0..0 1..1 2..2 3..3.

    SSGAN-LA BigGAN.py:562-590, its `--all_T` batches.
    """
    labels = torch.arange(NUM_ROTATIONS, device=images.device).repeat_interleave(len(images))
    return RotatedBatch(torch.cat([rotate(images, r) for r in range(NUM_ROTATIONS)]), labels)


def subset(images: Tensor) -> RotatedBatch:
    """The last N/4 images in all four turns: N images (compare_gan gans/ssgan.py:133-202, with R = N)."""
    return all_rotations(images[-(len(images) // NUM_ROTATIONS) :])


def quarter_batch(images: Tensor) -> RotatedBatch:
    """Each image once, quarter r of the batch turned r times: N images.

    mimicry nets/ssgan/ssgan_base.py:124-178; SSGAN-LA BigGAN.py:493-531, its "fast" batches.
    """
    size = len(images) // NUM_ROTATIONS
    parts = [rotate(images[r * size : (r + 1) * size], r) for r in range(NUM_ROTATIONS)]
    return RotatedBatch(torch.cat(parts), torch.arange(NUM_ROTATIONS, device=images.device).repeat_interleave(size))


def candidates(images: Tensor, n: int, index: Tensor) -> RotatedBatch:
    """Those of the candidates that `index`, (M,), names: the first n images in all four turns, in the order of
    `all_rotations`, and then the other images, if there are any, upright and with the label 4.

    Only they are turned, not all to choose among.
    """
    labels = index // n
    source = index % n + n * (labels == NUM_ROTATIONS)
    return RotatedBatch(rotate_each(images, source, labels % NUM_ROTATIONS), labels)


def rotate_each(images: Tensor, source: Tensor, turns: Tensor) -> Tensor:
    """(M, C, S, S) images: of each its place among the (N, C, S, S), and by how many turns it is turned."""
    n, channels, side, _ = images.shape
    grid = torch.arange(side * side, device=images.device).view(side, side)
    pixel = torch.stack([torch.rot90(grid, r) for r in range(NUM_ROTATIONS)]).flatten(1)[turns]
    pixels = _chosen(images.permute(0, 2, 3, 1).reshape(n, side * side, channels), source)
    found = pixels.gather(1, pixel[:, :, None].expand(-1, -1, channels))
    return found.view(-1, side, side, channels).permute(0, 3, 1, 2)


def _chosen(rows: Tensor, source: Tensor) -> Tensor:
    """rows[source], whose gradients are added up in one and the same order: on a CPU those of [] are not."""
    return rows[source] if rows.is_cuda else rows.index_select(0, source)


def random_indices(rng: Rng, of: int, n: int) -> Tensor:
    """n of so many places at random without replacement (msgan modules/imutils.py:74-200)."""
    return random_streams.permutation(rng, of)[:n]


def random_rotations(images: Tensor, rng: Rng) -> RotatedBatch:
    """N of the 4N turned images of N."""
    n = len(images)
    return candidates(images, n, random_indices(rng, NUM_ROTATIONS * n, n))


def same_rotation(real: Tensor, fake: Tensor, rng: Rng) -> tuple[RotatedBatch, RotatedBatch]:
    """The same N of the 4N turned images of N real and of N fake ones (msgan modules/imutils.py:104-106)."""
    n = len(real)
    index = random_indices(rng, NUM_ROTATIONS * n, n)
    return candidates(real, n, index), candidates(fake, n, index)


def mixed_rotations(real: Tensor, fake: Tensor, rng: Rng) -> RotatedBatch:
    """N of 4N turned real images and N upright fake ones, these with the label 4 (msgan modules/imutils.py:158-200)."""
    n = len(real)
    return candidates(torch.cat([real, fake]), n, random_indices(rng, (NUM_ROTATIONS + 1) * n, n))


RECIPES = {"subset": subset, "quarters": quarter_batch, "all_turns": all_rotations}


def batch(recipe: str, images: Tensor, rng: Rng) -> RotatedBatch:
    """The turned images of a recipe. `random`, alone to draw from the stream, is N of the 4N without replacement."""
    if recipe == "random":
        return random_rotations(images, rng)
    return RECIPES[recipe](images)


def real_rotation_logits(classes: Tensor) -> Tensor:
    """(N, 4) logits of the turns of real images, from (N, K) logits of which these are the first four."""
    return classes[:, :NUM_ROTATIONS]


def joint_rotation_logits(classes: Tensor) -> Tensor:
    """(N, 4) scores of the turns of real images, from (N, 8) of turn r and origin: real 2r, fake 2r + 1.

    Not log(exp(s_2r) + exp(s_2r+1)), which would be the turn whatever the origin: the images are known to be real, as
    with a fifth class, and scores that learnt from a hinge are no logarithms of probabilities.
    """
    return classes[:, ::2]


def check_batch_size(recipe: str, batch_size: int) -> str | None:
    """Why a batch of this size cannot be turned by this recipe, or None."""
    if recipe in ("subset", "quarters") and batch_size % NUM_ROTATIONS:
        return f"batch_size {batch_size} does not divide by {NUM_ROTATIONS}, the number of turns (batches: {recipe})"
    return None
