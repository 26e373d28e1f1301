"""The training images, drawn from by index, and their labels.

Where they are kept is a matter of speed alone: the same state of the generator gives the same images to the bit.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

GPU_SHARE = 0.5  # of a GPU's free memory may be taken by images


class Drawn(NamedTuple):
    """uint8 (N, C, H, W) images and their (N,) labels, -1 where none is given; None where none is asked for."""

    images: Tensor
    labels: Tensor | None


Choice = Callable[[], Tensor]


class Resident:
    """uint8 (N, C, H, W) images in the memory of the device; on the CPU the array itself, which is not copied."""

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self.images = images.to(device)

    def draw(self, choose: Choice) -> tuple[Tensor, Tensor]:
        """The images of the (n,) places that are chosen, and the places; both on the device."""
        index = choose().to(self.images.device)
        return self.images.index_select(0, index), index


class Gather:
    """uint8 (N, C, H, W) images in the memory of the host, gathered into a pinned buffer and sent to the device.

    Nothing is drawn ahead, so a saved generator always stands where a resident draw would have left it. On a GPU the
    work can still hide behind training: it runs in a stream of its own, which waits for no step, while the host is
    ahead of the device. Only the host waits, for the places of its images.
    """

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self.images = images
        self.device = device
        self.stream = _aside(device) if device.type == "cuda" else None
        self.buffer = images[:0]

    def draw(self, choose: Choice) -> tuple[Tensor, Tensor]:
        """What `Resident` draws."""
        if self.stream is None:
            return self._sent(choose())
        with torch.cuda.stream(self.stream):
            images, index = self._sent(choose())
        training = torch.cuda.current_stream(self.device)
        training.wait_stream(self.stream)
        images.record_stream(training)
        index.record_stream(training)
        return images, index

    def _sent(self, index: Tensor) -> tuple[Tensor, Tensor]:
        places = index.cpu()  # waits for the stream, and so until the batch before has left the buffer
        if len(self.buffer) != len(places):
            shape = (len(places), *self.images.shape[1:])
            self.buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=self.stream is not None)
        torch.index_select(self.images, 0, places, out=self.buffer)
        return self.buffer.to(self.device, non_blocking=True, copy=True), index.to(self.device)


def _aside(device: torch.device) -> torch.cuda.Stream:
    """A stream that goes before the training's: what it does is short, and the host waits for it."""
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of images may stay on the device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size <= GPU_SHARE * free


class Images:
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
        fixed: int = 0,
    ) -> None:
        stored = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        self.source = (Resident if fits(stored.nbytes, device) else Gather)(stored, device)
        self.stored, self.stacked = len(stored), stacked
        self.labels = None if labels is None else torch.from_numpy(np.array(labels)).to(device)
        self.stacks = _fixed_stacks(len(images), stacked, fixed).to(device) if fixed else None
        self.places = classes ** torch.arange(stacked - 1, -1, -1, device=device)

    def _choice(self, n: int, rng: torch.Generator) -> Tensor:
        """(n * stacked,) places of parts."""
        if self.stacks is not None:
            return self.stacks[torch.randint(len(self.stacks), (n,), generator=rng, device=rng.device)].flatten()
        return torch.randint(self.stored, (n * self.stacked,), generator=rng, device=rng.device)

    def draw(self, n: int, rng: torch.Generator) -> Drawn:
        """n images uniformly and with replacement."""
        picked, index = self.source.draw(lambda: self._choice(n, rng))
        images = picked.view(n, self.stacked * picked.shape[1], *picked.shape[2:])
        if self.labels is None:
            return Drawn(images, None)
        parts = self.labels[index].view(n, self.stacked)
        whole = (parts * self.places).sum(1)
        return Drawn(images, torch.where((parts < 0).any(1), -1, whole))


FIXED_SEED = 2018  # which stacks there are does not depend on the trial


def _fixed_stacks(images: int, stacked: int, fixed: int) -> Tensor:
    """(fixed, stacked) places of the parts of every stack."""
    return torch.randint(images, (fixed, stacked), generator=torch.Generator().manual_seed(FIXED_SEED))


LABELLED_SEED = 2019  # which images keep their label does not depend on the trial


def kept_labels(labels: np.ndarray, share: float, stacked: int) -> np.ndarray:
    """(N,) labels of stored images so that this share of training images has one, always the same; -1 elsewhere.

    Of a stacked image's parts the k-th root of the share is taken.
    """
    order = np.random.default_rng(LABELLED_SEED).permutation(len(labels))
    known = order[: round(share ** (1 / stacked) * len(order))]
    kept = np.full(len(labels), -1, dtype=np.int64)
    kept[known] = labels[known]
    return kept
