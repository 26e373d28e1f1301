"""Sampling of training batches from stored images or points, with their labels.

A random generator on the CPU chooses the images. Where the images are stored and on which device they are needed only
changes the speed: the same state of the generator gives bit-identical batches.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import cycle
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.data.epochs import Epochs

GPU_SHARE = 0.5  # share of a GPU's free memory that images may use
FIXED_STACKS_SEED = 2018
MASKED_LABELS_SEED = 2019

Range = tuple[float, float] | None  # of a network's images; None for points, which are not scaled
Sampling = Literal["with_replacement", "epochs"]
IndexGenerator = torch.Generator | Epochs


class Batch(NamedTuple):
    """Stored images, uint8 (N, C, H, W), or points, float32 (N, D).

    `labels` are int64 (N,), -1 for no label; None if labels are not used.
    """

    images: Tensor
    labels: Tensor | None


class IndexSampler:
    """Samples indices of stored images, `with_replacement` or in `epochs` without.

    Each sample consists of `stacked` images. With `num_fixed_stacks` > 0 there are only so many different samples.
    """

    def __init__(
        self, num_images: int, stacked: int, num_fixed_stacks: int = 0, sampling: Sampling = "with_replacement"
    ) -> None:
        self.stacked, self.sampling = stacked, sampling
        self.size = num_fixed_stacks or num_images
        self.fixed_stacks: Tensor | None = None
        if num_fixed_stacks:
            rng = torch.Generator().manual_seed(FIXED_STACKS_SEED)
            self.fixed_stacks = torch.randint(num_images, (num_fixed_stacks, stacked), generator=rng)

    def generator(self, seed: int) -> IndexGenerator:
        """A new generator for `sample`."""
        return Epochs(self.size, seed) if self.sampling == "epochs" else torch.Generator().manual_seed(seed)

    def sample(self, n: int, rng: IndexGenerator) -> Tensor:
        """(n * stacked,) indices on the CPU."""
        n = n if self.fixed_stacks is not None else n * self.stacked
        indices = rng.next(n) if isinstance(rng, Epochs) else torch.randint(self.size, (n,), generator=rng)
        return indices if self.fixed_stacks is None else self.fixed_stacks[indices].flatten()


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy without waiting for a GPU. torch keeps pinned memory until it has been copied."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class DeviceImages:
    """Stored images or points in the memory of the device; on the CPU the array itself, without a copy."""

    def __init__(self, images: Tensor, indices: IndexSampler, device: torch.device) -> None:
        self.images, self.indices = images.to(device), indices

    def draw(self, n: int, *rngs: IndexGenerator) -> tuple[Tensor, Tensor]:
        """The stored images of n samples for each generator in turn, and their indices, both on the device."""
        indices = _to_device(torch.cat([self.indices.sample(n, rng) for rng in rngs]), self.images.device)
        return self.images.index_select(0, indices), indices


class PrefetchingImages:
    """Stored images or points in the memory of the host. A thread fetches the next batch during training.

    The thread samples indices, gathers the images into pinned memory and starts their copy to the device in a CUDA
    stream of its own. It uses a copy of the generator: the caller's generator always has the state that it would have
    with `DeviceImages`, so a checkpoint can be written at any time. A fetched batch is used if the next draw has the
    same size and starts from the expected state, and discarded otherwise.

    The thread ends with the object.
    """

    def __init__(self, images: Tensor, indices: IndexSampler, device: torch.device) -> None:
        self.device = device
        self.fetcher = _Fetcher(images, indices, device)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="gather")
        self.pending: _PendingBatch | None = None

    def draw(self, n: int, rng: IndexGenerator) -> tuple[Tensor, Tensor]:
        """As `DeviceImages.draw`. Raises what the thread raised; the generator then keeps its state."""
        state = rng.get_state()
        pending, self.pending = self.pending, None
        if pending is None or pending.n != n or not torch.equal(pending.state, state):
            pending = self._fetch(n, state)
        batch = pending.future.result()
        rng.set_state(batch.next_state)
        self.pending = self._fetch(n, batch.next_state)
        if batch.copied is not None:
            training_stream = torch.cuda.current_stream(self.device)
            training_stream.wait_event(batch.copied)
            batch.images.record_stream(training_stream)
            batch.indices.record_stream(training_stream)
        return batch.images, batch.indices

    def _fetch(self, n: int, state: Tensor) -> "_PendingBatch":
        return _PendingBatch(n, state, self.thread.submit(self.fetcher.fetch, n, state))


class _FetchedBatch(NamedTuple):
    """Images and indices on the device, the generator's state after sampling, and the event that ends the copy."""

    images: Tensor
    indices: Tensor
    next_state: Tensor
    copied: torch.cuda.Event | None


class _PendingBatch(NamedTuple):
    """A batch of n samples that is being fetched, starting from this state of the generator."""

    n: int
    state: Tensor
    future: Future[_FetchedBatch]


@dataclass
class _Buffer:
    """Host memory for one batch, and the event that ends its copy to the device."""

    memory: Tensor
    copied: torch.cuda.Event | None = None


class _Fetcher:
    """The work of the thread of a `PrefetchingImages`. Only that thread uses it."""

    def __init__(self, images: Tensor, indices: IndexSampler, device: torch.device) -> None:
        self.images, self.indices, self.device = images, indices, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        # Two buffers in turn: one may still be copied to the device while the other is filled.
        self.buffers = cycle([_Buffer(images[:0]), _Buffer(images[:0])])
        self.rng = indices.generator(seed=0)

    def fetch(self, n: int, state: Tensor) -> _FetchedBatch:
        """The batch that a generator in this state chooses."""
        self.rng.set_state(state)
        indices = self.indices.sample(n, self.rng)
        buffer = self.gather(indices)
        with torch.cuda.stream(self.stream) if self.stream else nullcontext():
            images = buffer.memory.to(self.device, non_blocking=True, copy=True)
            device_indices = _to_device(indices, self.device)
            buffer.copied = self.stream.record_event() if self.stream else None
        return _FetchedBatch(images, device_indices, self.rng.get_state(), buffer.copied)

    def gather(self, indices: Tensor) -> _Buffer:
        """The next buffer, filled after the device has finished reading it."""
        buffer = next(self.buffers)
        if buffer.copied is not None:
            buffer.copied.synchronize()
        if len(buffer.memory) != len(indices):
            shape = (len(indices), *self.images.shape[1:])
            buffer.memory = torch.empty(shape, dtype=self.images.dtype, pin_memory=self.stream is not None)
        torch.index_select(self.images, 0, indices, out=buffer.memory)
        return buffer


def fits_on_device(size: int, device: torch.device) -> bool:
    """Whether `size` bytes of images may be kept in the memory of the device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size <= GPU_SHARE * free


class ImageSampler:
    """Samples training batches: from the memory of the device if the images fit, else prefetched from the host.

    With `stacked` = k, every training image has k channels: k draws of a one-channel image, which are independent if
    they are with replacement (MSGAN modules/mnist.py:5-25). Its label is the number with the k labels as digits,
    100 R + 10 G + B for three digits; it has one only if all its parts do.

    Args:
        images: uint8 (N, C, H, W) or float32 (N, D), such as a memory map. On a CPU only drawn images are read.
        stacked: how many stored images form a training image.
        device: where batches are needed.
        labels: (N,) labels of the stored images, -1 for no label; None if labels are not used.
        num_labels: the number of classes of the stored images.
        num_fixed_stacks: how many different stacks there are, the same for all trials; 0 for no limit.
        sampling: how stored images, or fixed stacks, are drawn: `with_replacement`, or in `epochs` without.
    """

    def __init__(
        self,
        images: np.ndarray,
        stacked: int,
        device: torch.device,
        *,
        labels: np.ndarray | None = None,
        num_labels: int = 0,
        num_fixed_stacks: int = 0,
        sampling: Sampling = "with_replacement",
    ) -> None:
        stored = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        self.indices = indices = IndexSampler(len(stored), stacked, num_fixed_stacks, sampling)
        source = DeviceImages if fits_on_device(stored.nbytes, device) else PrefetchingImages
        self.source = source(stored, indices, device)
        self.stacked = stacked
        self.labels = None if labels is None else torch.from_numpy(np.array(labels)).to(device)
        self.powers = num_labels ** torch.arange(stacked - 1, -1, -1, device=device)

    def generator(self, seed: int) -> IndexGenerator:
        """A new generator for `draw`. Its state is saved and restored as that of a `torch.Generator`."""
        return self.indices.generator(seed)

    @property
    def is_resident(self) -> bool:
        """Whether the images are in the memory of the device; only then can several generators draw at once."""
        return isinstance(self.source, DeviceImages)

    def draw(self, n: int, *rngs: IndexGenerator) -> Batch:
        """n images, chosen on the CPU by a generator from `generator`.

        With several generators, which needs resident images, n images for each of them in turn.
        """
        parts, indices = self.source.draw(n, *rngs)
        images = parts.view(-1, self.stacked * parts.shape[1], *parts.shape[2:])
        if self.labels is None:
            return Batch(images, None)
        part_labels = self.labels[indices].view(-1, self.stacked)
        labels = (part_labels * self.powers).sum(1)
        return Batch(images, torch.where((part_labels < 0).any(1), -1, labels))


def mask_labels(labels: np.ndarray, share: float, stacked: int) -> np.ndarray:
    """(N,) labels with all but a fixed random subset set to -1, so that this share of training images has a label.

    For stacks of k images, the k-th root of the share of stored images keeps its label.
    """
    order = np.random.default_rng(MASKED_LABELS_SEED).permutation(len(labels))
    known = order[: round(share ** (1 / stacked) * len(order))]
    masked = np.full(len(labels), -1, dtype=np.int64)
    masked[known] = labels[known]
    return masked


def to_range(images: Tensor, image_range: Range) -> Tensor:
    """uint8 images in [0, 255] -> float32 in the network's range; points as they are."""
    if image_range is None:
        return images
    low, high = image_range
    return images.float().mul_((high - low) / 255).add_(low)


def to_stored(images: Tensor, image_range: Range) -> Tensor:
    """Float images in the network's range -> uint8 in [0, 255], clamped and rounded; points as float32."""
    if image_range is None:
        return images.float()
    low, high = image_range
    return images.sub(low).mul_(255 / (high - low)).clamp_(0, 255).round_().to(torch.uint8)
