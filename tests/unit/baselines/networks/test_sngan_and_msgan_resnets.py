"""Parameter counts, blocks, spectral norm and initial weights of the ResNets of SNGAN (mimicry) and MSGAN."""

import copy
import math
from itertools import pairwise, product

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from baselines.networks.layers.residual import Residual
from baselines.networks.msgan_resnet import MSGANResNet, MSGANResNetOptions
from baselines.networks.sngan_resnet import SNGANResNet, SNGANResNetOptions
from tests.support.layer_counts import conv, fc, norm, output_shapes, parameters, upsamplings, without_memory

CIFAR, STL, CELEBA = (3, 32, 32), (3, 48, 48), (3, 64, 64)
SMALL = {"generator_width": 2, "discriminator_width": 2}


def sngan(shape, **options):
    return SNGANResNet(shape, 128, SNGANResNetOptions(**options))


def msgan(shape, **options):
    return MSGANResNet(shape, 128, MSGANResNetOptions(**options))


# --- parameters at the published widths ----------------------------------------------------------------


def up_block(inputs, outputs):
    """BN, conv3, BN, conv3; shortcut conv1."""
    return (
        norm(inputs) + conv(3, inputs, outputs) + norm(outputs) + conv(3, outputs, outputs) + conv(1, inputs, outputs)
    )


def generator_by_hand(start, maps):
    blocks = sum(up_block(i, o) for i, o in pairwise(maps))
    return fc(128, start**2 * maps[0]) + blocks + norm(maps[-1]) + conv(3, maps[-1], 3)


@pytest.mark.parametrize("family", [sngan, msgan])
def test_generators_have_the_parameters_of_the_table(family):
    """32: linear 528,384; three blocks of 512 + 590,080 + 512 + 590,080 + 65,792; BN 512; conv 6,915."""
    assert up_block(256, 256) == 1_246_976
    by_hand = generator_by_hand(4, (256, 256, 256, 256))
    assert by_hand == 528_384 + 3 * 1_246_976 + 512 + 6_915 == 4_276_739
    assert parameters(without_memory(family(CIFAR).generator)) == by_hand
    # 48: linear 2,377,728; blocks 1,902,848, 476,288 and 119,360, each as above; BN 128; conv 1,731
    by_hand = generator_by_hand(6, (512, 256, 128, 64))
    assert by_hand == 2_377_728 + up_block(512, 256) + up_block(256, 128) + up_block(128, 64) + 128 + 1_731
    assert by_hand == 4_878_083
    assert parameters(without_memory(family(STL).generator)) == by_hand


def test_sngan_discriminator_has_the_parameters_of_the_table():
    """32: 3,584 + 147,584 + 512; 2 * 147,584 + 16,512; twice 2 * 147,584 with an identity shortcut; head 129."""
    first = conv(3, 3, 128) + conv(3, 128, 128) + conv(1, 3, 128)
    second = 2 * conv(3, 128, 128) + conv(1, 128, 128)
    by_hand = first + second + 4 * conv(3, 128, 128) + fc(128, 1)
    assert by_hand == 151_680 + 311_680 + 590_336 + 129 == 1_053_825
    assert parameters(without_memory(lambda: sngan(CIFAR).discriminator(0))) == by_hand
    assert parameters(without_memory(lambda: sngan(CIFAR).discriminator(4))) == by_hand + 4 * 129
    # 48: a block has as many inner maps as inputs
    maps = (64, 128, 256, 512, 1024)
    blocks = sum(conv(3, i, i) + conv(3, i, o) + conv(1, i, o) for i, o in pairwise(maps))
    by_hand = conv(3, 3, 64) + conv(3, 64, 64) + conv(1, 3, 64) + blocks + fc(1024, 1)
    assert by_hand == 10_141_441
    assert parameters(without_memory(lambda: sngan(STL).discriminator(0))) == by_hand


def test_sngan_for_64_pixels_has_the_parameters_of_the_table():
    """G: linear 2,113,536; four blocks from 1024 to 64 maps; BN 128; conv 1,731. D: the one for 48."""
    blocks = 7_606_784 + up_block(512, 256) + up_block(256, 128) + up_block(128, 64)
    assert up_block(1024, 512) == 2_048 + 4_719_104 + 1_024 + 2_359_808 + 524_800 == 7_606_784
    by_hand = 2_113_536 + blocks + 128 + 1_731
    assert by_hand == generator_by_hand(4, (1024, 512, 256, 128, 64)) == 12_220_675
    assert parameters(without_memory(sngan(CELEBA).generator)) == by_hand
    assert parameters(without_memory(lambda: sngan(CELEBA).discriminator(0))) == 10_141_441
    assert parameters(without_memory(lambda: sngan(CELEBA).discriminator(4))) == 10_141_441 + 4 * 1025
    flat = sngan(CELEBA, class_features="flat")
    assert parameters(without_memory(lambda: flat.discriminator(4))) == 10_141_441 + fc(2 * 2 * 1024, 4)


@pytest.mark.parametrize("switch", [{"spectral_norm": False}, {"rectified_shortcut": False}, {"pooling": "mean"}])
def test_switches_add_no_parameters(switch):
    assert parameters(without_memory(lambda: sngan(CIFAR, **switch).discriminator(0))) == 1_053_825


def test_msgan_discriminator_has_the_parameters_of_the_table():
    """Blocks have as many inner maps as outputs, and downsample with a convolution on both paths.

    32: the first block adds 16,512 on the body and 12 on the three channels; the second adds 2 * 16,512.
    """
    by_hand = (151_680 + conv(1, 128, 128) + conv(1, 3, 3)) + (311_680 + 2 * conv(1, 128, 128)) + 590_336
    by_hand += fc(128, 1) + fc(8192, 5)  # pooled; flattened
    assert by_hand == 168_204 + 344_704 + 590_336 + 129 + 40_965 == 1_144_338
    assert parameters(without_memory(lambda: msgan(CIFAR).discriminator(5))) == by_hand
    maps = (64, 128, 256, 512, 1024)
    pairs = list(pairwise(maps))
    blocks = sum(conv(3, i, o) + conv(3, o, o) + conv(1, i, o) for i, o in pairs)
    downs = sum(2 * conv(1, o, o) for _, o in pairs[:3])
    first = conv(3, 3, 64) + conv(3, 64, 64) + conv(1, 64, 64) + conv(1, 3, 3) + conv(1, 3, 64)
    by_hand = first + blocks + downs + fc(1024, 1) + fc(9216, 5)
    assert by_hand == 20_282_898
    assert parameters(without_memory(lambda: msgan(STL).discriminator(5))) == by_hand


def test_msgan_encoder_has_the_parameters_of_the_table():
    """conv3 256; three blocks like the generator's; BN; 4*4*256 -> 128. For 48: 6*6*512 -> 128."""
    by_hand = conv(3, 3, 256) + 3 * up_block(256, 256) + norm(256) + fc(4096, 128)
    assert by_hand == 7_168 + 3_740_928 + 512 + 524_416 == 4_273_024
    assert parameters(without_memory(msgan(CIFAR).encoder)) == by_hand
    blocks = up_block(64, 128) + up_block(128, 256) + up_block(256, 512)
    by_hand = conv(3, 3, 64) + blocks + norm(512) + fc(18_432, 128)
    assert by_hand == 7_184_512
    assert parameters(without_memory(msgan(STL).encoder)) == by_hand


@pytest.mark.parametrize(("shape", "features", "lambda_w"), [(CIFAR, 8192, 0.125), (STL, 9216, 0.11785)])
@pytest.mark.parametrize("classes", [0, 4, 5])
def test_msgan_features_are_the_flattened_maps(shape, features, lambda_w, classes):
    """lambda_w = sqrt(noise dimension / feature dimension) of Dist-GAN's encoder is that of the released scripts."""
    assert output_shapes(msgan(shape), classes) == [(2,), (2, classes), (2, features), (2, 0)]
    assert math.sqrt(128 / features) == pytest.approx(lambda_w, abs=5e-6)


@pytest.mark.parametrize(("shape", "features"), [(CIFAR, 128), (STL, 1024), (CELEBA, 1024)])
@pytest.mark.parametrize("classes", [0, 4, 5])
def test_sngan_features_are_the_pooled_maps(shape, features, classes):
    assert output_shapes(sngan(shape), classes) == [(2,), (2, classes), (2, features), (2, 0)]


# --- structure -----------------------------------------------------------------------------------------


def block_sizes(body, images):
    sizes = []
    for block in body.modules():
        if isinstance(block, Residual):
            block.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    body(images)
    return sizes


@pytest.mark.parametrize("family", [sngan, msgan])
def test_maps_have_the_sizes_of_the_table(family):
    small = {"generator_width": 1, "discriminator_width": 1}
    on_32, on_48 = family(CIFAR, **small), family(STL, **small)
    images = torch.rand(2, *CIFAR), torch.rand(2, *STL)
    assert block_sizes(on_32.discriminator(4), images[0]) == [(2, 16, 16), (2, 8, 8), (2, 8, 8), (2, 8, 8)]
    assert block_sizes(on_48.discriminator(4), images[1]) == [
        (1, 24, 24),
        (2, 12, 12),
        (4, 6, 6),
        (8, 3, 3),
        (16, 3, 3),
    ]
    assert block_sizes(on_32.generator(), torch.randn(2, 128)) == [(4, 8, 8), (4, 16, 16), (4, 32, 32)]
    assert block_sizes(on_48.generator(), torch.randn(2, 128)) == [(4, 12, 12), (2, 24, 24), (1, 48, 48)]


def test_sngan_maps_for_64_pixels_have_the_sizes_of_the_table():
    network = sngan(CELEBA, generator_width=1, discriminator_width=1)
    sizes = [(1, 32, 32), (2, 16, 16), (4, 8, 8), (8, 4, 4), (16, 2, 2)]
    assert block_sizes(network.discriminator(4), torch.rand(2, *CELEBA)) == sizes
    sizes = [(8, 8, 8), (4, 16, 16), (2, 32, 32), (1, 64, 64)]
    assert block_sizes(network.generator(), torch.randn(2, 128)) == sizes


def test_msgan_encoder_maps_have_the_sizes_of_the_table():
    encoder = msgan(CIFAR, encoder_width=1).encoder()
    assert block_sizes(encoder, torch.rand(2, *CIFAR)) == [(4, 16, 16), (4, 8, 8), (4, 4, 4)]
    encoder = msgan(STL, encoder_width=1).encoder()
    assert block_sizes(encoder, torch.rand(2, *STL)) == [(2, 24, 24), (4, 12, 12), (8, 6, 6)]
    assert encoder(torch.rand(2, *STL)).shape == (2, 128)
    assert {m.negative_slope for m in encoder.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


def test_batch_norm_has_the_settings_of_the_sources():
    for module in (msgan(CIFAR, **SMALL).generator(), msgan(CIFAR, encoder_width=2).encoder()):
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(m.eps, round(1 - m.momentum, 9)) for m in norms} == {(1e-5, 0.999)}
    norms = [m for m in sngan(CIFAR, **SMALL).generator().modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-5, 0.1)}
    for family in (sngan, msgan):
        assert not any(isinstance(m, nn.BatchNorm2d) for m in family(CIFAR, **SMALL).discriminator(4).modules())


def test_msgan_downsamples_by_keeping_every_second_pixel_of_a_1x1_convolution():
    body = msgan(CIFAR, **SMALL).discriminator(0).body
    x = torch.randn(2, 4, 8, 8)
    first, second, down = weights_of(body[1].body)
    inner = F.conv2d(F.relu(F.conv2d(F.relu(x), first.weight, first.bias, padding=1)), second.weight, second.bias, 1, 1)
    torch.testing.assert_close(body[1].body(x), downsample(down, inner))
    shortcut_conv, down = weights_of(body[1].shortcut)
    torch.testing.assert_close(
        body[1].shortcut(x), downsample(down, F.conv2d(x, shortcut_conv.weight, shortcut_conv.bias))
    )
    assert isinstance(body[0].shortcut[0], nn.Conv2d), "the first block's shortcut downsamples first"
    assert (body[0].shortcut[0].in_channels, body[0].shortcut[0].out_channels) == (3, 3)


def downsample(layer, x):
    """Every second pixel of the layer's 1x1 convolution, which is computed at all pixels."""
    pixelwise = torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], x)[:, :, ::2, ::2]
    return pixelwise + layer.bias[:, None, None]


@pytest.mark.parametrize(("shape", "maps"), [(CIFAR, (4, 8, 8)), (STL, (32, 3, 3))])
def test_the_logit_of_msgan_sees_sums_over_pixels_and_its_class_head_all_pixels(shape, maps):
    discriminator = msgan(shape, **SMALL).discriminator(5)
    output = discriminator(torch.rand(3, *shape))
    sums = output.features.view(3, *maps).sum((2, 3))
    torch.testing.assert_close(output.logit, discriminator.heads.logit(sums).squeeze(1))
    torch.testing.assert_close(output.class_logits, discriminator.heads.classes(output.features))


def test_rectified_shortcuts_receive_no_negative_maps():
    x = torch.randn(2, 4, 8, 8)
    rectified = sngan(CIFAR, spectral_norm=False, **SMALL).discriminator(0).body[2]
    plain = sngan(CIFAR, spectral_norm=False, rectified_shortcut=False, **SMALL).discriminator(0).body[2]
    plain.load_state_dict(rectified.state_dict())
    before = x.clone()
    torch.testing.assert_close(rectified(x) - rectified.body(x), x.relu())
    torch.testing.assert_close(plain(x) - plain.body(x), x)
    assert torch.equal(x, before), "no path changes the input"


def test_sum_and_mean_pooling_differ_by_the_number_of_pixels():
    sum_pooled, mean_pooled = (sngan(CIFAR, pooling=p, **SMALL).discriminator(4).eval() for p in ("sum", "mean"))
    mean_pooled.load_state_dict(sum_pooled.state_dict())
    images = torch.rand(3, *CIFAR)
    torch.testing.assert_close(sum_pooled(images).features, 64 * mean_pooled(images).features)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_upsampling_follows_its_option(mode):
    assert upsamplings(sngan(CIFAR, upsampling=mode, **SMALL).generator()) == [mode] * 6


def test_msgan_upsamples_by_nearest_neighbours():
    assert upsamplings(msgan(CIFAR, **SMALL).generator()) == ["nearest"] * 6


# --- spectral norm -------------------------------------------------------------------------------------


def weights_of(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def test_spectral_norm_sets_the_largest_singular_value_of_every_layer_to_one():
    discriminator = sngan(CIFAR, **SMALL).discriminator(4)
    images = torch.rand(2, *CIFAR)
    for _ in range(60):
        discriminator(images)
    layers = weights_of(discriminator.eval())
    assert len(layers) == 3 + 3 + 2 + 2 + 2
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert largest.item() == pytest.approx(1, abs=0.02)


def test_spectral_norm_can_be_switched_off():
    discriminator = sngan(CIFAR, spectral_norm=False, **SMALL).discriminator(4)
    assert not list(discriminator.buffers())
    assert not any("parametrizations" in name for name, _ in discriminator.named_parameters())


def test_the_generator_has_no_spectral_norm():
    assert not any("parametrizations" in name for name, _ in sngan(CIFAR, **SMALL).generator().named_parameters())


def test_a_training_pass_updates_the_singular_vectors_once_and_an_evaluation_pass_does_not():
    discriminator = sngan(CIFAR, **SMALL).discriminator(4)
    vector = discriminator.heads.classes.parametrizations.weight[0].of
    matrix = discriminator.heads.classes.parametrizations.weight.original.detach()
    images = torch.rand(2, *CIFAR)
    with torch.no_grad():
        vector._v.copy_(nn.functional.normalize(torch.ones(4), dim=0))
    before = vector._u.clone(), vector._v.clone()
    u = nn.functional.normalize(matrix @ vector._v, dim=0)
    v = nn.functional.normalize(matrix.T @ u, dim=0)
    discriminator.eval()(images)
    assert torch.equal(vector._u, before[0])
    assert torch.equal(vector._v, before[1])
    discriminator.train()(images)
    assert torch.allclose(vector._u, u, atol=1e-6)
    assert torch.allclose(vector._v, v, atol=1e-6)


def test_singular_vectors_are_part_of_the_state():
    """A discriminator that loads the state gives bit-identical outputs, now and after more passes."""
    original, restored = (sngan(CIFAR, **SMALL).discriminator(4) for _ in range(2))
    images = torch.rand(2, *CIFAR)
    original(images)
    restored.load_state_dict(copy.deepcopy(original.state_dict()))
    for _ in range(3):
        for expected, output in zip(original(images), restored(images), strict=True):
            assert torch.equal(output, expected)


def test_one_backward_pass_may_follow_several_forward_passes():
    discriminator = sngan(CIFAR, **SMALL).discriminator(4)
    first, second = discriminator(torch.rand(2, *CIFAR)), discriminator(torch.rand(2, *CIFAR))
    (first.logit.sum() - second.logit.sum() + first.class_logits.square().sum()).backward()
    assert all(p.grad is not None for p in discriminator.parameters())


# --- initial weights, options --------------------------------------------------------------------------


def glorot_gain(weight):
    fans = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])
    return weight.abs().max().item() / math.sqrt(6 / fans)


def test_sngan_starts_with_gain_root_2_inside_blocks_and_1_elsewhere():
    network = sngan(CIFAR, spectral_norm=False, generator_width=8, discriminator_width=16)
    for player in (network.generator(), network.discriminator(4)):
        inner = {m for b in player.modules() if isinstance(b, Residual) for m in b.body.modules()}
        assert any(layer in inner for layer in weights_of(player))
        for layer in weights_of(player):
            expected = math.sqrt(2) if layer in inner else 1
            assert 0.9 * expected < glorot_gain(layer.weight.detach()) <= 1.0001 * expected


def test_msgan_starts_with_gain_1_and_biases_at_zero():
    network = msgan(CIFAR, generator_width=8, discriminator_width=16, encoder_width=8)
    for player in (network.generator(), network.discriminator(5), network.encoder()):
        for layer in weights_of(player):
            assert not layer.bias.any()
            assert (0.9 if layer.weight.numel() > 100 else 0.3) < glorot_gain(layer.weight.detach()) <= 1.0001


@pytest.mark.parametrize("width", [0, -1, 1025, 2.0, "8", True, None])
@pytest.mark.parametrize("player", ["generator", "discriminator", "encoder"])
def test_widths_are_integers_within_bounds(player, width):
    with pytest.raises(ValidationError):
        MSGANResNetOptions(**{f"{player}_width": width})


@pytest.mark.parametrize(
    "invalid",
    [
        {"spectral_norm": 1},
        {"pooling": "max"},
        {"upsampling": "cubic"},
        {"rectified_shortcut": "no"},
        {"encoder_width": 8},
    ],
)
def test_invalid_options_are_refused(invalid):
    with pytest.raises(ValidationError):
        SNGANResNetOptions(**invalid)


@pytest.mark.parametrize(
    ("family", "low", "shape"),
    [*product([sngan], [-1.0], [CIFAR, STL, CELEBA]), *product([msgan], [0.0], [CIFAR, STL])],
)
def test_generated_images_span_the_image_range(family, low, shape):
    network = family(shape, **SMALL)
    generator = network.generator()
    with torch.no_grad():
        for layer in weights_of(generator):
            layer.weight.mul_(30)
        images = generator(torch.randn(8, 128, generator=torch.Generator().manual_seed(0)))
    assert network.image_range == (low, 1.0)
    assert images.shape == (8, *shape)
    assert low <= images.min() < low + 0.05
    assert 0.95 < images.max() <= 1
