"""Convolutions padded as TensorFlow's SAME, stride 1 and 2, and the transpose of the latter.

Maps of few channels keep a processor's vectors half empty. So where there are few, layers of 5x5 kernels work on
*squares*: (N, 4C, H / 2, W / 2), the upper left, upper right, lower left and lower right pixel of every 2x2 one after
the other. On them a 5x5 kernel is a 3x3 one, whose stride is half as long. Where there are fewer still, they work on
*rows*: all numbers of two rows of pixels are the channels of one place, and a kernel with stride 2 is one of three
places, whatever zeros that takes. Results differ from the plain layers' by rounding only, and the parameters are those
of the plain layers.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.layers.conditional import Conditional, ConditionalSequential
from baselines.networks.layers.memory_format import channels_last, has_gradient

FEW = 16  # channels on the side of the larger maps, up to which squares are faster
SHORT = 32  # numbers of a row of outputs, up to which rows are faster: two vectors of float32


class TFSameConv2d(nn.Conv2d):
    """Output ceil(size / stride), odd padding at the far end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        if self._is_faster_on_rows(x):
            return self._on_rows(x)
        if self._is_faster_on_squares(x):
            return F.conv2d(squares(x), arranged(self.weight, downsample_kernel), self.bias, padding=1)
        left, right, top, bottom = (pad for size in (x.shape[3], x.shape[2]) for pad in self._pads(size))
        if (left, top) == (right, bottom):
            return F.conv2d(channels_last(x), self.weight, self.bias, self.stride, (top, left))
        return F.conv2d(F.pad(channels_last(x), (left, right, top, bottom)), self.weight, self.bias, self.stride)

    def _is_faster_on_rows(self, x: Tensor) -> bool:
        on_cpu = x.device.type == "cpu"  # where alone it was measured
        return on_cpu and self._halves and self.out_channels * -(-x.shape[3] // 2) <= SHORT

    def _is_faster_on_squares(self, x: Tensor) -> bool:
        """It is the gradient of a small input that takes long otherwise, and not the convolution."""
        even = x.shape[2] % 2 == x.shape[3] % 2 == 0
        return self._halves and even and has_gradient(x) and self.in_channels < FEW

    @property
    def _halves(self) -> bool:
        return (self.kernel_size[0], self.stride[0]) == (5, 2)

    def _on_rows(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        rows = _pixel_by_pixel(channels_last(x))
        if height % 2:
            rows = F.pad(rows, (0, 0, 0, 0, 0, 1))
        pairs = rows.reshape(n, 1, -1, 2 * width * channels).permute(0, 3, 1, 2)
        half = -(-width // 2)
        bias = None if self.bias is None else self.bias.repeat(half)
        found = F.conv2d(pairs, arranged(self.weight, row_kernel, height, width), bias, padding=(0, 1))
        return found.permute(0, 2, 3, 1).reshape(n, -1, half, self.out_channels).permute(0, 3, 1, 2)

    def _pads(self, size: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class TFSameConvTranspose2d(nn.ConvTranspose2d):
    """Stride-2 transposed convolution that doubles the size.

    With an odd kernel its first row and column of zeros are one less than the last, which torch's own has only the
    other way round: it is done on turned maps, or, for few maps, on squares.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride=2, padding=(kernel - 2) // 2, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, outputs, 2H, 2W)."""
        del output_size
        x, kernel = channels_last(x), self.kernel_size[0]
        if kernel % 2 == 0:
            return super().forward(x)
        if kernel == 5 and self.out_channels <= FEW:
            return pixels(self.to_squares(x))
        turned = F.conv_transpose2d(
            x.flip(2, 3), self.weight.flip(2, 3), self.bias, stride=2, padding=(kernel - 1) // 2, output_padding=1
        )
        return turned.flip(2, 3)

    def to_squares(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 outputs, H, W); the kernel is 5x5."""
        return F.conv2d(channels_last(x), arranged(self.weight, upsample_kernel), repeated(self.bias), padding=1)


class TFSameOutput(Conditional):
    """Where a generator ends: a 5x5 SameDeconv to few maps, a norm of them, ReLU, and a 5x5 SameConv of stride 1.

    All of it is done on squares, so that the maps of twice the side are never laid out.
    """

    def __init__(self, inputs: int, maps: int, outputs: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.deconv = TFSameConvTranspose2d(inputs, maps, 5, bias=False)
        self.norm = ConditionalSequential(norm(maps), nn.ReLU(inplace=True))
        self.conv = TFSameConv2d(maps, outputs, 5)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
        n, _, height, width = x.shape
        made = _pixel_by_pixel(self.deconv.to_squares(x))
        row = made.reshape(n, height, 4 * width, -1).permute(0, 3, 1, 2)  # the same memory as maps of all pixels
        normed = _pixel_by_pixel(self.norm(row, condition)).reshape(made.shape).permute(0, 3, 1, 2)
        return pixels(F.conv2d(normed, arranged(self.conv.weight, same_weight), repeated(self.conv.bias), padding=1))


def _pixel_by_pixel(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), in which maps with their channels last lie."""
    return x.permute(0, 2, 3, 1)


def squares(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4C, H / 2, W / 2)."""
    n, channels, height, width = x.shape
    rows = _pixel_by_pixel(x).reshape(n, height // 2, 2, width // 2, 2 * channels)
    return torch.cat([rows[:, :, 0], rows[:, :, 1]], 3).permute(0, 3, 1, 2)


def pixels(x: Tensor) -> Tensor:
    """(N, 4C, H, W) -> (N, C, 2H, 2W): what `squares` made of it."""
    n, channels, height, width = x.shape
    found = _pixel_by_pixel(x).reshape(n, height, width, 2, 2, channels // 4).transpose(2, 3)
    return found.reshape(n, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


def repeated(bias: Tensor | None) -> Tensor | None:
    """(C,) -> (4C,), the bias of squares."""
    return None if bias is None else bias.repeat(4)


def arranged(weight: Tensor, arrange: Callable[..., Tensor], *sizes: int) -> Tensor:
    """arrange(weight, *sizes), which does no more than to move taps, repeat them and put zeros between.

    On a CPU it is asked once which tap goes where, so that each weight is copied once and not for every move.
    """
    if weight.device.type != "cpu":
        return arrange(weight, *sizes)
    places, shape = _places(arrange, tuple(weight.shape), *sizes)
    return F.pad(weight.flatten(), (1, 0)).index_select(0, places).view(shape)


@cache
def _places(arrange: Callable[..., Tensor], shape: tuple[int, ...], *sizes: int) -> tuple[Tensor, torch.Size]:
    """Of each tap of the arranged weight its place among those of the weight, from 1 on, or 0 for a zero."""
    numbered = torch.arange(1, torch.Size(shape).numel() + 1, dtype=torch.float64).view(shape)
    found = arrange(numbered, *sizes)
    return found.flatten().long(), found.shape


def downsample_kernel(weight: Tensor) -> Tensor:
    """(outputs, inputs, 5, 5) of a SameConv with stride 2 -> (outputs, 4 inputs, 3, 3) on squares.

    Its first tap is one pixel before the square: with one more before that, of weight 0, there are three squares.
    """
    outputs, inputs = weight.shape[:2]
    taps = F.pad(weight, (1, 0, 1, 0)).view(outputs, inputs, 3, 2, 3, 2)
    return taps.permute(0, 3, 5, 1, 2, 4).reshape(outputs, 4 * inputs, 3, 3)


def row_kernel(weight: Tensor, height: int, width: int) -> Tensor:
    """(outputs, inputs, 5, 5) of a SameConv with stride 2 -> (ceil(width / 2) outputs, 2 width inputs, 1, 3).

    It takes pairs of rows to rows. The five rows of taps are the last of three pairs, or, if the height is odd, the
    first. Along a row the taps move on by two columns for every output; those beyond the border are left out.
    """
    outputs, inputs = weight.shape[:2]
    half, before = -(-width // 2), 2 if width % 2 else 1
    pairs = F.pad(weight, (0, 0, 0, 1) if height % 2 else (0, 0, 1, 0))
    shifted = [F.pad(pairs, (2 * x - before, width + before - 5 - 2 * x)) for x in range(half)]
    taps = torch.stack(shifted).view(half, outputs, inputs, 3, 2, width)
    return taps.permute(0, 1, 4, 5, 2, 3).reshape(half * outputs, 2 * width * inputs, 1, 3)


def upsample_kernel(weight: Tensor) -> Tensor:
    """(inputs, outputs, 5, 5) of a SameDeconv -> (4 outputs, inputs, 3, 3) that makes squares."""
    inputs, outputs = weight.shape[:2]
    taps = F.pad(weight, (1, 0, 1, 0)).view(inputs, outputs, 3, 2, 3, 2).flip(2, 4)
    return taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 3, 3)


def same_weight(weight: Tensor) -> Tensor:
    """(outputs, inputs, 5, 5) of a SameConv with stride 1 -> (4 outputs, 4 inputs, 3, 3) from squares to squares.

    Three squares are six pixels. Of those, the five around a square's first pixel are the first, and the five around
    its second one the last.
    """
    outputs, inputs = weight.shape[:2]
    of_each = F.pad(weight, (1, 1, 1, 1)).unfold(2, 6, 1).unfold(3, 6, 1).flip(2, 3)
    taps = of_each.reshape(outputs, inputs, 2, 2, 3, 2, 3, 2)
    return taps.permute(2, 3, 0, 5, 7, 1, 4, 6).reshape(4 * outputs, 4 * inputs, 3, 3)
