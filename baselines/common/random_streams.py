"""Random numbers of a loss: from a trial's own stream, or, where several trials are trained as one, from each one's.

Methods draw through these functions alone. Then a trial that is trained beside others draws the very numbers that it
would have drawn by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class SeedStreams:
    """The streams of several trials. `place`: which of them is meant, inside `torch.func.vmap` over all of them."""

    each: tuple[torch.Generator, ...]
    place: Tensor

    @property
    def device(self) -> torch.device:
        """Where all of them draw."""
        return self.each[0].device


Rng = torch.Generator | SeedStreams


def uniform(rng: Rng, *shape: int) -> Tensor:
    """Uniform on [0, 1)."""
    return _drawn(rng, torch.rand, *shape)


def normal(rng: Rng, *shape: int) -> Tensor:
    """Standard normal."""
    return _drawn(rng, torch.randn, *shape)


def integers(rng: Rng, below: int, n: int) -> Tensor:
    """(n,) uniform on 0 .. below - 1."""
    return _drawn(rng, torch.randint, below, (n,))


def permutation(rng: Rng, n: int) -> Tensor:
    """(n,) the numbers 0 .. n - 1 in random order."""
    return _drawn(rng, torch.randperm, n)


def _drawn(rng: Rng, draw: Callable[..., Tensor], *arguments: Any) -> Tensor:
    if isinstance(rng, torch.Generator):
        return draw(*arguments, generator=rng, device=rng.device)
    found: Tensor = _Each.apply(rng.place, rng.each, draw, arguments)
    return found


class _Each(torch.autograd.Function):
    """One draw from every stream, as `vmap` wants it: it knows nothing of streams."""

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        """Only inside `vmap`."""
        del arguments
        raise RuntimeError("several streams are drawn from inside torch.func.vmap alone")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: nothing learns from random numbers."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, place: Tensor, streams: Any, draw: Any, arguments: Any) -> tuple[Tensor, int]:
        """(S, ...) from S streams."""
        del info, in_dims, place
        return torch.stack([draw(*arguments, generator=rng, device=rng.device) for rng in streams]), 0
