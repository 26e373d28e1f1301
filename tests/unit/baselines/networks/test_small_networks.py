"""Parameter counts, map sizes and initial weights of the MLP and of MSGAN's networks for Stacked-MNIST."""

import math

import pytest
import torch
from torch import nn

from baselines.networks.layers.tf_same import TFSameConvTranspose2d, TFSameOutput
from baselines.networks.mlp import MLP, MLPOptions
from baselines.networks.msgan_stacked_mnist import MSGANStackedMNIST, MSGANStackedMNISTOptions

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
        + norm(1024)  # 2,048: over the units, before the reshape to maps
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
def test_the_discriminator_has_512_over_k_features(k, features, lambda_w, classes):
    """lambda_w = sqrt(noise dimension / feature dimension) of Dist-GAN's encoder is that of the released scripts."""
    output = stacked(k).discriminator(classes)(torch.rand(6, *MNIST))
    assert output.logit.shape == (6,)
    assert output.class_logits.shape == (6, classes)
    assert output.features.shape == (6, features)
    assert math.sqrt(256 / features) == pytest.approx(lambda_w, abs=5e-5)


def test_discriminator_maps_halve_from_28_to_4_without_batch_norm():
    discriminator = stacked(4).discriminator(5)
    sizes = []
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
        assert not isinstance(layer, nn.modules.batchnorm._BatchNorm)
    discriminator(torch.rand(2, *MNIST))
    assert sizes == [(2, 14, 14), (4, 7, 7), (8, 4, 4)]
    assert {m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


def test_generator_maps_double_from_4_to_28_with_8_cropped_to_7():
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
        ("BatchNorm2d", 14, 8, 14),  # before depth to space
        ("TFSameOutput", 14, 3, 28),
    ]
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [layer.num_features for layer in norms] == [1024, 32, 16, 8]  # the first one precedes the reshape to maps
    assert {(layer.eps, round(1 - layer.momentum, 9)) for layer in norms} == {(1e-5, 0.9)}


def test_encoder_maps_halve_from_28_to_2():
    encoder = stacked(4).encoder()
    sizes = []
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    assert encoder(torch.rand(5, *MNIST)).shape == (5, 256)
    assert sizes == [(8, 14, 14), (16, 7, 7), (32, 4, 4), (64, 2, 2)]


# --- the MLP of the quickstart --------------------------------------------------------------------------


def test_mlp_has_the_parameters_of_its_widths():
    network = mlp(generator_width=16, discriminator_width=12, encoder_width=10)
    generator_total = (64 * 16 + 16) + 2 * 16 + (16 * 16 + 16) + 2 * 16 + (16 * 192 + 192)
    assert parameters(network.generator()) == generator_total == 4640
    discriminator_total = (192 * 12 + 12) + (12 * 12 + 12) + (12 + 1) + 5 * (12 + 1)
    assert parameters(network.discriminator(5)) == discriminator_total == 2550
    encoder_total = (192 * 10 + 10) + (10 * 10 + 10) + (10 * 64 + 64)
    assert parameters(network.encoder()) == encoder_total == 2744


def test_the_mlp_encoder_returns_latents_and_has_the_layers_of_the_discriminator():
    encoder = mlp().encoder()
    assert encoder(torch.rand(5, *DIGITS)).shape == (5, 64)
    assert {m.negative_slope for m in encoder.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert not [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("classes", [0, 4, 5])
def test_the_mlp_discriminator_has_as_many_features_as_its_width(classes):
    output = mlp(discriminator_width=12).discriminator(classes)(torch.rand(7, *DIGITS))
    assert [part.shape for part in output] == [(7,), (7, classes), (7, 12), (7, 0)]


# --- both networks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "dim", "shape"), [(stacked(4), 256, MNIST), (mlp(), 64, DIGITS)])
def test_generated_images_span_the_image_range(network, dim, shape):
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
def test_weights_start_from_glorots_uniform_distribution_and_biases_at_zero(network, role):
    """The bound is sqrt(6 / (fan in + fan out)); a fan counts the pixels of the kernel."""
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
