"""Batch norm of few maps, whose gradient several threads of a CPU reckon together.

torch's own adds up the channels of one pixel after the other, each thread in a place of its own. Of fewer than 16
channels several such places share a line of the cache, for which all threads wait. Here neighbouring pixels are taken
as channels of their own, and what that changes is put right. The maps themselves are torch's to the bit, gradients
differ by rounding only; parameters, buffers and what becomes of them are torch's.
"""

from typing import Any

import torch
from torch import Tensor, nn

from baselines.networks.layers.memory_format import channels_last, is_contiguous_format

LANES = 32  # channels that neighbouring pixels make together: two lines of the cache in float32
FEW = 16  # channels from which on torch's own is as fast: a line of the cache

_norm = torch.ops.aten.native_batch_norm
_norm_backward = torch.ops.aten.native_batch_norm_backward


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d with a momentum and running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, of the batch's statistics while training."""
        if not self._is_slow(x):
            found: Tensor = super().forward(x)
            return found
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        settings = self.running_mean, self.running_var, self.momentum, self.eps
        normed: Tensor = _Normed.apply(channels_last(x), self.weight, self.bias, *settings)
        return normed

    def _is_slow(self, x: Tensor) -> bool:
        on_cpu = x.device.type == "cpu" and not is_contiguous_format()
        fits = x.shape[1] < FEW and LANES % x.shape[1] == 0 and x.numel() % LANES == 0
        return self.training and on_cpu and fits and torch.get_num_threads() > 1


class _Normed(torch.autograd.Function):
    """(N, C, H, W) maps with their channels last, and settings of nn.BatchNorm2d -> (N, C, H, W)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        normed: Tensor
        normed, mean, inverse = _norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.eps = eps
        return normed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (x, weight, mean, inverse) = gradients, ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        if torch.is_grad_enabled():  # somebody differentiates this too, which torch can
            found = _norm_backward(g, x, weight, None, None, mean, inverse, True, ctx.eps, wanted)
        else:
            found = _gradients(channels_last(g), x, weight, mean, inverse, ctx.eps)
        return (*(of if want else None for of, want in zip(found, wanted, strict=True)), None, None, None, None)


def _gradients(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Of (N, C, H, W) maps, (C,) weight and bias. Every lane is normed by the mean and variance of its channel, but in
    its gradient torch takes away means over the lane alone, where it should be those over the channel.
    """
    channels, lanes = x.shape[1], LANES // x.shape[1]
    scale = inverse if weight is None else weight * inverse
    shared = [None if of is None else of.repeat(lanes) for of in (weight, mean, inverse)]
    of_x, *sums = _norm_backward(_lanes(g), _lanes(x), shared[0], None, None, *shared[1:], True, eps, [True] * 3)
    of_weight, of_bias = (of.view(lanes, channels) for of in sums)
    totals = of_weight.sum(0), of_bias.sum(0)
    count = x.numel() // LANES
    along = scale * inverse * (of_weight - totals[0] / lanes) / count
    upwards = scale * (of_bias - totals[1] / lanes) / count - mean * along
    of_x.addcmul_(_lanes(x), _of_maps(along, of_x)).add_(_of_maps(upwards, of_x))
    found = of_x.permute(0, 2, 3, 1).reshape(len(x), *x.shape[2:], channels).permute(0, 3, 1, 2)
    return found, totals[0], totals[1]


def _lanes(x: Tensor) -> Tensor:
    """(N, C, H, W) with its channels last -> (pixels, LANES, 1, 1), the same memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, LANES, 1, 1)


def _of_maps(of_channels: Tensor, like: Tensor) -> Tensor:
    """(lanes, C) -> (LANES, 1, 1)."""
    return of_channels.reshape(LANES, 1, 1).to(like.dtype)
