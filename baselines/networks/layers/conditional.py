"""Layers that also receive a condition, and the batch norms of a generator."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from baselines.networks.layers.memory_format import channels_last


class Conditional(nn.Module):
    """A layer with a second input: (N,) conditions, or whatever else its maps are to be modulated by."""


class ConditionalSequential(nn.Sequential, Conditional):
    """Layers one after the other; the conditional ones among them get the condition."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The last layer's output."""
        for layer in self:
            x = layer(x, condition) if isinstance(layer, Conditional) else layer(x)
        return x


class ConditionalBatchNorm(Conditional):
    """Batch norm whose scale and shift belong to the condition (Dumoulin et al. 2017; de Vries et al. 2017).

    Scales start from a normal distribution of mean 1 and deviation 0.02, shifts from 0 (mimicry modules/layers.py,
    ConditionalBatchNorm2d). `norm`: a batch norm without weights of its own.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, num_conditions: int) -> None:
        super().__init__()
        self.norm = norm
        self.scale = nn.Embedding(num_conditions, norm.num_features)
        self.shift = nn.Embedding(num_conditions, norm.num_features)
        nn.init.normal_(self.scale.weight, 1.0, 0.02)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, C, ...) maps, (N,) conditions -> (N, C, ...)."""
        return affine_modulate(self.norm(x), self.scale(condition), self.shift(condition))


def affine_modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(N, C, ...) maps times (N, C) scales plus (N, C) shifts."""
    maps = (*scale.shape, *(1 for _ in x.shape[2:]))
    return x * scale.view(maps).to(x.dtype) + shift.view(maps).to(x.dtype)


Norm = Callable[[int], nn.Module]


def batch_norms(num_conditions: int, kind: Any = nn.BatchNorm2d, **settings: float) -> Norm:
    """What makes the batch norm of so many channels: a conditional one where there are conditions."""
    if not num_conditions:
        return partial(kind, **settings)
    return lambda channels: ConditionalBatchNorm(kind(channels, affine=False, **settings), num_conditions)


class Reshape(nn.Module):
    """(N, anything) -> (N, *shape)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Reshape all but the first axis; maps come with their channels last."""
        found = torch.reshape(x, (len(x), *self.shape))
        return channels_last(found) if found.ndim == 4 else found
