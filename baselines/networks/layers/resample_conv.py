"""Convolutions joined with the change of size beside them: the same numbers in a fraction of the products.

A convolution and a filter that is the same everywhere can change places. A map is made twice as large by putting zeros
between its pixels and filtering, and halved by filtering and leaving out pixels; so the 3x3 convolution beside it can
be done at the smaller size, where it has a quarter of the products, and the filter after or before it. Results differ
from the two layers one after the other by rounding only. Weights are those of the plain convolution.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.layers.memory_format import channels_last

BORDERS = 16  # side from which on a bilinear doubling is worth its borders
ONEDNN_BLOCK = 16  # channels that oneDNN processes at once
SAFE_SIDE = 32  # largest map whose strided 1x1 convolution is left to oneDNN, whatever its channels


class UpConv(nn.Conv2d):
    """The maps at twice the side, and a 3x3 convolution of them.

    `upsampling`: `nearest`, `bilinear` (both as nn.Upsample), or `zeros`, each pixel becoming the upper left of four.
    """

    def __init__(self, inputs: int, outputs: int, upsampling: str) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.upsampling = upsampling

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, 2H, 2W)."""
        if self.upsampling == "bilinear" and min(x.shape[2:]) * 2 < BORDERS:
            return super().forward(bilinear(x))
        return UP_CONVOLUTIONS[self.upsampling](x, self.weight, self.bias)


class ConvDown(nn.Conv2d):
    """A 3x3 convolution, and the mean of every 2x2 of its outputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W even -> (N, outputs, H / 2, W / 2): the means are taken first, of the inputs."""
        return F.conv2d(F.avg_pool2d(x, 2, stride=1, padding=1), self.weight, self.bias, stride=2)


class StridedPointwiseConv(nn.Conv2d):
    """A 1x1 convolution with stride 2.

    On a CPU, large maps with few channels are subsampled first and convolved without a stride. For the weight gradient
    of the strided convolution, oneDNN 3.12 (in torch 2.14) writes past its workspace if channels are last and fewer
    than a block, which corrupts the heap (oneDNN issue 6035). The two forms differ by rounding only.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, ceil(H / 2), ceil(W / 2))."""
        if x.device.type == "cpu" and self.in_channels < ONEDNN_BLOCK and max(x.shape[2:]) > SAFE_SIDE:
            return F.conv2d(channels_last(x[:, :, ::2, ::2]), self.weight, self.bias)
        return super().forward(x)


def bilinear(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), as nn.Upsample(scale_factor=2, mode="bilinear")."""
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def transposed(weight: Tensor) -> Tensor:
    """The weight with which a transposed convolution spreads what a convolution with this one gathers."""
    return weight.flip(2, 3).transpose(0, 1)


def zeros_then_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Each pixel the upper left of four, the others 0, then the convolution: a transposed one."""
    return F.conv_transpose2d(x, transposed(weight), bias, stride=2, padding=1, output_padding=1)


def nearest_then_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Each pixel four times, then the convolution: a transposed one, whose 4x4 weight has the sums of neighbours."""
    summed = F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, stride=1, divisor_override=1)
    return F.conv_transpose2d(x, transposed(summed), bias, stride=2, padding=1)


def bilinear_then_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Twice the side by linear interpolation, then the convolution.

    Interpolation is zeros between the pixels, the outermost repeated, and the filter (1, 3, 3, 1) / 4 either way. The
    filter comes last here. Then the convolution has seen the outermost pixels once more beyond the border, where it
    should have seen zeros: what that gave along the four sides is taken away.
    """
    spread = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), transposed(weight), stride=2, padding=1)
    # 1/4, 3/4, 3/4, 1/4; from a list of the host's a GPU would have to copy it, which is waited for
    ramp = 1 - torch.arange(-1.5, 2, dtype=spread.dtype, device=spread.device).abs() / 2
    each = torch.outer(ramp, ramp).expand(weight.shape[0], 1, 4, 4)
    # torch would reckon the filter's gradient too, slowly, to have that of a bias beside it
    known = None if bias is None else bias.detach()
    found = F.conv2d(spread, each.to(spread.dtype), known, groups=weight.shape[0])
    return _Without.apply(found, bias, *_beyond(x, weight))  # type: ignore[no-any-return]


def _beyond(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a border of repeated pixels gives to the upper and lower rows, and then to the left and right columns."""
    rows = F.interpolate(x[:, :, :: x.shape[2] - 1], scale_factor=(1, 2), mode="bilinear")
    rows = F.pad(rows, (1, 1, 0, 0), mode="replicate")
    # columns lie down as rows meanwhile: convolutions of maps that are one pixel wide are slow
    columns = F.interpolate(x[..., :: x.shape[3] - 1].mT, scale_factor=(1, 2), mode="bilinear")
    turned = weight.mT
    return (
        F.conv2d(rows[:, :, :1], weight[:, :, :1]),
        F.conv2d(rows[:, :, 1:], weight[:, :, 2:]),
        F.conv2d(columns[:, :, :1], turned[:, :, :1], padding=(0, 1)).mT,
        F.conv2d(columns[:, :, 1:], turned[:, :, 2:], padding=(0, 1)).mT,
    )


class _Without(torch.autograd.Function):
    """Takes rows and columns away from the four sides, in place. Slices assigned to would copy all gradients.

    `bias` was added before, without its gradient, which it gets here.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, bias: Tensor | None, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor
    ) -> Tensor:
        ctx.mark_dirty(maps)
        ctx.of_bias = None if bias is None else bias.dtype
        maps[:, :, :1] -= top
        maps[:, :, -1:] -= bottom
        maps[..., :1] -= left
        maps[..., -1:] -= right
        return maps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        of_bias = g.sum((0, 2, 3), dtype=ctx.of_bias) if ctx.needs_input_grad[1] else None
        return g, of_bias, -g[:, :, :1], -g[:, :, -1:], -g[..., :1], -g[..., -1:]


UP_CONVOLUTIONS = {"zeros": zeros_then_conv, "nearest": nearest_then_conv, "bilinear": bilinear_then_conv}
