"""PacGAN's networks for Stacked-MNIST: 3x3 kernels, batch norm in both players (X-02)."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from baselines.networks.pacgan_stacked_mnist import PacGANStackedMNIST, PacGANStackedMNISTOptions
from tests.support.layer_counts import conv, fc, norm, output_shapes, parameters

MNIST = (3, 28, 28)


def pacgan(k):
    return PacGANStackedMNIST(MNIST, 256, PacGANStackedMNISTOptions(k=k))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_generator_has_the_parameters_of_the_table(k):
    """fc 256 -> 4*4*64, BN; deconv 32, BN; deconv 16, BN; deconv 8, BN; conv 3; for any k."""
    by_hand = (
        fc(256, 1024)  # 263,168
        + norm(64)  # 128
        + conv(3, 64, 32)  # 18,464
        + norm(32)  # 64
        + conv(3, 32, 16)  # 4,624
        + norm(16)  # 32
        + conv(3, 16, 8)  # 1,160
        + norm(8)  # 16
        + conv(3, 8, 3)  # 219
    )
    assert by_hand == 287_875
    assert parameters(pacgan(k).generator()) == by_hand


@pytest.mark.parametrize(
    ("k", "maps", "expected"),
    [
        # conv 3->2 56, 2->4 76, 4->8 296; BN 4 + 8 + 16; head 129
        (4, (2, 4, 8), 56 + 76 + 296 + 28 + 129),
        # conv 3->4 112, 4->8 296, 8->16 1,168; BN 8 + 16 + 32; head 257
        (2, (4, 8, 16), 112 + 296 + 1168 + 56 + 257),
        # conv 3->8 224, 8->16 1,168, 16->32 4,640; BN 16 + 32 + 64; head 513
        (1, (8, 16, 32), 224 + 1168 + 4640 + 112 + 513),
    ],
)
def test_discriminator_has_the_parameters_of_the_table(k, maps, expected):
    by_hand = sum(conv(3, i, o) + norm(o) for i, o in zip((3, *maps), maps, strict=False)) + fc(16 * maps[-1], 1)
    assert by_hand == expected
    assert parameters(pacgan(k).discriminator(0)) == expected
    assert parameters(pacgan(k).discriminator(5)) == expected + fc(16 * maps[-1], 5)
    assert output_shapes(pacgan(k), 5) == [(2,), (2, 5), (2, 512 // k), (2, 0)]


def test_discriminator_maps_halve_from_28_to_4_and_generator_maps_double_from_4_to_28():
    sizes = []

    def record_size(_, __, out):
        sizes.append(tuple(out.shape[1:]))

    discriminator, generator = pacgan(4).discriminator(4), pacgan(4).generator()
    for player in (discriminator, generator):
        for layer in player.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(record_size)
    discriminator(generator(torch.randn(2, 256)))
    growing, shrinking = sizes[:4], sizes[4:]
    assert growing == [(32, 7, 7), (16, 14, 14), (8, 28, 28), (3, 28, 28)]
    assert shrinking == [(2, 14, 14), (4, 7, 7), (8, 4, 4)]
    assert {m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)} == {0.3}
    norms = [m for p in (discriminator, generator) for m in p.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 3 + 4
    assert {(m.eps, round(1 - m.momentum, 9)) for m in norms} == {(1e-5, 0.9)}


@pytest.mark.usefixtures("double_precision")
def test_the_first_transposed_convolution_is_the_adjoint_of_a_same_convolution_from_7_to_4():
    deconv = next(m for m in pacgan(1).generator() if isinstance(m, nn.ConvTranspose2d))
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(1, 32, 7, 7, generator=rng), torch.randn(1, 64, 4, 4, generator=rng)
    down = torch.conv2d(x, deconv.weight, stride=2, padding=1)  # SAME: (4 - 1) * 2 + 3 - 7 = 2, one on each side
    with torch.no_grad():
        assert (down * y).sum().item() == pytest.approx((x * deconv(y)).sum().item(), rel=1e-10)


def test_weights_start_from_a_normal_distribution_with_standard_deviation_002_and_biases_at_zero():
    network = pacgan(1)
    for layer in [*network.generator().modules(), *network.discriminator(5).modules()]:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            assert not layer.bias.any()
            if isinstance(layer, nn.Conv2d):
                assert layer.weight.abs().max() <= 0.04, "truncated at two standard deviations"
            if layer.weight.numel() > 1000:
                deviation = 0.8796 if isinstance(layer, nn.Conv2d) else 1.0  # of a standard normal truncated at 2
                assert layer.weight.std().item() == pytest.approx(0.02 * deviation, rel=0.1)


@pytest.mark.parametrize("k", [0, 3, 8, "4", None])
def test_invalid_values_of_k_are_refused(k):
    with pytest.raises(ValidationError):
        PacGANStackedMNISTOptions(k=k)
