"""The training images, drawn from by index, and their labels.

Which images are drawn is chosen on the host, by a generator of its own. Where they are kept, and on which device they
are needed, is a matter of speed alone: the same state of the generator gives the same images to the bit.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

GPU_SHARE = 0.5  # of a GPU's free memory may be taken by images


class Batch(NamedTuple):
    """uint8 (N, C, H, W) images and their (N,) labels, -1 where none is given; None where none is asked for."""

    images: Tensor
    labels: Tensor | None


class IndexSampler:
    """Chooses which of the stored images the parts of a batch are, uniformly and with replacement.

    With `fixed` > 0 there are so many stacks of k = `stacked` images, and of these it chooses.
    """

    def __init__(self, stored: int, stacked: int, fixed: int = 0) -> None:
        self.stored, self.stacked = stored, stacked
        self.stacks = _fixed_stacks(stored, stacked, fixed) if fixed else None

    def places(self, n: int, rng: torch.Generator) -> Tensor:
        """(n * stacked,) places on the CPU, as `rng` is."""
        if self.stacks is not None:
            return self.stacks[torch.randint(len(self.stacks), (n,), generator=rng)].flatten()
        return torch.randint(self.stored, (n * self.stacked,), generator=rng)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device. A GPU is not waited for: torch keeps the pinned memory until it was copied."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class DeviceImages:
    """uint8 (N, C, H, W) images in the memory of the device; on the CPU the array itself, which is not copied."""

    def __init__(self, images: Tensor, choice: IndexSampler, device: torch.device) -> None:
        self.images, self.choice = images.to(device), choice

    def draw(self, n: int, *rngs: torch.Generator) -> tuple[Tensor, Tensor]:
        """The stored images that n drawn ones are made of for each generator, and their places; both on the device."""
        places = _sent(torch.cat([self.choice.places(n, rng) for rng in rngs]), self.images.device)
        return self.images.index_select(0, places), places


class PrefetchingImages:
    """uint8 (N, C, H, W) images in the memory of the host; what the next draw will want is fetched meanwhile.

    A thread chooses the places, gathers the images into pinned memory and starts their copy to the device, in a stream
    of its own, while the batch before is trained on. It works with a copy of the generator: the caller's own always
    stands where a resident draw would have left it, and so can be saved at any time. What was fetched is handed over
    when the next draw is of the same size and from that very state, and dropped otherwise.

    The thread ends with the object.
    """

    def __init__(self, images: Tensor, choice: IndexSampler, device: torch.device) -> None:
        self.device = device
        self.fetcher = _Fetcher(images, choice, device)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="gather")
        self.ahead: _Ahead | None = None

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """What `DeviceImages` draws. Raises what the thread raised; the generator is then where it was."""
        before = rng.get_state()
        ahead, self.ahead = self.ahead, None
        if ahead is None or ahead.n != n or not torch.equal(ahead.before, before):
            ahead = self._fetch(n, before)
        batch = ahead.batch.result()
        rng.set_state(batch.after)
        self.ahead = self._fetch(n, batch.after)
        if batch.copied is not None:
            training = torch.cuda.current_stream(self.device)
            training.wait_event(batch.copied)
            batch.images.record_stream(training)
            batch.places.record_stream(training)
        return batch.images, batch.places

    def _fetch(self, n: int, state: Tensor) -> "_Ahead":
        return _Ahead(n, state, self.thread.submit(self.fetcher.fetch, n, state))


class _Batch(NamedTuple):
    """Images and their places on the device, the generator's state after the choice, and when the copy is done."""

    images: Tensor
    places: Tensor
    after: Tensor
    copied: torch.cuda.Event | None


class _Ahead(NamedTuple):
    """A batch under way: of so many drawn images, chosen from this state of the generator."""

    n: int
    before: Tensor
    batch: Future[_Batch]


@dataclass
class _Buffer:
    """Memory of the host for one batch, and when what is in it was copied to the device."""

    memory: Tensor
    copied: torch.cuda.Event | None = None


class _Fetcher:
    """What the thread of a `PrefetchingImages` does. Only that thread touches it."""

    def __init__(self, images: Tensor, choice: IndexSampler, device: torch.device) -> None:
        self.images, self.choice, self.device = images, choice, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        # Two in turn: one may still be on its way to the device while the other is filled.
        self.buffers = cycle([_Buffer(images[:0]), _Buffer(images[:0])])
        self.rng = torch.Generator()

    def fetch(self, n: int, state: Tensor) -> _Batch:
        """The batch that a generator in this state chooses."""
        self.rng.set_state(state)
        places = self.choice.places(n, self.rng)
        buffer = self._gathered(places)
        with torch.cuda.stream(self.stream) if self.stream else nullcontext():
            images = buffer.memory.to(self.device, non_blocking=True, copy=True)
            sent = _sent(places, self.device)
            buffer.copied = self.stream.record_event() if self.stream else None
        return _Batch(images, sent, self.rng.get_state(), buffer.copied)

    def _gathered(self, places: Tensor) -> _Buffer:
        """The next buffer, filled when the device no longer reads it."""
        buffer = next(self.buffers)
        if buffer.copied is not None:
            buffer.copied.synchronize()
        if len(buffer.memory) != len(places):
            shape = (len(places), *self.images.shape[1:])
            buffer.memory = torch.empty(shape, dtype=torch.uint8, pin_memory=self.stream is not None)
        torch.index_select(self.images, 0, places, out=buffer.memory)
        return buffer


def fits_on_device(size: int, device: torch.device) -> bool:
    """Whether so many bytes of images may stay on the device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size <= GPU_SHARE * free


class ImageSampler:
    """The training images: resident on the device where they fit, else gathered from the host.

    `images`: uint8 (N, C, H, W), such as a mapped file, of which nothing is read before it is drawn on the CPU.

    With `stacked` = k, every drawn image has k channels: k independent, uniform draws of a one-channel image
    (MSGAN modules/mnist.py:5-25). Its label is the number that the k labels write, 100 R + 10 G + B for three digits.
    With `fixed` > 0 there are so many such stacks, drawn once and the same for all trials.

    `labels`: (N,) of the stored images, -1 where none is given, each of so many `classes`. A stacked image has a label
    when all its parts have one.
    """

    def __init__(
        self,
        images: np.ndarray,
        stacked: int,
        device: torch.device,
        labels: np.ndarray | None = None,
        classes: int = 0,
        num_fixed_stacks: int = 0,
    ) -> None:
        stored = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        choice = IndexSampler(len(stored), stacked, num_fixed_stacks)
        self.source = (DeviceImages if fits_on_device(stored.nbytes, device) else PrefetchingImages)(
            stored, choice, device
        )
        self.stacked = stacked
        self.labels = None if labels is None else torch.from_numpy(np.array(labels)).to(device)
        self.powers = classes ** torch.arange(stacked - 1, -1, -1, device=device)

    @property
    def is_resident(self) -> bool:
        """Whether they are in the memory of the device, and several generators can choose at once."""
        return isinstance(self.source, DeviceImages)

    def draw(self, n: int, *rngs: torch.Generator) -> Batch:
        """n images uniformly and with replacement, as a generator on the CPU chooses them; of resident images n for
        each of several generators, one after the other.
        """
        picked, places = self.source.draw(n, *rngs)
        images = picked.view(-1, self.stacked * picked.shape[1], *picked.shape[2:])
        if self.labels is None:
            return Batch(images, None)
        parts = self.labels[places].view(-1, self.stacked)
        whole = (parts * self.powers).sum(1)
        return Batch(images, torch.where((parts < 0).any(1), -1, whole))


FIXED_SEED = 2018  # which stacks there are does not depend on the trial


def _fixed_stacks(images: int, stacked: int, fixed: int) -> Tensor:
    """(fixed, stacked) places of the parts of every stack."""
    return torch.randint(images, (fixed, stacked), generator=torch.Generator().manual_seed(FIXED_SEED))


LABELLED_SEED = 2019  # which images keep their label does not depend on the trial


def mask_labels(labels: np.ndarray, share: float, stacked: int) -> np.ndarray:
    """(N,) labels of stored images so that this share of training images has one, always the same; -1 elsewhere.

    Of a stacked image's parts the k-th root of the share is taken.
    """
    order = np.random.default_rng(LABELLED_SEED).permutation(len(labels))
    known = order[: round(share ** (1 / stacked) * len(order))]
    kept = np.full(len(labels), -1, dtype=np.int64)
    kept[known] = labels[known]
    return kept


Range = tuple[float, float]


def to_range(images: Tensor, image_range: Range) -> Tensor:
    """uint8 in [0, 255] -> float32 in the network's range."""
    low, high = image_range
    return images.float().mul_((high - low) / 255).add_(low)


def to_uint8(images: Tensor, image_range: Range) -> Tensor:
    """Float images in the network's range -> uint8, by clamp and round."""
    low, high = image_range
    return images.sub(low).mul_(255 / (high - low)).clamp_(0, 255).round_().to(torch.uint8)
