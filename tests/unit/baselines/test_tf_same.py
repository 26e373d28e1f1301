"""SAME convolutions are TensorFlow's, in all forms that they are done in, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.networks.layers import tf_same
from baselines.networks.layers.conditional import ConditionalSequential, batch_norms
from baselines.networks.layers.tf_same import FEW_CHANNELS, TFSameConv2d, TFSameConvTranspose2d, TFSameOutput
from tests.support.layers_alike import assert_same

pytestmark = pytest.mark.usefixtures("double_precision")


def deconvolved(layer, x):
    """The transpose of TensorFlow's SAME: torch's, without its last row and column."""
    found = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=(layer.kernel_size[0] - 2) // 2)
    return found[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]


def padded(layer, x):
    """TensorFlow's SAME on a square picture."""
    kernel, stride, side = layer.kernel_size[0], layer.stride[0], x.shape[2]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return F.conv2d(F.pad(x, (total // 2, total - total // 2) * 2), layer.weight, layer.bias, stride)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [2, FEW_CHANNELS + 1])
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_same_deconvolution_in_all_its_forms(kernel, outputs, bias):
    layer = TFSameConvTranspose2d(3, outputs, kernel, bias=bias)
    assert_same(layer, torch.randn(2, 3, 4, 5), lambda x: deconvolved(layer, x))


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (5, 2), (4, 2)])
@pytest.mark.parametrize("outputs", [4, tf_same.SHORT_ROW])
def test_same_convolution_pads_the_far_end_by_more(outputs, kernel, stride, side):
    layer = TFSameConv2d(3, outputs, kernel, stride)
    assert_same(layer, torch.randn(2, 3, side, side), lambda x: padded(layer, x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (8, 6), (5, 8), (4, 3)])
def test_a_convolution_to_short_rows_is_done_on_rows(height, width, bias, monkeypatch):
    used, arrange = [], tf_same.rearranged
    monkeypatch.setattr(
        tf_same, "rearranged", lambda *args: used.append(args[1] is tf_same.row_kernel) or arrange(*args)
    )
    layer = TFSameConv2d(3, 4, 5, 2, bias=bias)

    def plain(x):
        pads = [p for side in (width, height) for p in ((2, 2) if side % 2 else (1, 2))]
        return F.conv2d(F.pad(x, pads), layer.weight, layer.bias, 2)

    assert_same(layer, torch.randn(2, 3, height, width), plain)
    assert all(used)
    assert used
    used.clear()
    TFSameConv2d(3, tf_same.SHORT_ROW, 5, 2)(torch.randn(2, 3, height, width))
    assert not used


@pytest.mark.parametrize("learnt", [True, False])
def test_squares_are_used_where_an_input_of_few_channels_has_a_gradient(learnt, monkeypatch):
    used, arrange = [], tf_same.rearranged
    monkeypatch.setattr(
        tf_same, "rearranged", lambda *args: used.append(args[1] is tf_same.downsample_kernel) or arrange(*args)
    )
    layer, x = TFSameConv2d(3, tf_same.SHORT_ROW, 5, 2), torch.randn(2, 3, 8, 8).requires_grad_(learnt)
    torch.testing.assert_close(layer(x), padded(layer, x), rtol=1e-10, atol=1e-10)
    assert used == [True] * learnt


@pytest.mark.parametrize("conditions", [0, 3])
def test_an_ending_is_its_layers_one_after_the_other(conditions):
    ending = TFSameOutput(5, 2, 3, batch_norms(conditions, eps=1e-5))
    for parameter in ending.parameters():
        nn.init.normal_(parameter)
    condition = torch.tensor([2, 0]) if conditions else None
    chain = ConditionalSequential(*ending.norm)

    def plain(x):
        return padded(ending.conv, chain(deconvolved(ending.deconv, x), condition))

    assert_same(lambda x: ending(x, condition), torch.randn(2, 5, 4, 4), plain, ending.parameters())
    ending.eval()
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(ending(x, condition), plain(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("arrange", "sizes"),
    [
        (tf_same.downsample_kernel, ()),
        (tf_same.upsample_kernel, ()),
        (tf_same.same_kernel, ()),
        (tf_same.row_kernel, (7, 6)),
        (tf_same.row_kernel, (8, 9)),
    ],
)
def test_an_arranged_weight_is_what_its_moves_make_of_it(arrange, sizes):
    weight = torch.randn(3, 2, 5, 5)
    assert_same(lambda w: tf_same.rearranged(w, arrange, *sizes), weight, lambda w: arrange(w, *sizes), parameters=())


def test_squares_and_pixels_are_each_others_opposite():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    found = tf_same.space_to_depth(x)
    assert found[1, :, 1, 2].tolist() == [*x[1, :, 2, 4], *x[1, :, 2, 5], *x[1, :, 3, 4], *x[1, :, 3, 5]]
    assert torch.equal(tf_same.depth_to_space(found), x)


def test_maps_have_their_channels_last():
    layers = (
        TFSameConv2d(4, 6, 5),
        TFSameConvTranspose2d(4, 6, 5, bias=False),
        TFSameConvTranspose2d(4, FEW_CHANNELS + 1, 5),
    )
    for layer in (*layers, TFSameOutput(4, 6, 3, nn.BatchNorm2d)):
        maps = layer(torch.randn(2, 4, 8, 8))
        assert maps.is_contiguous(memory_format=torch.channels_last)
