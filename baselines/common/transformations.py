"""The transformations whose index a self-supervised task predicts, and batches of transformed samples.

    ROTATIONS   T_k rotates an image counter-clockwise by k times 90 degrees
    SHIFTS      T_k(x) = x + 2k on every coordinate of a point (houliangict/ssgan-la@43c307e MoG/SSGANs.ipynb)

Both are sets of four, k = 0 .. 3, of which T_0 changes nothing. The batch recipes of papers and codes, by name (SS-01):

    quarter_four_ways   N samples: a quarter of the batch, each sample in all four ways; SSGAN's paper
    each_one_way        N samples: every sample once, each quarter of the batch in another way
    each_four_ways      4N samples: every sample in all four ways
    random              N samples, drawn without replacement from the 4N
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from baselines.common import random_streams
from baselines.common.random_streams import Rng

SIZE = 4  # of every transformation set
STRIDE = 2.0  # between two shifts
BatchRecipe = Literal["quarter_four_ways", "each_one_way", "each_four_ways", "random"]
WholeBatchRecipe = Literal["each_one_way", "each_four_ways"]


class TransformedBatch(NamedTuple):
    """(M, ...) transformed samples, and the (M,) integer indices k of their transformations."""

    samples: Tensor
    labels: Tensor


class TransformationSet(ABC):
    """Transformations T_0 .. T_3 of one kind of samples. It has no state and draws no random number of its own."""

    size = SIZE

    @abstractmethod
    def apply(self, samples: Tensor, k: int) -> Tensor:
        """T_k of (N, ...) samples, for k in 0 .. 3."""

    @abstractmethod
    def apply_each(self, samples: Tensor, source: Tensor, k: Tensor) -> Tensor:
        """(M, ...): T_k[i] of sample source[i], for (M,) indices and transformations."""

    def each_four_ways(self, samples: Tensor) -> TransformedBatch:
        """Every sample in all four ways: 4N samples, T_0 of all first; labels 0..0 1..1 2..2 3..3.

        SSGAN-LA BigGAN.py:562-590, its `--all_T` batches.
        """
        labels = torch.arange(SIZE, device=samples.device).repeat_interleave(len(samples))
        return TransformedBatch(torch.cat([self.apply(samples, k) for k in range(SIZE)]), labels)

    def quarter_four_ways(self, samples: Tensor) -> TransformedBatch:
        """The last N/4 samples in all four ways: N samples.

        SSGAN's paper rotates 16 images of a batch of 64 in all four directions and adds no image to the batch
        (arXiv 1811.11212v2); compare_gan gans/ssgan.py:133-202, with R = N.
        """
        return self.each_four_ways(samples[-(len(samples) // SIZE) :])

    def each_one_way(self, samples: Tensor) -> TransformedBatch:
        """Every sample once, quarter k of the batch in way k: N samples.

        mimicry nets/ssgan/ssgan_base.py:124-178; SSGAN-LA BigGAN.py:493-531, its "fast" batches.
        """
        part = len(samples) // SIZE
        parts = [self.apply(samples[k * part : (k + 1) * part], k) for k in range(SIZE)]
        return TransformedBatch(torch.cat(parts), torch.arange(SIZE, device=samples.device).repeat_interleave(part))

    def select_candidates(self, samples: Tensor, n: int, index: Tensor) -> TransformedBatch:
        """The candidates with the (M,) indices `index`.

        Candidates are the first n samples in all four ways, in the order of `each_four_ways`, followed by the other
        samples, if there are any, as they are and with label 4. Only the selected candidates are computed.
        """
        labels = index // n
        source = index % n + n * (labels == SIZE)
        return TransformedBatch(self.apply_each(samples, source, labels % SIZE), labels)

    def mixed(self, real: Tensor, fake: Tensor, rng: Rng) -> TransformedBatch:
        """N random ones of 4N transformed real samples and N unchanged fake ones, which have label 4.

        msgan modules/imutils.py:158-200.
        """
        n = len(real)
        return self.select_candidates(torch.cat([real, fake]), n, random_indices(rng, (SIZE + 1) * n, n))

    def alike(self, recipe: BatchRecipe, batches: Sequence[Tensor], rng: Rng) -> list[TransformedBatch]:
        """The samples of each of several batches of N that a recipe selects: the same places, in the same ways.

        Only `random` draws random numbers, once for all batches (msgan modules/imutils.py:104-106).
        """
        if recipe == "random":
            n = len(batches[0])
            index = random_indices(rng, SIZE * n, n)
            return [self.select_candidates(samples, n, index) for samples in batches]
        return [getattr(self, recipe)(samples) for samples in batches]

    def batch(self, recipe: BatchRecipe, samples: Tensor, rng: Rng) -> TransformedBatch:
        """The transformed samples of a batch recipe."""
        (batch,) = self.alike(recipe, [samples], rng)
        return batch


class Rotations(TransformationSet):
    """Rotations of (N, C, S, S) images, counter-clockwise by k times 90 degrees."""

    def apply(self, samples: Tensor, k: int) -> Tensor:
        """All images, rotated by k times 90 degrees."""
        return torch.rot90(samples, k, dims=(2, 3))

    def apply_each(self, samples: Tensor, source: Tensor, k: Tensor) -> Tensor:
        """(M, C, S, S): image source[i], rotated by k[i] times 90 degrees."""
        n, channels, side, _ = samples.shape
        grid = torch.arange(side * side, device=samples.device).view(side, side)
        pixel_index = torch.stack([torch.rot90(grid, r) for r in range(SIZE)]).flatten(1)[k]
        pixels = _take(samples.permute(0, 2, 3, 1).reshape(n, side * side, channels), source)
        rotated = pixels.gather(1, pixel_index[:, :, None].expand(-1, -1, channels))
        return rotated.view(-1, side, side, channels).permute(0, 3, 1, 2)


class Shifts(TransformationSet):
    """T_k(x) = x + 2k for (N, D) points."""

    def apply(self, samples: Tensor, k: int) -> Tensor:
        """All points, shifted by 2k."""
        return samples + STRIDE * k

    def apply_each(self, samples: Tensor, source: Tensor, k: Tensor) -> Tensor:
        """(M, D): point source[i], shifted by 2 k[i]."""
        return _take(samples, source) + STRIDE * k.unsqueeze(1)


ROTATIONS, SHIFTS = Rotations(), Shifts()
SETS: dict[str, TransformationSet] = {"rotations": ROTATIONS, "shifts": SHIFTS}


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """rows[index]. On a CPU the gradient of plain indexing is summed in varying order, unlike index_select's."""
    return rows[index] if rows.is_cuda else rows.index_select(0, index)


def random_indices(rng: Rng, total: int, n: int) -> Tensor:
    """(n,) of the indices 0 .. total - 1, without replacement (msgan modules/imutils.py:74-200)."""
    return random_streams.permutation(rng, total)[:n]


def real_class_logits(class_logits: Tensor) -> Tensor:
    """(N, 4) logits of the transformations of real samples: the first four of (N, K) class logits."""
    return class_logits[:, :SIZE]


def joint_class_logits(class_logits: Tensor) -> Tensor:
    """(N, 4) scores of the transformations of real samples, from (N, 8) scores of transformation and origin.

    A real sample in way k has class 2k, a fake one class 2k + 1. The samples are known to be real, so the scores of
    fake classes are left out, as with a fifth class. Marginalising over the origin, log(exp(s_2k) + exp(s_2k+1)),
    would read hinge scores as log-probabilities.
    """
    return class_logits[:, ::2]


def check_batch_size(recipe: str, batch_size: int) -> str | None:
    """The reason why a batch recipe cannot use this batch size, or None."""
    if recipe in ("quarter_four_ways", "each_one_way") and batch_size % SIZE:
        return f"batch_size {batch_size} is not divisible by {SIZE}, the number of transformations (batches: {recipe})"
    return None
