"""Convolutions joined with a change of size are the two layers one after the other, to rounding, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.networks.layers import resample_conv
from baselines.networks.layers.memory_format import channels_last
from baselines.networks.layers.resample_conv import ONEDNN_BLOCK, SAFE_SIDE, ConvDown, StridedPointwiseConv, UpConv
from tests.support.layers_alike import assert_same

pytestmark = pytest.mark.usefixtures("double_precision")


def zeros_between(x):
    n, channels, height, width = x.shape
    return F.pad(x[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1)).reshape(n, channels, 2 * height, 2 * width)


UPSAMPLINGS = {
    "zeros": zeros_between,
    "nearest": nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
}


@pytest.mark.parametrize("size", [(8, 8), (2, 9), (5, 4)])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_up_and_convolution(upsampling, size, monkeypatch):
    monkeypatch.setattr(resample_conv, "MIN_FUSED_SIDE", 0)
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


def test_maps_have_their_channels_last():
    for layer in (UpConv(4, 6, "bilinear"), UpConv(4, 6, "nearest"), ConvDown(4, 6)):
        maps = layer(channels_last(torch.randn(2, 4, 8, 8)))
        assert maps.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(8, 8), (SAFE_SIDE + 1, SAFE_SIDE + 2)])
@pytest.mark.parametrize("inputs", [3, ONEDNN_BLOCK])
def test_a_strided_pointwise_convolution_takes_every_other_pixel(inputs, size):
    layer = StridedPointwiseConv(inputs, 4)
    expected = lambda x: F.conv2d(x, layer.weight, layer.bias, stride=2)  # noqa: E731
    assert_same(layer, torch.randn(2, inputs, *size), expected)


def test_large_maps_with_few_channels_are_convolved_without_a_stride(monkeypatch):
    """With a stride, the weight gradient corrupts the heap: the class says where this is reported."""
    strides, conv2d = [], F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda x, w, b, stride=1: strides.append(stride) or conv2d(x, w, b, stride))
    StridedPointwiseConv(3, 3)(channels_last(torch.randn(2, 3, 48, 48)))
    assert strides == [1]
