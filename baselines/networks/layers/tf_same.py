"""Convolutions with TensorFlow's SAME padding, with stride 1 or 2, and their stride-2 transpose.

With SAME padding the output side is ceil(side / stride), and an odd total padding has its extra pixel at the far end.
Every layer equals the padded torch layer up to rounding, and has the same parameters.

Maps with few channels leave a CPU's vector registers half empty. Two rearrangements of maps and kernels avoid that:

- *Space to depth*: (N, C, H, W) -> (N, 4C, H / 2, W / 2), where the four pixels of a 2x2 block become one pixel. A 5x5
  kernel becomes a 3x3 kernel with half the stride. Used for few channels.
- *Rows*: the numbers of two rows of pixels become the channels of one position, and a kernel with stride 2 becomes a
  kernel over three positions, filled with zeros. Used for even fewer numbers per row.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.layers.conditional import Conditional, ConditionalSequential
from baselines.networks.layers.memory_format import channels_last, has_gradient

FEW_CHANNELS = 16  # channels of the larger maps up to which space to depth is faster
SHORT_ROW = 32  # numbers in a row of outputs up to which rows are faster: two vectors of float32


class TFSameConv2d(nn.Conv2d):
    """nn.Conv2d with SAME padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        if self._is_faster_on_rows(x):
            return self._convolve_rows(x)
        if self._is_faster_on_blocks(x):
            return F.conv2d(space_to_depth(x), rearranged(self.weight, downsample_kernel), self.bias, padding=1)
        left, right, top, bottom = (pad for size in (x.shape[3], x.shape[2]) for pad in self._pads(size))
        if (left, top) == (right, bottom):
            return F.conv2d(channels_last(x), self.weight, self.bias, self.stride, (top, left))
        return F.conv2d(F.pad(channels_last(x), (left, right, top, bottom)), self.weight, self.bias, self.stride)

    def _is_faster_on_rows(self, x: Tensor) -> bool:
        on_cpu = x.device.type == "cpu"  # rows were measured on CPUs only
        return on_cpu and self._is_5x5_stride_2 and self.out_channels * -(-x.shape[3] // 2) <= SHORT_ROW

    def _is_faster_on_blocks(self, x: Tensor) -> bool:
        """Blocks speed up the gradient with respect to an input with few channels, not the forward pass."""
        even = x.shape[2] % 2 == x.shape[3] % 2 == 0
        return self._is_5x5_stride_2 and even and has_gradient(x) and self.in_channels < FEW_CHANNELS

    @property
    def _is_5x5_stride_2(self) -> bool:
        return (self.kernel_size[0], self.stride[0]) == (5, 2)

    def _convolve_rows(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        rows = _nhwc(channels_last(x))
        if height % 2:
            rows = F.pad(rows, (0, 0, 0, 0, 0, 1))
        pairs = rows.reshape(n, 1, -1, 2 * width * channels).permute(0, 3, 1, 2)
        half = -(-width // 2)
        bias = None if self.bias is None else self.bias.repeat(half)
        outputs = F.conv2d(pairs, rearranged(self.weight, row_kernel, height, width), bias, padding=(0, 1))
        return outputs.permute(0, 2, 3, 1).reshape(n, -1, half, self.out_channels).permute(0, 3, 1, 2)

    def _pads(self, size: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class TFSameConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with stride 2 and SAME padding, which doubles the size.

    With an odd kernel, SAME pads one row and column less at the start than at the end; nn.ConvTranspose2d offers only
    the opposite. The layer therefore flips its input, kernel and output, or, for few channels, works in space to depth.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride=2, padding=(kernel - 2) // 2, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, outputs, 2H, 2W)."""
        del output_size
        x, kernel = channels_last(x), self.kernel_size[0]
        if kernel % 2 == 0:
            return super().forward(x)
        if kernel == 5 and self.out_channels <= FEW_CHANNELS:
            return depth_to_space(self.to_blocks(x))
        flipped = F.conv_transpose2d(
            x.flip(2, 3), self.weight.flip(2, 3), self.bias, stride=2, padding=(kernel - 1) // 2, output_padding=1
        )
        return flipped.flip(2, 3)

    def to_blocks(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 outputs, H, W): the output in space to depth. The kernel must be 5x5."""
        return F.conv2d(channels_last(x), rearranged(self.weight, upsample_kernel), block_bias(self.bias), padding=1)


class TFSameOutput(Conditional):
    """The last layers of a generator: 5x5 TFSameConvTranspose2d, norm, ReLU, and 5x5 TFSameConv2d with stride 1.

    All of them work in space to depth, so the maps at twice the side are never materialised.
    """

    def __init__(self, inputs: int, maps: int, outputs: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.deconv = TFSameConvTranspose2d(inputs, maps, 5, bias=False)
        self.norm = ConditionalSequential(norm(maps), nn.ReLU(inplace=True))
        self.conv = TFSameConv2d(maps, outputs, 5)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
        n, _, height, width = x.shape
        blocks = _nhwc(self.deconv.to_blocks(x))
        per_pixel = blocks.reshape(n, height, 4 * width, -1).permute(0, 3, 1, 2)  # a view; the norm ignores positions
        normalised = _nhwc(self.norm(per_pixel, condition)).reshape(blocks.shape).permute(0, 3, 1, 2)
        kernel, bias = rearranged(self.conv.weight, same_kernel), block_bias(self.conv.bias)
        return depth_to_space(F.conv2d(normalised, kernel, bias, padding=1))


def _nhwc(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), a view; contiguous for channels-last maps."""
    return x.permute(0, 2, 3, 1)


def space_to_depth(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4C, H / 2, W / 2): per block the upper left, upper right, lower left, lower right."""
    n, channels, height, width = x.shape
    rows = _nhwc(x).reshape(n, height // 2, 2, width // 2, 2 * channels)
    return torch.cat([rows[:, :, 0], rows[:, :, 1]], 3).permute(0, 3, 1, 2)


def depth_to_space(x: Tensor) -> Tensor:
    """(N, 4C, H, W) -> (N, C, 2H, 2W), the inverse of `space_to_depth`."""
    n, channels, height, width = x.shape
    blocks = _nhwc(x).reshape(n, height, width, 2, 2, channels // 4).transpose(2, 3)
    return blocks.reshape(n, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


def block_bias(bias: Tensor | None) -> Tensor | None:
    """(C,) -> (4C,), the bias in space to depth."""
    return None if bias is None else bias.repeat(4)


def rearranged(weight: Tensor, rearrange: Callable[..., Tensor], *sizes: int) -> Tensor:
    """rearrange(weight, *sizes), for a function that only moves and repeats taps and inserts zeros.

    On a CPU the source index of every tap is computed once per shape and cached, and the weight is copied once rather
    than in every step of the rearrangement.
    """
    if weight.device.type != "cpu":
        return rearrange(weight, *sizes)
    index, shape = _tap_index(rearrange, tuple(weight.shape), *sizes)
    return F.pad(weight.flatten(), (1, 0)).index_select(0, index).view(shape)


@cache
def _tap_index(rearrange: Callable[..., Tensor], shape: tuple[int, ...], *sizes: int) -> tuple[Tensor, torch.Size]:
    """For each tap of the rearranged weight its 1-based index in the flat weight, or 0 for a zero; and the shape."""
    numbered = torch.arange(1, torch.Size(shape).numel() + 1, dtype=torch.float64).view(shape)
    taps = rearrange(numbered, *sizes)
    return taps.flatten().long(), taps.shape


def downsample_kernel(weight: Tensor) -> Tensor:
    """(outputs, inputs, 5, 5) of a TFSameConv2d with stride 2 -> (outputs, 4 inputs, 3, 3) on blocks.

    The kernel starts one pixel before the block. With another tap of weight 0 before that, it covers three blocks.
    """
    outputs, inputs = weight.shape[:2]
    taps = F.pad(weight, (1, 0, 1, 0)).view(outputs, inputs, 3, 2, 3, 2)
    return taps.permute(0, 3, 5, 1, 2, 4).reshape(outputs, 4 * inputs, 3, 3)


def row_kernel(weight: Tensor, height: int, width: int) -> Tensor:
    """(outputs, inputs, 5, 5) of a TFSameConv2d with stride 2 -> (ceil(width / 2) outputs, 2 width inputs, 1, 3).

    It maps pairs of rows to rows. The five rows of taps are the last five of three pairs of rows or, if the height is
    odd, the first five. Along a row the taps shift by two columns per output; taps beyond the border are dropped.
    """
    outputs, inputs = weight.shape[:2]
    half, before = -(-width // 2), 2 if width % 2 else 1
    pairs = F.pad(weight, (0, 0, 0, 1) if height % 2 else (0, 0, 1, 0))
    shifted = [F.pad(pairs, (2 * x - before, width + before - 5 - 2 * x)) for x in range(half)]
    taps = torch.stack(shifted).view(half, outputs, inputs, 3, 2, width)
    return taps.permute(0, 1, 4, 5, 2, 3).reshape(half * outputs, 2 * width * inputs, 1, 3)


def upsample_kernel(weight: Tensor) -> Tensor:
    """(inputs, outputs, 5, 5) of a TFSameConvTranspose2d -> (4 outputs, inputs, 3, 3) with outputs in blocks."""
    inputs, outputs = weight.shape[:2]
    taps = F.pad(weight, (1, 0, 1, 0)).view(inputs, outputs, 3, 2, 3, 2).flip(2, 4)
    return taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 3, 3)


def same_kernel(weight: Tensor) -> Tensor:
    """(outputs, inputs, 5, 5) of a TFSameConv2d with stride 1 -> (4 outputs, 4 inputs, 3, 3) from blocks to blocks.

    Three blocks span six pixels: the first five are centred on the middle block's first pixel, the last five on its
    second.
    """
    outputs, inputs = weight.shape[:2]
    windows = F.pad(weight, (1, 1, 1, 1)).unfold(2, 6, 1).unfold(3, 6, 1).flip(2, 3)
    taps = windows.reshape(outputs, inputs, 2, 2, 3, 2, 3, 2)
    return taps.permute(2, 3, 0, 5, 7, 1, 4, 6).reshape(4 * outputs, 4 * inputs, 3, 3)
