"""Layers with a second input, the condition, and the batch norms of conditional generators."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from baselines.networks.layers.memory_format import channels_last


class Conditional(nn.Module):
    """Base class of layers with a second input: (N,) condition indices, or (N, latent_dim) latents."""


class ConditionalSequential(nn.Sequential, Conditional):
    """nn.Sequential that also passes the condition to those of its layers that are conditional."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The last layer's output."""
        for layer in self:
            x = layer(x, condition) if isinstance(layer, Conditional) else layer(x)
        return x


class ConditionalBatchNorm(Conditional):
    """Batch norm with a scale and a shift per condition (Dumoulin et al. 2017; de Vries et al. 2017).

    Scales start from N(1, 0.02), shifts from 0 (mimicry modules/layers.py, ConditionalBatchNorm2d). `norm` is a batch
    norm without affine parameters.
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
    shape = (*scale.shape, *(1 for _ in x.shape[2:]))
    return x * scale.view(shape).to(x.dtype) + shift.view(shape).to(x.dtype)


Norm = Callable[[int], nn.Module]


def batch_norms(num_conditions: int, kind: Any = nn.BatchNorm2d, **settings: float) -> Norm:
    """A function from a number of channels to a batch norm: conditional if there are conditions, plain otherwise.

    `kind`: nn.BatchNorm1d, nn.BatchNorm2d or a subclass. `settings`: its `eps` and `momentum`.
    """
    if not num_conditions:
        return partial(kind, **settings)
    return lambda channels: ConditionalBatchNorm(kind(channels, affine=False, **settings), num_conditions)


class Reshape(nn.Module):
    """(N, ...) -> (N, *shape)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Reshape all axes but the first; feature maps get channels-last format."""
        reshaped = torch.reshape(x, (len(x), *self.shape))
        return channels_last(reshaped) if reshaped.ndim == 4 else reshaped
