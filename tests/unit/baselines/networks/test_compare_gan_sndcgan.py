"""Parameter counts, map sizes, spectral norm and initial weights of compare_gan's SNDCGAN."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.networks.compare_gan_sndcgan import CompareGANSNDCGAN, CompareGANSNDCGANOptions
from tests.support.layer_counts import conv, fc, norm, output_shapes, parameters, without_memory

CIFAR, CELEBA = (3, 32, 32), (3, 64, 64)
SMALL = {"generator_width": 2, "discriminator_width": 2}


def sndcgan(shape=CELEBA, **options):
    return CompareGANSNDCGAN(shape, 128, CompareGANSNDCGANOptions(**options))


def weights_of(module):
    return [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]


@pytest.mark.parametrize(("shape", "first"), [(CIFAR, 1_056_768 + 16_384), (CELEBA, 4_227_072 + 65_536)])
def test_generator_has_the_parameters_of_the_code(shape, first):
    """A linear layer and the norm of its units; deconv4 256, 128, 64, each with bias and norm; deconv3 3."""
    units = 512 * (shape[1] // 8) ** 2
    deconvs = sum(conv(4, i, o) + norm(o) for i, o in ((512, 256), (256, 128), (128, 64))) + conv(3, 64, 3)
    assert deconvs == 2_097_920 + 524_672 + 131_264 + 1_731
    assert fc(128, units) + norm(units) == first
    assert parameters(without_memory(sndcgan(shape).generator)) == first + deconvs


@pytest.mark.parametrize(("shape", "features"), [(CIFAR, 8_192), (CELEBA, 32_768)])
def test_discriminator_has_the_parameters_of_the_code(shape, features):
    """conv3 64, conv4 128, conv3 128, conv4 256, conv3 256, conv4 512, conv3 512; heads on the flat maps."""
    layers = ((3, 3, 64), (4, 64, 128), (3, 128, 128), (4, 128, 256), (3, 256, 256), (4, 256, 512), (3, 512, 512))
    by_hand = sum(conv(*layer) for layer in layers)
    assert by_hand == 1_792 + 131_200 + 147_584 + 524_544 + 590_080 + 2_097_664 + 2_359_808
    for switch in (True, False):
        network = sndcgan(shape, spectral_norm=switch)
        for classes in (0, 4, 5):
            count = parameters(without_memory(lambda n=network, c=classes: n.discriminator(c)))
            assert count == by_hand + (1 + classes) * (features + 1)
    assert output_shapes(sndcgan(shape), 4) == [(2,), (2, 4), (2, features), (2, 0)]


def test_maps_have_the_sizes_of_the_code():
    network, sizes = sndcgan(**SMALL), []
    generator, discriminator = network.generator(), network.discriminator(4)
    for layer in (*generator.modules(), *discriminator.modules()):
        if isinstance(layer, nn.BatchNorm2d | nn.LeakyReLU):
            layer.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    images = generator(torch.randn(2, 128))
    assert images.shape == (2, *CELEBA)
    discriminator(images)
    assert sizes[:3] == [(8, 16, 16), (4, 32, 32), (2, 64, 64)]
    assert sizes[3:] == [(2, 64, 64), (4, 32, 32), (4, 32, 32), (8, 16, 16), (8, 16, 16), (16, 8, 8), (16, 8, 8)]


def test_the_last_layer_equals_a_transposed_convolution_with_stride_1():
    last = sndcgan(**SMALL).generator()[-2]
    maps = torch.randn(2, 2, 8, 8)
    transposed = F.conv_transpose2d(maps, last.weight.flip(2, 3).transpose(0, 1), last.bias, padding=1)
    torch.testing.assert_close(last(maps), transposed)


def test_a_norm_over_units_follows_the_linear_layer_and_the_discriminator_has_none():
    network = sndcgan(**SMALL)
    norms = [m for m in network.generator().modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert [type(m).__name__ for m in norms] == ["BatchNorm1d", *["BatchNorm2d"] * 3]
    assert {(m.eps, round(1 - m.momentum, 9)) for m in norms} == {(1e-5, 0.9)}
    discriminator = network.discriminator(4)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in discriminator.modules())
    assert {m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}


def test_spectral_norm_sets_the_largest_singular_value_of_every_discriminator_layer_to_one():
    discriminator = sndcgan(CIFAR, **SMALL).discriminator(4)
    with torch.no_grad():
        for _ in range(60):
            discriminator(torch.rand(2, *CIFAR))
    layers = weights_of(discriminator.eval())
    largest = [torch.linalg.matrix_norm(m.weight.detach().flatten(1), ord=2).item() for m in layers]
    assert largest == pytest.approx([1] * 9, abs=0.02)
    assert not any("parametrizations" in name for name, _ in sndcgan(**SMALL).generator().named_parameters())


def test_weights_start_from_a_normal_distribution_with_standard_deviation_002_and_biases_at_zero():
    network = sndcgan(CIFAR, spectral_norm=False, generator_width=8, discriminator_width=8)
    for layer in (*weights_of(network.generator()), *weights_of(network.discriminator(8))):
        assert not layer.bias.any()
        if layer.weight.numel() > 1500:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.08)
            assert layer.weight.abs().max() > 0.05, "normal; a uniform distribution of this deviation ends at 0.035"


def test_conditional_players_are_refused():
    with pytest.raises(NotImplementedError, match="no conditional players"):
        sndcgan().generator(10)
