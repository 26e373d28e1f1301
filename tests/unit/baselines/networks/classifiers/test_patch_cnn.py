"""The patch network: its layers are convolutions, it sees every pixel, and its parameters are counted by hand."""

import pytest
import torch
from torch import nn

from baselines.networks.classifiers.patch_cnn import PATCHES, PatchCNN, PatchCNNOptions, PatchConvolution

SHAPES = sorted(PatchCNN.shapes)


def network(shape, width=6):
    torch.manual_seed(0)
    return PatchCNN(shape, 0, PatchCNNOptions(discriminator_width=width))


@pytest.mark.parametrize(("channels", "patch", "side"), [(3, 4, 32), (1, 7, 28), (5, 2, 4)])
def test_a_layer_is_a_convolution_with_stride_equal_to_its_kernel(channels, patch, side):
    layer = PatchConvolution(channels, 6, patch)
    convolution = nn.Conv2d(channels, 6, patch, stride=patch)
    with torch.no_grad():
        kernel = layer.linear.weight.view(6, patch, patch, channels).permute(0, 3, 1, 2)
        convolution.weight.copy_(kernel)
        convolution.bias.copy_(layer.linear.bias)
    images = torch.randn(4, channels, side, side)
    torch.testing.assert_close(layer(images.movedim(1, -1)).movedim(-1, 1), convolution(images))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_patches_tile_the_image_until_one_position_is_left(shape):
    side = shape[1]
    for patch in PATCHES[side]:
        assert side % patch == 0
        side //= patch
    assert side == 1


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((1, 8, 8), (4 * 6 + 6) + (4 * 6 * 12 + 12) + (4 * 12 * 24 + 24) + 24 * 5 + 5),
        ((1, 28, 28), (16 * 6 + 6) + (49 * 6 * 12 + 12) + 12 * 5 + 5),
        ((3, 32, 32), (48 * 6 + 6) + (4 * 6 * 12 + 12) + (4 * 12 * 24 + 24) + (4 * 24 * 48 + 48) + 48 * 5 + 5),
    ],
)
def test_the_parameters_are_those_counted_by_hand(shape, parameters):
    """With a binary head and one of four classes."""
    assert sum(p.numel() for p in network(shape).discriminator(4).parameters()) == parameters


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_pixel_and_every_image_alone_counts(shape):
    discriminator = network(shape).discriminator(4).double()
    images = torch.randn(64, *shape, dtype=torch.float64, requires_grad=True)
    logits = discriminator(images).class_logits
    (of_all,) = torch.autograd.grad(logits.sum(), images, retain_graph=True)
    assert (of_all != 0).any(0).all()
    (of_one,) = torch.autograd.grad(logits[1].sum(), images)
    assert of_one[1].any()
    assert not of_one[[0, *range(2, 64)]].any()
