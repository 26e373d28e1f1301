"""Convolutions joined with a change of size are the two layers one after the other, to rounding, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.networks import resized
from baselines.networks.base import FEW, SameConv, SameDeconv
from baselines.networks.resized import ConvDown, UpConv

pytestmark = pytest.mark.usefixtures("double_precision")


def zeros_between(x):
    n, channels, height, width = x.shape
    return F.pad(x[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1)).reshape(n, channels, 2 * height, 2 * width)


UPSAMPLINGS = {
    "zeros": zeros_between,
    "nearest": nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
}


def deconvolved(layer, x):
    """The transpose of TensorFlow's SAME: torch's, without its last row and column."""
    found = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=(layer.kernel_size[0] - 2) // 2)
    return found[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]


def assert_same(layer, x, expected):
    """Values, gradients, and gradients of the gradients' sizes, which penalties are made of."""
    inputs = (x.requires_grad_(), *layer.parameters())
    both = []
    for function in (layer, expected):
        made = function(x)
        weights = torch.linspace(-1, 1, made.numel()).view(made.shape)
        first = torch.autograd.grad((weights * made**2).sum(), inputs, create_graph=True)
        both.append((made, *first, *torch.autograd.grad(first[0].square().sum(), inputs)))
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(8, 8), (1, 9), (5, 4)])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_up_and_convolution(upsampling, size, monkeypatch):
    monkeypatch.setattr(resized, "BORDERS", 0)
    layer = UpConv(3, 4, upsampling)
    plain = UPSAMPLINGS[upsampling]
    assert_same(layer, torch.randn(2, 3, *size), lambda x: F.conv2d(plain(x), layer.weight, layer.bias, padding=1))


def test_small_maps_are_made_larger_first():
    layer = UpConv(3, 4, "bilinear")
    plain = UPSAMPLINGS["bilinear"]
    assert_same(layer, torch.randn(2, 3, 4, 4), lambda x: F.conv2d(plain(x), layer.weight, layer.bias, padding=1))


def test_a_joined_layer_leaves_its_input_alone():
    for upsampling in UPSAMPLINGS:
        x = torch.randn(2, 3, 8, 8)
        kept = x.clone()
        UpConv(3, 4, upsampling)(x)
        ConvDown(3, 4)(x)
        assert torch.equal(x, kept)


@pytest.mark.parametrize("size", [(8, 8), (2, 6)])
def test_convolution_and_down(size):
    layer = ConvDown(3, 4)
    expected = lambda x: F.avg_pool2d(F.conv2d(x, layer.weight, layer.bias, padding=1), 2)  # noqa: E731
    assert_same(layer, torch.randn(2, 3, *size), expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [2, FEW + 1])
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_same_deconvolution_in_all_its_forms(kernel, outputs, bias):
    layer = SameDeconv(3, outputs, kernel, bias=bias)
    assert_same(layer, torch.randn(2, 3, 4, 5), lambda x: deconvolved(layer, x))


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2), (4, 2)])
def test_same_convolution_pads_the_far_end_by_more(kernel, stride, side):
    layer = SameConv(3, 4, kernel, stride)
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    pads = (total // 2, total - total // 2) * 2
    expected = lambda x: F.conv2d(F.pad(x, pads), layer.weight, layer.bias, stride)  # noqa: E731
    assert_same(layer, torch.randn(2, 3, side, side), expected)


def test_maps_have_their_channels_last():
    for layer in (UpConv(4, 6, "bilinear"), UpConv(4, 6, "nearest"), ConvDown(4, 6)):
        maps = layer(resized.channels_last(torch.randn(2, 4, 8, 8)))
        assert maps.is_contiguous(memory_format=torch.channels_last)
    for layer in (SameConv(4, 6, 5), SameDeconv(4, 6, 5, bias=False), SameDeconv(4, FEW + 1, 5)):
        maps = layer(torch.randn(2, 4, 8, 8))
        assert maps.is_contiguous(memory_format=torch.channels_last)
