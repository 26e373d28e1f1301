"""Parameter counts, map sizes and initial weights of MSGAN's DCGAN and of the SN-GAN CNN (MSGAN's and Dist-GAN's)."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from baselines.networks.dcgan import DCGAN, DCGANOptions
from baselines.networks.sngan_cnn import SNGANCNN, SNGANCNNOptions
from tests.support.layer_counts import conv, fc, norm, output_shapes, parameters, without_memory

CIFAR, STL, CELEBA = (3, 32, 32), (3, 48, 48), (3, 64, 64)
SMALL = {"generator_width": 2, "discriminator_width": 2, "encoder_width": 2}


def dcgan(shape, **options):
    return DCGAN(shape, 100 if shape == CELEBA else 128, DCGANOptions(**options))


def cnn(shape=CIFAR, **options):
    return SNGANCNN(shape, 128, SNGANCNNOptions(**options))


def weights_of(module):
    return [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]


def layer_sizes(player, inputs):
    sizes = []
    for layer in player.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            # the input size: a transposed convolution is cropped after its hook has run
            layer.register_forward_hook(lambda m, args, out: sizes.append((m.out_channels, args[0].shape[2])))
    player(inputs)
    return sizes


# --- parameters at the published widths ----------------------------------------------------------------

# conv5 64 has a bias; conv5 128, 256, 512 have batch norm instead
HALVINGS = (
    conv(5, 3, 64)  # 4,864
    + (conv(5, 64, 128, bias=False) + norm(128))  # 205,056
    + (conv(5, 128, 256, bias=False) + norm(256))  # 819,712
    + (conv(5, 256, 512, bias=False) + norm(512))  # 3,277,824
)


@pytest.mark.parametrize(
    ("shape", "features", "lambda_w", "heads"),
    # heads: 2048 + 1 and 5 * 2049; 8192 + 1 and 5 * 8193
    [(CIFAR, 2048, 0.25, 2_049 + 10_245), (CELEBA, 8192, 0.1105, 8_193 + 40_965)],
)
def test_dcgan_discriminator_has_the_parameters_of_the_table(shape, features, lambda_w, heads):
    """lambda_w = sqrt(noise dimension / feature dimension) of Dist-GAN's encoder is that of the released scripts."""
    assert HALVINGS == 4_307_456
    network = dcgan(shape)
    assert parameters(without_memory(lambda: network.discriminator(5))) == HALVINGS + heads
    for classes in (0, 4, 5):
        assert output_shapes(network, classes) == [(2,), (2, classes), (2, features), (2, 0)]
    assert math.sqrt(network.latent_dim / features) == pytest.approx(lambda_w, abs=5e-5)


def test_dcgan_generator_has_the_parameters_of_the_table():
    """fc, BN of its units; deconv5 256, 128, 64, each with BN; deconv5 3 with bias."""
    deconvs = (
        (conv(5, 512, 256, bias=False) + norm(256))  # 3,277,312
        + (conv(5, 256, 128, bias=False) + norm(128))  # 819,456
        + (conv(5, 128, 64, bias=False) + norm(64))  # 204,928
        + conv(5, 64, 3)  # 4,803
    )
    by_hand = fc(128, 2 * 2 * 512, bias=False) + norm(2 * 2 * 512) + deconvs
    assert by_hand == 262_144 + 4_096 + 4_306_499 == 4_572_739
    assert parameters(without_memory(dcgan(CIFAR).generator)) == by_hand
    by_hand = fc(100, 4 * 4 * 512, bias=False) + norm(4 * 4 * 512) + deconvs
    assert by_hand == 819_200 + 16_384 + 4_306_499 == 5_142_083
    assert parameters(without_memory(dcgan(CELEBA).generator)) == by_hand


def test_the_encoders_of_dcgan_and_of_the_32x32_cnn_have_the_parameters_of_the_table():
    by_hand = HALVINGS + fc(2048, 128)
    assert by_hand == 4_307_456 + 262_272 == 4_569_728
    assert parameters(without_memory(dcgan(CIFAR).encoder)) == by_hand
    assert parameters(without_memory(cnn().encoder)) == by_hand  # MS-11
    assert parameters(without_memory(dcgan(CELEBA).encoder)) == HALVINGS + fc(8192, 100) == 5_126_756


def test_cnn_discriminator_has_the_parameters_of_the_table():
    by_hand = (
        conv(3, 3, 64)  # 1,792
        + conv(4, 64, 64)  # 65,600
        + conv(3, 64, 128)  # 73,856
        + conv(4, 128, 128)  # 262,272
        + conv(3, 128, 256)  # 295,168
        + conv(4, 256, 256)  # 1,048,832
        + conv(3, 256, 512)  # 1,180,160
        + fc(8192, 1)
        + fc(8192, 5)
    )
    assert by_hand == 2_927_680 + 8_193 + 40_965 == 2_976_838
    for switch in (False, True):
        assert parameters(without_memory(lambda on=switch: cnn(spectral_norm=on).discriminator(5))) == by_hand
    for classes in (0, 4, 5):
        assert output_shapes(cnn(), classes) == [(2,), (2, classes), (2, 8192), (2, 0)]
    assert math.sqrt(128 / 8192) == 0.125  # lambda_w of the scripts


def test_cnn_generator_has_the_parameters_of_the_table():
    """fc 4*4*1024 with bias and no BN; deconv4 512, 256, 128, each with BN; conv3 3."""
    by_hand = (
        fc(128, 16_384)  # 2,113,536
        + (conv(4, 1024, 512, bias=False) + norm(512))  # 8,389,632
        + (conv(4, 512, 256, bias=False) + norm(256))  # 2,097,664
        + (conv(4, 256, 128, bias=False) + norm(128))  # 524,544
        + conv(3, 128, 3)  # 3,459
    )
    assert by_hand == 13_128_835
    assert parameters(without_memory(cnn().generator)) == by_hand


def test_the_48x48_cnn_has_the_parameters_of_dist_gan():
    """The convolutions are those for 32x32; the linear layers see 6x6 instead of 4x4 pixels."""
    convolutions = 13_128_835 - fc(128, 16_384)
    assert fc(128, 6 * 6 * 1024) == 4_755_456
    assert parameters(without_memory(cnn(STL).generator)) == convolutions + 4_755_456 == 15_770_755
    by_hand = 2_927_680 + fc(18_432, 1) + fc(18_432, 5)
    assert by_hand == 2_927_680 + 18_433 + 92_165 == 3_038_278
    assert parameters(without_memory(lambda: cnn(STL).discriminator(5))) == by_hand
    for classes in (0, 4, 5):
        assert output_shapes(cnn(STL), classes) == [(2,), (2, classes), (2, 18_432), (2, 0)]
    assert math.sqrt(128 / 18_432) == pytest.approx(0.0833, abs=5e-5)  # lambda_w of MSGAN's script


def test_the_48x48_encoder_has_the_parameters_of_dist_gan():
    """conv3 128 with bias; conv4 256, 512, 1024, each with BN; 6*6*1024 -> 128."""
    by_hand = (
        conv(3, 3, 128)  # 3,584
        + (conv(4, 128, 256, bias=False) + norm(256))  # 524,800
        + (conv(4, 256, 512, bias=False) + norm(512))  # 2,098,176
        + (conv(4, 512, 1024, bias=False) + norm(1024))  # 8,390,656
        + fc(36_864, 128)  # 4,718,720
    )
    assert by_hand == 15_735_936
    assert parameters(without_memory(cnn(STL).encoder)) == by_hand


# --- structure -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "start"), [(CIFAR, 2), (CELEBA, 4)])
def test_dcgan_maps_have_the_sizes_of_the_table(shape, start):
    network = dcgan(shape, **SMALL)
    sides = [16 * start, 8 * start, 4 * start, 2 * start]  # of the inputs of the layers
    shrinking = list(zip([2, 4, 8, 16], sides, strict=True))
    assert layer_sizes(network.discriminator(4), torch.rand(2, *shape)) == shrinking
    assert layer_sizes(network.encoder(), torch.rand(2, *shape)) == shrinking
    assert network.encoder()(torch.rand(2, *shape)).shape == (2, network.latent_dim)
    growing = list(zip([8, 4, 2, 3], [start, 2 * start, 4 * start, 8 * start], strict=True))
    assert layer_sizes(network.generator(), torch.randn(2, network.latent_dim)) == growing


def test_cnn_maps_have_the_sizes_of_the_table():
    network = cnn(**SMALL)
    expected = [(2, 32), (2, 32), (4, 16), (4, 16), (8, 8), (8, 8), (16, 4)]
    assert layer_sizes(network.discriminator(4), torch.rand(2, *CIFAR)) == expected
    assert layer_sizes(network.generator(), torch.randn(2, 128)) == [(16, 4), (8, 8), (4, 16), (3, 32)]


def test_the_maps_of_the_48x48_cnn_have_the_sizes_of_the_table():
    network = cnn(STL, **SMALL)
    expected = [(2, 48), (2, 48), (4, 24), (4, 24), (8, 12), (8, 12), (16, 6)]
    assert layer_sizes(network.discriminator(4), torch.rand(2, *STL)) == expected
    assert layer_sizes(network.generator(), torch.randn(2, 128)) == [(16, 6), (8, 12), (4, 24), (3, 48)]
    assert layer_sizes(network.encoder(), torch.rand(2, *STL)) == [(4, 48), (8, 48), (16, 24), (32, 12)]
    assert network.encoder()(torch.rand(2, *STL)).shape == (2, 128)


def test_the_48x48_cnn_has_the_leaky_relu_and_batch_norm_of_dist_gan():
    network = cnn(STL, **SMALL)
    counts = []
    for player in (network.generator(), network.discriminator(4), network.encoder()):
        norms = [m for m in player.modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(m.eps, round(1 - m.momentum, 9)) for m in norms} <= {(1e-5, 0.9)}
        slopes = [m.negative_slope for m in player.modules() if isinstance(m, nn.LeakyReLU)]
        assert set(slopes) <= {0.1}
        relus = sum(isinstance(m, nn.ReLU) for m in player.modules())
        counts.append((len(norms), len(slopes), relus))
    assert counts == [(3, 0, 4), (0, 7, 0), (3, 3, 1)]


def test_batch_norm_and_leaky_relu_have_the_settings_of_the_sources():
    dc, sn = dcgan(CIFAR, **SMALL), cnn(**SMALL)
    counts = {}
    players = {
        "G": dc.generator(), "D": dc.discriminator(4), "E": dc.encoder(),
        "cnn G": sn.generator(), "cnn D": sn.discriminator(4), "cnn E": sn.encoder(),
    }  # fmt: skip
    for name, player in players.items():
        norms = [m for m in player.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert {(m.eps, round(1 - m.momentum, 9)) for m in norms} <= {(1e-5, 0.9)}
        assert {m.negative_slope for m in player.modules() if isinstance(m, nn.LeakyReLU)} <= {0.2}
        counts[name] = len(norms)
    assert counts == {"G": 4, "D": 3, "E": 3, "cnn G": 3, "cnn D": 0, "cnn E": 3}
    first = next(m for m in players["G"] if isinstance(m, nn.BatchNorm1d))
    assert first.num_features == 2 * 2 * 8 * 2, "the units of the linear layer, not its channels"


def test_the_cnn_has_spectral_norm_in_every_layer_and_only_on_request():
    plain, normalised = (cnn(spectral_norm=on, **SMALL).discriminator(4) for on in (False, True))
    assert not list(plain.buffers())
    images = torch.rand(2, *CIFAR)
    for _ in range(60):
        normalised(images)
    layers = weights_of(normalised.eval())
    assert len(layers) == 7 + 2
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)


def test_weights_start_from_glorots_uniform_distribution_and_biases_at_zero():
    for family in (dcgan(CIFAR, **SMALL), cnn(**SMALL), cnn(STL, **SMALL)):
        for player in (family.generator(), family.discriminator(5), family.encoder()):
            for layer in weights_of(player):
                weight = layer.weight.detach()
                bound = math.sqrt(6 / ((weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])))
                assert 0.8 * bound < weight.abs().max() <= bound
                assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("network", [dcgan(CIFAR, **SMALL), dcgan(CELEBA, **SMALL), cnn(**SMALL), cnn(STL, **SMALL)])
def test_generated_images_span_the_image_range(network):
    generator = network.generator()
    with torch.no_grad():
        for layer in weights_of(generator):
            layer.weight.mul_(30)
        images = generator(torch.randn(8, network.latent_dim, generator=torch.Generator().manual_seed(0)))
    assert images.shape == (8, *network.shape)
    assert 0 <= images.min() < 0.05
    assert 0.95 < images.max() <= 1


@pytest.mark.parametrize("width", [0, -1, 1025, 2.0, "8", True, None])
@pytest.mark.parametrize("options", [DCGANOptions, SNGANCNNOptions])
def test_widths_are_integers_within_bounds(options, width):
    for player in ("generator", "discriminator", "encoder"):
        with pytest.raises(ValidationError):
            options(**{f"{player}_width": width})


@pytest.mark.parametrize("value", [1, "yes", None])
def test_spectral_norm_is_true_or_false(value):
    with pytest.raises(ValidationError):
        SNGANCNNOptions(spectral_norm=value)
