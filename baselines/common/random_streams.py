"""Random numbers for losses, from the stream of one trial or from those of several trials trained as one.

Methods draw random numbers only through these functions. A trial trained together with others under `torch.func.vmap`
therefore draws the same numbers as when it is trained alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class SeedStreams:
    """The random streams of several trials, for use inside `torch.func.vmap` over the trials.

    `generators`: one per trial. `lane_index`: scalar tensor, mapped over by vmap; the index of the current trial.
    """

    generators: tuple[torch.Generator, ...]
    lane_index: Tensor

    @property
    def device(self) -> torch.device:
        """The device of all generators."""
        return self.generators[0].device


Rng = torch.Generator | SeedStreams


def uniform(rng: Rng, *shape: int) -> Tensor:
    """Uniform on [0, 1)."""
    return _sample(rng, torch.rand, *shape)


def normal(rng: Rng, *shape: int) -> Tensor:
    """Standard normal."""
    return _sample(rng, torch.randn, *shape)


def integers(rng: Rng, below: int, n: int) -> Tensor:
    """(n,) integers, uniform on 0 .. below - 1."""
    return _sample(rng, torch.randint, below, (n,))


def permutation(rng: Rng, n: int) -> Tensor:
    """(n,) a random permutation of 0 .. n - 1."""
    return _sample(rng, torch.randperm, n)


def _sample(rng: Rng, sampler: Callable[..., Tensor], *arguments: Any) -> Tensor:
    if isinstance(rng, torch.Generator):
        return sampler(*arguments, generator=rng, device=rng.device)
    samples: Tensor = _SamplePerSeed.apply(rng.lane_index, rng.generators, sampler, arguments)
    return samples


class _SamplePerSeed(torch.autograd.Function):
    """One sample from every generator. A Function with a `vmap` rule, since vmap knows no separate generators."""

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        del arguments
        raise RuntimeError("SeedStreams can be sampled only inside torch.func.vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save nothing: random numbers have no gradient."""

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, lane_index: Tensor, generators: Any, sampler: Any, arguments: Any
    ) -> tuple[Tensor, int]:
        """(S, ...) samples from S generators."""
        del info, in_dims, lane_index
        return torch.stack([sampler(*arguments, generator=rng, device=rng.device) for rng in generators]), 0
