"""3x3 convolutions fused with the resampling beside them, with a fraction of the multiplications.

A convolution commutes with a filter that is the same at every position. Upsampling by 2 inserts zeros between pixels
and filters; downsampling by 2 filters and drops pixels. The 3x3 convolution beside it can therefore run at the smaller
resolution, with a quarter of the multiplications, and the filter runs before or after it. Every layer here equals the
two separate layers up to rounding, and its weights are those of the plain convolution.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.layers.memory_format import channels_last

MIN_FUSED_SIDE = 16  # output side from which on the fused bilinear form is worth the correction of its borders
ONEDNN_BLOCK = 16  # channels that oneDNN processes at once


class UpConv(nn.Conv2d):
    """Upsampling by 2 followed by a 3x3 convolution.

    `upsampling`: `nearest` or `bilinear` (both as nn.Upsample), or `zeros`, where every pixel becomes the upper left
    one of four and the others are 0.
    """

    def __init__(self, inputs: int, outputs: int, upsampling: str) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.upsampling = upsampling

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, 2H, 2W)."""
        if self.upsampling == "bilinear" and min(x.shape[2:]) * 2 < MIN_FUSED_SIDE:
            return super().forward(F.interpolate(x, scale_factor=2, mode="bilinear"))
        return UP_CONVOLUTIONS[self.upsampling](x, self.weight, self.bias)


class ConvDown(nn.Conv2d):
    """A 3x3 convolution followed by 2x2 average pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W even -> (N, outputs, H / 2, W / 2). The inputs are averaged, then convolved."""
        return F.conv2d(F.avg_pool2d(x, 2, stride=1, padding=1), self.weight, self.bias, stride=2)


class StridedPointwiseConv(nn.Conv2d):
    """A 1x1 convolution with stride 2.

    On a CPU, maps with few channels are subsampled first and convolved without a stride. For the weight gradient of the
    strided convolution, oneDNN 3.12 (in torch 2.14) writes past its workspace if channels are last and fewer than a
    block, which corrupts the heap (oneDNN issue 6035). From which side on depends on the processor: 3 channels of 32x32
    suffice on an AMD EPYC. The two forms differ by rounding only.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, stride=2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, ceil(H / 2), ceil(W / 2))."""
        if x.device.type == "cpu" and self.in_channels < ONEDNN_BLOCK:
            return F.conv2d(channels_last(x[:, :, ::2, ::2]), self.weight, self.bias)
        return super().forward(x)


def transposed_kernel(weight: Tensor) -> Tensor:
    """The kernel with which a stride-1 transposed convolution equals the convolution with `weight`."""
    return weight.flip(2, 3).transpose(0, 1)


def zeros_up_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Zero insertion, then the convolution: one transposed convolution with stride 2."""
    return F.conv_transpose2d(x, transposed_kernel(weight), bias, stride=2, padding=1, output_padding=1)


def nearest_up_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Nearest-neighbour upsampling, then the convolution: one transposed convolution.

    Its 4x4 kernel holds the sums of 2x2 neighbouring taps.
    """
    summed = F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, stride=1, divisor_override=1)
    return F.conv_transpose2d(x, transposed_kernel(summed), bias, stride=2, padding=1)


def bilinear_up_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Bilinear upsampling, then the convolution.

    Bilinear upsampling repeats the outermost pixels, inserts zeros and filters with (1, 3, 3, 1) / 4 along each axis.
    Here the convolution runs before the filter. It then sees the repeated pixels beyond the border, where the plain
    convolution sees its zero padding; the contribution of these pixels along the four sides is subtracted at the end.
    """
    spread = F.conv_transpose2d(
        F.pad(x, (1, 1, 1, 1), mode="replicate"), transposed_kernel(weight), stride=2, padding=1
    )
    # 1/4, 3/4, 3/4, 1/4, computed on the device: copying a list from the host would wait for the GPU
    ramp = 1 - torch.arange(-1.5, 2, dtype=spread.dtype, device=spread.device).abs() / 2
    kernel = torch.outer(ramp, ramp).expand(weight.shape[0], 1, 4, 4)
    # the bias is detached and gets its gradient in _SubtractBorders; else torch also computes the filter's, slowly
    constant_bias = None if bias is None else bias.detach()
    filtered = F.conv2d(spread, kernel.to(spread.dtype), constant_bias, groups=weight.shape[0])
    return _SubtractBorders.apply(filtered, bias, *_border_contributions(x, weight))  # type: ignore[no-any-return]


def _border_contributions(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What repeated border pixels contribute to the top and bottom rows and to the left and right columns."""
    rows = F.interpolate(x[:, :, :: x.shape[2] - 1], scale_factor=(1, 2), mode="bilinear")
    rows = F.pad(rows, (1, 1, 0, 0), mode="replicate")
    # columns are transposed to rows, because convolutions of maps that are one pixel wide are slow
    columns = F.interpolate(x[..., :: x.shape[3] - 1].mT, scale_factor=(1, 2), mode="bilinear")
    transposed = weight.mT
    return (
        F.conv2d(rows[:, :, :1], weight[:, :, :1]),
        F.conv2d(rows[:, :, 1:], weight[:, :, 2:]),
        F.conv2d(columns[:, :, :1], transposed[:, :, :1], padding=(0, 1)).mT,
        F.conv2d(columns[:, :, 1:], transposed[:, :, 2:], padding=(0, 1)).mT,
    )


class _SubtractBorders(torch.autograd.Function):
    """Subtract rows and columns along the four sides in place. Assignment to slices would copy all gradients.

    `bias` is already added, without its gradient, which it receives here.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, bias: Tensor | None, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor
    ) -> Tensor:
        ctx.mark_dirty(maps)
        ctx.bias_dtype = None if bias is None else bias.dtype
        maps[:, :, :1] -= top
        maps[:, :, -1:] -= bottom
        maps[..., :1] -= left
        maps[..., -1:] -= right
        return maps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        grad_bias = g.sum((0, 2, 3), dtype=ctx.bias_dtype) if ctx.needs_input_grad[1] else None
        return g, grad_bias, -g[:, :, :1], -g[:, :, -1:], -g[..., :1], -g[..., -1:]


UP_CONVOLUTIONS = {"zeros": zeros_up_conv, "nearest": nearest_up_conv, "bilinear": bilinear_up_conv}
