"""Shapes, parameter counts, padding and initial weights of the networks, against the papers' layer tables."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baselines.networks.layers.tf_same import TFSameConv2d, TFSameConvTranspose2d, TFSameOutput
from baselines.networks.mlp import MLP, MLPOptions
from baselines.networks.msgan_stacked_mnist import MSGANStackedMNIST, MSGANStackedMNISTOptions
from tests.support.restatement import same_conv

MNIST, DIGITS = (3, 28, 28), (3, 8, 8)


def stacked(k):
    return MSGANStackedMNIST(MNIST, 256, MSGANStackedMNISTOptions(k=k))


def mlp(**widths):
    return MLP(DIGITS, 64, MLPOptions(**widths))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


# --- MSGAN's networks for Stacked-MNIST, 28x28x3, 5x5 kernels ------------


def conv(inputs, outputs):
    return 5 * 5 * inputs * outputs + outputs  # weights and biases


def norm(channels):
    return 2 * channels  # scale and shift


def fc(inputs, outputs):
    return inputs * outputs + outputs


def test_generator_has_the_parameters_of_the_table():
    """fc 256 -> 4*4*64, BN; deconv 32, BN; deconv 16, BN; deconv 8, BN; conv 3."""
    by_hand = (
        256 * 1024  # 262,144, no bias before a batch norm
        + norm(1024)  # 2,048: over the units, before they become a picture
        + 64 * 32 * 25  # 51,200
        + norm(32)  # 64
        + 32 * 16 * 25  # 12,800
        + norm(16)  # 32
        + 16 * 8 * 25  # 3,200
        + norm(8)  # 16
        + conv(8, 3)  # 603
    )
    assert by_hand == 332_107
    assert parameters(stacked(1).generator()) == by_hand


@pytest.mark.parametrize("k", [1, 2, 4])
def test_generator_and_encoder_do_not_depend_on_k(k):
    assert parameters(stacked(k).generator()) == 332_107
    assert parameters(stacked(k).encoder()) == 133_712


def test_encoder_has_the_parameters_of_the_table():
    """conv 8, 16, 32, 64; flat 2*2*64 = 256 -> fc 256: 608 + 3,216 + 12,832 + 51,264 + 65,792."""
    by_hand = conv(3, 8) + conv(8, 16) + conv(16, 32) + conv(32, 64) + fc(256, 256)
    assert by_hand == 133_712
    assert parameters(stacked(1).encoder()) == by_hand


@pytest.mark.parametrize(
    ("k", "maps", "features", "expected"),
    [
        # conv 3->2 152, 2->4 204, 4->8 808; heads 129 + 5 * 129
        (4, (2, 4, 8), 128, 152 + 204 + 808 + 129 + 645),
        # conv 3->4 304, 4->8 808, 8->16 3,216; heads 257 + 5 * 257
        (2, (4, 8, 16), 256, 304 + 808 + 3216 + 257 + 1285),
        # conv 3->8 608, 8->16 3,216, 16->32 12,832; heads 513 + 5 * 513
        (1, (8, 16, 32), 512, 608 + 3216 + 12832 + 513 + 2565),
    ],
)
def test_discriminator_has_the_parameters_of_the_table(k, maps, features, expected):
    by_hand = conv(3, maps[0]) + conv(maps[0], maps[1]) + conv(maps[1], maps[2]) + 6 * (features + 1)
    assert by_hand == expected
    assert parameters(stacked(k).discriminator(5)) == expected


@pytest.mark.parametrize(("k", "features", "lambda_w"), [(4, 128, 1.4142), (2, 256, 1.0), (1, 512, 0.7071)])
@pytest.mark.parametrize("classes", [0, 4, 5])
def test_discriminator_judges_with_512_over_k_features(k, features, lambda_w, classes):
    """And lambda_w = sqrt(noise dimension / feature dimension) of Dist-GAN's encoder is the scripts'."""
    output = stacked(k).discriminator(classes)(torch.rand(6, *MNIST))
    assert output.logit.shape == (6,)
    assert output.class_logits.shape == (6, classes)
    assert output.features.shape == (6, features)
    assert math.sqrt(256 / features) == pytest.approx(lambda_w, abs=5e-5)


def test_discriminator_maps_shrink_28_14_7_4_and_have_no_batch_norm():
    discriminator = stacked(4).discriminator(5)
    sizes = []
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
        assert not isinstance(layer, nn.modules.batchnorm._BatchNorm)
    discriminator(torch.rand(2, *MNIST))
    assert sizes == [(2, 14, 14), (4, 7, 7), (8, 4, 4)]
    assert {m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


def test_generator_maps_grow_4_8_cropped_to_7_14_28():
    generator = stacked(4).generator()
    sizes = []
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm2d | TFSameConvTranspose2d | TFSameOutput):
            kind = type(layer).__name__
            layer.register_forward_hook(
                lambda _, args, out, kind=kind: sizes.append((kind, args[0].shape[2], *out.shape[1:3]))
            )
    generator(torch.rand(2, 256))
    assert sizes == [
        ("TFSameConvTranspose2d", 4, 32, 8),
        ("BatchNorm2d", 8, 32, 8),
        ("TFSameConvTranspose2d", 7, 16, 14),
        ("BatchNorm2d", 14, 16, 14),
        ("BatchNorm2d", 14, 8, 14),  # on squares, as rows of their pixels
        ("TFSameOutput", 14, 3, 28),
    ]
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [layer.num_features for layer in norms] == [1024, 32, 16, 8]  # the first one before the picture
    assert {(layer.eps, round(1 - layer.momentum, 9)) for layer in norms} == {(1e-5, 0.9)}


def test_encoder_maps_shrink_28_14_7_4_2():
    encoder = stacked(4).encoder()
    sizes = []
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    assert encoder(torch.rand(5, *MNIST)).shape == (5, 256)
    assert sizes == [(8, 14, 14), (16, 7, 7), (32, 4, 4), (64, 2, 2)]


# --- the quickstart's networks -------------------------------------------------------------------------


def test_mlp_has_the_parameters_of_its_widths():
    network = mlp(generator_width=16, discriminator_width=12, encoder_width=10)
    of_generator = (64 * 16 + 16) + 2 * 16 + (16 * 16 + 16) + 2 * 16 + (16 * 192 + 192)
    assert parameters(network.generator()) == of_generator == 4640
    of_discriminator = (192 * 12 + 12) + (12 * 12 + 12) + (12 + 1) + 5 * (12 + 1)
    assert parameters(network.discriminator(5)) == of_discriminator == 2550
    of_encoder = (192 * 10 + 10) + (10 * 10 + 10) + (10 * 64 + 64)
    assert parameters(network.encoder()) == of_encoder == 2744


def test_mlp_encoder_makes_latents_and_has_the_discriminators_layers():
    encoder = mlp().encoder()
    assert encoder(torch.rand(5, *DIGITS)).shape == (5, 64)
    assert {m.negative_slope for m in encoder.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert not [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("classes", [0, 4, 5])
def test_mlp_discriminator_judges_with_its_width_as_features(classes):
    output = mlp(discriminator_width=12).discriminator(classes)(torch.rand(7, *DIGITS))
    assert [part.shape for part in output] == [(7,), (7, classes), (7, 12), (7, 0)]


# --- all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "dim", "shape"), [(stacked(4), 256, MNIST), (mlp(), 64, DIGITS)])
def test_generators_make_images_that_fill_their_range(network, dim, shape):
    generator = network.generator()
    with torch.no_grad():
        images = generator(50 * torch.randn(16, dim, generator=torch.Generator().manual_seed(0)))
        for layer in generator.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.mul_(30)
        extreme = generator(torch.randn(16, dim, generator=torch.Generator().manual_seed(0)))
    low, high = network.image_range
    assert images.shape == (16, *shape)
    assert low <= extreme.min() < low + 0.05
    assert high - 0.05 < extreme.max() <= high


@pytest.mark.parametrize(
    ("network", "role"),
    [
        (mlp, "generator"),
        (mlp, "discriminator"),
        (mlp, "encoder"),
        (lambda: stacked(2), "generator"),
        (lambda: stacked(2), "discriminator"),
        (lambda: stacked(2), "encoder"),
    ],
    ids=["mlp-G", "mlp-D", "mlp-E", "mnist-G", "mnist-D", "mnist-E"],
)
def test_initial_weights_fill_glorots_range_and_biases_are_zero(network, role):
    """Uniform within sqrt(6 / (fan in + fan out)); a fan counts the pixels of the kernel."""
    module = getattr(network(), role)(*([5] if role == "discriminator" else []))
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert layers
    for layer in layers:
        weight = layer.weight.detach()
        fans = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])
        bound = math.sqrt(6 / fans)
        assert weight.abs().max() <= bound
        if weight.numel() > 100:
            assert weight.abs().max() > 0.9 * bound
            assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.25)
        assert layer.bias is None or not layer.bias.any()


# --- TensorFlow's SAME padding -------------------------------------------------------------------------


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [28, 14, 8, 7])
def test_same_conv_pads_as_tensorflow(size, kernel, stride):
    layer = TFSameConv2d(2, 3, kernel, stride)
    x = torch.rand(2, 2, size, size)
    expected = same_conv(x.numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy(), stride)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=0, atol=1e-12)


def test_same_pads_the_far_end_when_it_cannot_pad_evenly():
    """28 -> 14 with a 5x5 kernel needs 3: one in front, two behind. By hand on a kernel of ones."""
    layer = TFSameConv2d(1, 1, 5, 2)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    counts = layer(torch.ones(1, 1, 28, 28))[0, 0]
    assert counts[0, 0] == 4 * 4, "columns -1..3, one of them padding"
    assert counts[13, 13] == 3 * 3, "columns 25..29, two of them padding"


@pytest.mark.usefixtures("double_precision")
@given(
    size=st.sampled_from([2, 4, 7, 14]),
    kernel=st.sampled_from([3, 4, 5]),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_same_deconv_is_the_transpose_of_same_conv(size, kernel, channels, seed):
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
