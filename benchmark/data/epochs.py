"""Indices without replacement, in epochs."""

import torch
from torch import Tensor

POSITION = 8  # bytes of the position in a state


class Epochs:
    """An endless sequence of indices in [0, size): every epoch has each of them once, in a new random order.

    Like a `torch.Generator`, it has a state that can be saved and restored at any point: the state of its generator
    before the current epoch, and the position in the epoch.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._rng = torch.Generator().manual_seed(seed)
        self._start_epoch()

    def next(self, n: int) -> Tensor:
        """The next n indices, which may belong to several epochs."""
        parts = []
        while n > 0:
            if self._position == self.size:
                self._start_epoch()
            parts.append(self._order[self._position : self._position + n])
            self._position += len(parts[-1])
            n -= len(parts[-1])
        return torch.cat(parts)

    def _start_epoch(self) -> None:
        self._rng_before = self._rng.get_state()
        self._order = torch.randperm(self.size, generator=self._rng)
        self._position = 0

    def get_state(self) -> Tensor:
        """The state, as uint8."""
        return torch.cat([self._rng_before, torch.tensor([self._position]).view(torch.uint8)])

    def set_state(self, state: Tensor) -> "Epochs":
        """Continue from a state of the same size."""
        rng_before, position = state[:-POSITION], state[-POSITION:].clone()
        if not torch.equal(rng_before, self._rng_before):
            self._rng.set_state(rng_before)
            self._start_epoch()
        self._position = int(position.view(torch.int64))
        return self
