"""Fused resampling convolutions equal the two layers in sequence to rounding, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.networks.layers import resample_conv
from baselines.networks.layers.memory_format import channels_last
from baselines.networks.layers.resample_conv import ONEDNN_BLOCK, ConvDown, StridedPointwiseConv, UpConv
from tests.support.layers_alike import assert_same

pytestmark = pytest.mark.usefixtures("double_precision")


def insert_zeros(x):
    n, channels, height, width = x.shape
    return F.pad(x[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1)).reshape(n, channels, 2 * height, 2 * width)


UPSAMPLINGS = {
    "zeros": insert_zeros,
    "nearest": nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
}


@pytest.mark.parametrize("size", [(8, 8), (2, 9), (5, 4)])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_fused_upsampling_convolution_equals_its_two_layers(upsampling, size, monkeypatch):
    monkeypatch.setattr(resample_conv, "MIN_FUSED_SIDE", 0)
    layer = UpConv(3, 4, upsampling)
    upsample = UPSAMPLINGS[upsampling]
    assert_same(layer, torch.randn(2, 3, *size), lambda x: F.conv2d(upsample(x), layer.weight, layer.bias, padding=1))


def test_small_maps_are_upsampled_before_the_convolution():
    layer = UpConv(3, 4, "bilinear")
    upsample = UPSAMPLINGS["bilinear"]
    assert_same(layer, torch.randn(2, 3, 4, 4), lambda x: F.conv2d(upsample(x), layer.weight, layer.bias, padding=1))


def test_a_fused_layer_does_not_change_its_input():
    for upsampling in UPSAMPLINGS:
        x = torch.randn(2, 3, 8, 8)
        before = x.clone()
        UpConv(3, 4, upsampling)(x)
        ConvDown(3, 4)(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize("size", [(8, 8), (2, 6)])
def test_a_fused_downsampling_convolution_equals_its_two_layers(size):
    layer = ConvDown(3, 4)
    expected = lambda x: F.avg_pool2d(F.conv2d(x, layer.weight, layer.bias, padding=1), 2)  # noqa: E731
    assert_same(layer, torch.randn(2, 3, *size), expected)


def test_outputs_are_in_channels_last_format():
    for layer in (UpConv(4, 6, "bilinear"), UpConv(4, 6, "nearest"), ConvDown(4, 6)):
        maps = layer(channels_last(torch.randn(2, 4, 8, 8)))
        assert maps.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(8, 8), (33, 34)])
@pytest.mark.parametrize("inputs", [3, ONEDNN_BLOCK])
def test_a_strided_pointwise_convolution_takes_every_other_pixel(inputs, size):
    layer = StridedPointwiseConv(inputs, 4)
    expected = lambda x: F.conv2d(x, layer.weight, layer.bias, stride=2)  # noqa: E731
    assert_same(layer, torch.randn(2, inputs, *size), expected)


@pytest.mark.parametrize("side", [8, 32, 48])
def test_maps_with_few_channels_are_convolved_without_a_stride(monkeypatch, side):
    """With a stride, the weight gradient corrupts the heap (see the docstring of the class)."""
    strides, conv2d = [], F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda x, w, b, stride=1: strides.append(stride) or conv2d(x, w, b, stride))
    StridedPointwiseConv(3, 3)(channels_last(torch.randn(2, 3, side, side)))
    assert strides == [1]
