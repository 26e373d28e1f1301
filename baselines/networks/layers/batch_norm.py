"""A batch norm of few channels whose backward pass is faster with several CPU threads.

Equals nn.BatchNorm2d: outputs are bit-identical, gradients differ by rounding, and parameters and buffers are the same.

torch's backward pass accumulates the sums of each channel in one array per thread. With fewer than 16 channels several
of these arrays share a cache line, for which the threads contend (false sharing). This layer instead treats LANES / C
neighbouring pixels of C channels as LANES channels, called lanes, and corrects the gradient for the difference.
"""

from typing import Any

import torch
from torch import Tensor, nn

from baselines.networks.layers.memory_format import channels_last, is_contiguous_format

LANES = 32  # channels that neighbouring pixels form together: two cache lines of float32
FEW_CHANNELS = 16  # from this number of channels on, torch's backward pass is as fast: one cache line of float32

_batch_norm = torch.ops.aten.native_batch_norm
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d with momentum and running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), normalised by batch statistics in training mode."""
        if not self._use_lanes(x):
            normalised: Tensor = super().forward(x)
            return normalised
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        settings = self.running_mean, self.running_var, self.momentum, self.eps
        return _LaneBatchNorm.apply(channels_last(x), self.weight, self.bias, *settings)  # type: ignore[no-any-return]

    def _use_lanes(self, x: Tensor) -> bool:
        on_cpu = x.device.type == "cpu" and not is_contiguous_format()
        fits = x.shape[1] < FEW_CHANNELS and LANES % x.shape[1] == 0 and x.numel() % LANES == 0
        return self.training and on_cpu and fits and torch.get_num_threads() > 1


class _LaneBatchNorm(torch.autograd.Function):
    """Batch norm of channels-last (N, C, H, W) maps, with torch's forward pass and the backward pass on lanes."""

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
        normalised: Tensor
        normalised, mean, inverse_std = _batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, inverse_std)
        ctx.eps = eps
        return normalised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (x, weight, mean, inverse_std) = gradients, ctx.saved_tensors
        needed = list(ctx.needs_input_grad[:3])
        if torch.is_grad_enabled():  # a second derivative follows, which only torch's backward supports
            grads = _batch_norm_backward(g, x, weight, None, None, mean, inverse_std, True, ctx.eps, needed)
        else:
            grads = _lane_gradients(channels_last(g), x, weight, mean, inverse_std, ctx.eps)
        return (*(grad if need else None for grad, need in zip(grads, needed, strict=True)), None, None, None, None)


def _lane_gradients(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse_std: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to (N, C, H, W) maps, (C,) weight and bias.

    Every lane is normalised by its channel's mean and variance. In the gradient, torch then subtracts means over each
    lane where means over the whole channel are correct; the last lines add the difference.
    """
    channels, lanes = x.shape[1], LANES // x.shape[1]
    scale = inverse_std if weight is None else weight * inverse_std
    weight_mean_std = [None if part is None else part.repeat(lanes) for part in (weight, mean, inverse_std)]
    grad_x, *lane_sums = _batch_norm_backward(
        _to_lanes(g), _to_lanes(x), weight_mean_std[0], None, None, *weight_mean_std[1:], True, eps, [True] * 3
    )
    lane_weight, lane_bias = (sums.view(lanes, channels) for sums in lane_sums)
    grad_weight, grad_bias = lane_weight.sum(0), lane_bias.sum(0)
    count = x.numel() // LANES
    slope = scale * inverse_std * (lane_weight - grad_weight / lanes) / count
    offset = scale * (lane_bias - grad_bias / lanes) / count - mean * slope
    grad_x.addcmul_(_to_lanes(x), _broadcast(slope, grad_x)).add_(_broadcast(offset, grad_x))
    grad_maps = grad_x.permute(0, 2, 3, 1).reshape(len(x), *x.shape[2:], channels).permute(0, 3, 1, 2)
    return grad_maps, grad_weight, grad_bias


def _to_lanes(x: Tensor) -> Tensor:
    """Channels-last (N, C, H, W) -> (N H W C / LANES, LANES, 1, 1), a view."""
    return x.permute(0, 2, 3, 1).reshape(-1, LANES, 1, 1)


def _broadcast(per_lane: Tensor, like: Tensor) -> Tensor:
    """(lanes, C) -> (LANES, 1, 1)."""
    return per_lane.reshape(LANES, 1, 1).to(like.dtype)
