"""Every implementation of a SAME convolution equals TensorFlow's, gradients included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from baselines.networks.layers import tf_same
from baselines.networks.layers.conditional import ConditionalSequential, batch_norms
from baselines.networks.layers.tf_same import FEW_CHANNELS, TFSameConv2d, TFSameConvTranspose2d, TFSameOutput
from tests.support.layers_alike import assert_same
from tests.support.restatement import same_conv

pytestmark = pytest.mark.usefixtures("double_precision")


def same_conv_transpose(layer, x):
    """TensorFlow's transposed SAME convolution: torch's, without the last row and column."""
    maps = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=(layer.kernel_size[0] - 2) // 2)
    return maps[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]


def same_conv_of_torch(layer, x):
    """TensorFlow's SAME convolution of square maps, by explicit padding."""
    kernel, stride, side = layer.kernel_size[0], layer.stride[0], x.shape[2]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return F.conv2d(F.pad(x, (total // 2, total - total // 2) * 2), layer.weight, layer.bias, stride)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [2, FEW_CHANNELS + 1])
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_every_implementation_of_the_transposed_convolution_is_correct(kernel, outputs, bias):
    layer = TFSameConvTranspose2d(3, outputs, kernel, bias=bias)
    assert_same(layer, torch.randn(2, 3, 4, 5), lambda x: same_conv_transpose(layer, x))


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (5, 2), (4, 2)])
@pytest.mark.parametrize("outputs", [4, tf_same.SHORT_ROW])
def test_the_convolution_pads_more_at_the_end(outputs, kernel, stride, side):
    layer = TFSameConv2d(3, outputs, kernel, stride)
    assert_same(layer, torch.randn(2, 3, side, side), lambda x: same_conv_of_torch(layer, x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (8, 6), (5, 8), (4, 3)])
def test_a_convolution_with_short_output_rows_uses_the_row_kernel(height, width, bias, monkeypatch):
    calls, rearranged = [], tf_same.rearranged
    monkeypatch.setattr(
        tf_same, "rearranged", lambda *args: calls.append(args[1] is tf_same.row_kernel) or rearranged(*args)
    )
    layer = TFSameConv2d(3, 4, 5, 2, bias=bias)

    def with_explicit_padding(x):
        pads = [p for side in (width, height) for p in ((2, 2) if side % 2 else (1, 2))]
        return F.conv2d(F.pad(x, pads), layer.weight, layer.bias, 2)

    assert_same(layer, torch.randn(2, 3, height, width), with_explicit_padding)
    assert all(calls)
    assert calls
    calls.clear()
    TFSameConv2d(3, tf_same.SHORT_ROW, 5, 2)(torch.randn(2, 3, height, width))
    assert not calls


@pytest.mark.parametrize("needs_gradient", [True, False])
def test_space_to_depth_is_used_if_an_input_with_few_channels_needs_a_gradient(needs_gradient, monkeypatch):
    calls, rearranged = [], tf_same.rearranged
    monkeypatch.setattr(
        tf_same, "rearranged", lambda *args: calls.append(args[1] is tf_same.downsample_kernel) or rearranged(*args)
    )
    layer, x = TFSameConv2d(3, tf_same.SHORT_ROW, 5, 2), torch.randn(2, 3, 8, 8).requires_grad_(needs_gradient)
    torch.testing.assert_close(layer(x), same_conv_of_torch(layer, x), rtol=1e-10, atol=1e-10)
    assert calls == [True] * needs_gradient


@pytest.mark.parametrize("conditions", [0, 3])
def test_the_output_layer_equals_its_layers_in_sequence(conditions):
    output_layer = TFSameOutput(5, 2, 3, batch_norms(conditions, eps=1e-5))
    for parameter in output_layer.parameters():
        nn.init.normal_(parameter)
    condition = torch.tensor([2, 0]) if conditions else None
    chain = ConditionalSequential(*output_layer.norm)

    def in_sequence(x):
        return same_conv_of_torch(output_layer.conv, chain(same_conv_transpose(output_layer.deconv, x), condition))

    assert_same(lambda x: output_layer(x, condition), torch.randn(2, 5, 4, 4), in_sequence, output_layer.parameters())
    output_layer.eval()
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(output_layer(x, condition), in_sequence(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("rearrange", "sizes"),
    [
        (tf_same.downsample_kernel, ()),
        (tf_same.upsample_kernel, ()),
        (tf_same.same_kernel, ()),
        (tf_same.row_kernel, (7, 6)),
        (tf_same.row_kernel, (8, 9)),
    ],
)
def test_a_rearranged_weight_and_its_gradient_equal_those_of_the_plain_function(rearrange, sizes):
    weight = torch.randn(3, 2, 5, 5)
    assert_same(
        lambda w: tf_same.rearranged(w, rearrange, *sizes), weight, lambda w: rearrange(w, *sizes), parameters=()
    )


def test_depth_to_space_inverts_space_to_depth():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    blocks = tf_same.space_to_depth(x)
    assert blocks[1, :, 1, 2].tolist() == [*x[1, :, 2, 4], *x[1, :, 2, 5], *x[1, :, 3, 4], *x[1, :, 3, 5]]
    assert torch.equal(tf_same.depth_to_space(blocks), x)


def test_outputs_are_in_channels_last_format():
    layers = (
        TFSameConv2d(4, 6, 5),
        TFSameConvTranspose2d(4, 6, 5, bias=False),
        TFSameConvTranspose2d(4, FEW_CHANNELS + 1, 5),
    )
    for layer in (*layers, TFSameOutput(4, 6, 3, nn.BatchNorm2d)):
        maps = layer(torch.randn(2, 4, 8, 8))
        assert maps.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [28, 14, 8, 7])
def test_the_convolution_equals_a_pixel_by_pixel_restatement(size, kernel, stride):
    layer = TFSameConv2d(2, 3, kernel, stride)
    x = torch.rand(2, 2, size, size)
    expected = same_conv(x.numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy(), stride)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=0, atol=1e-12)


def test_an_odd_padding_has_its_extra_pixel_at_the_end():
    """From 28 to 14 a 5x5 kernel needs 3 pixels: one in front, two behind. A kernel of ones counts the real pixels."""
    layer = TFSameConv2d(1, 1, 5, 2)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    counts = layer(torch.ones(1, 1, 28, 28))[0, 0]
    assert counts[0, 0] == 4 * 4, "columns -1..3, one of them padding"
    assert counts[13, 13] == 3 * 3, "columns 25..29, two of them padding"


@given(
    size=st.sampled_from([2, 4, 7, 14]),
    kernel=st.sampled_from([3, 4, 5]),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_the_transposed_convolution_is_the_adjoint_of_the_convolution(size, kernel, channels, seed):
    """<conv(x), y> = <x, deconv(y)> with shared weights."""
    wide, narrow = channels
    conv_layer, deconv = TFSameConv2d(wide, narrow, kernel, 2), TFSameConvTranspose2d(narrow, wide, kernel)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        conv_layer.weight.copy_(torch.randn(conv_layer.weight.shape, generator=rng))
        deconv.weight.copy_(conv_layer.weight)
        conv_layer.bias.zero_()
        deconv.bias.zero_()
        x = torch.randn(1, wide, 2 * size, 2 * size, generator=rng)
        y = torch.randn(1, narrow, size, size, generator=rng)
        assert deconv(y).shape == x.shape
        left, right = (conv_layer(x) * y).sum().item(), (x * deconv(y)).sum().item()
    assert left == pytest.approx(right, rel=1e-10, abs=1e-10)
