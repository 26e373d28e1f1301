"""Parameter counts, blocks, self-modulation, spectral norm and initial weights of compare_gan's ResNets."""

from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from baselines.networks.compare_gan_resnet import CompareGANResNet, CompareGANResNetOptions, SelfModulatedBatchNorm
from baselines.networks.layers.conditional import ConditionalBatchNorm
from baselines.networks.layers.residual import Residual
from tests.support.layer_counts import conv, fc, norm, output_shapes, parameters, without_memory

CIFAR, CELEBA = (3, 32, 32), (3, 64, 64)
SMALL = {"generator_width": 2, "discriminator_width": 2}


def resnet(shape=CIFAR, **options):
    return CompareGANResNet(shape, 128, CompareGANResNetOptions(**options))


def modulated(**options):
    return resnet(generator_norm="self_modulated", **options)


def weights_of(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


# --- parameters at the published widths ----------------------------------------------------------------


def test_generator_has_the_parameters_of_the_table():
    """linear 528,384; three blocks of 512 + 590,080 + 512 + 590,080, shortcut conv3 590,080; BN 512; conv 6,915."""
    block = 2 * norm(256) + 3 * conv(3, 256, 256)
    by_hand = fc(128, 4 * 4 * 256) + 3 * block + norm(256) + conv(3, 256, 3)
    assert by_hand == 528_384 + 3 * 1_771_264 + 512 + 6_915 == 5_849_603
    assert parameters(without_memory(resnet().generator)) == by_hand


def test_self_modulation_replaces_each_of_seven_norms_by_three_linear_layers():
    """z 128 -> 32, and 32 -> 256 for scale and shift: 4,128 + 8,448 + 8,448."""
    by_hand = fc(128, 32) + 2 * fc(32, 256)
    assert by_hand == 21_024
    assert parameters(without_memory(modulated().generator)) == 5_849_603 + 7 * (by_hand - 512)


def test_discriminator_has_the_parameters_of_the_table():
    """3,584 + 147,584, shortcut conv3 3,584; three blocks of 3 * 147,584, shortcut included; head 129."""
    by_hand = 2 * conv(3, 3, 128) + conv(3, 128, 128) + 9 * conv(3, 128, 128) + fc(128, 1)
    assert by_hand == 154_752 + 3 * 442_752 + 129 == 1_483_137
    for switch in (True, False):
        network = resnet(spectral_norm=switch)
        assert parameters(without_memory(lambda n=network: n.discriminator(0))) == by_hand
        assert parameters(without_memory(lambda n=network: n.discriminator(4))) == by_hand + 4 * 129


def test_conditions_add_scales_and_shifts_to_all_norms_and_rows_to_the_projection():
    """With 10 classes all seven norms are conditional; the projection has no bias."""
    assert parameters(without_memory(lambda: resnet().generator(10))) == 5_849_603 + 7 * (10 * 512 - 512)
    assert parameters(without_memory(lambda: resnet().discriminator(0, 10))) == 1_483_137 + 10 * 128


def test_the_generator_for_64_pixels_has_the_parameters_of_resnet5():
    """linear 1,056,768; five blocks of two norms and three conv3; BN 128; conv 1,731."""
    maps = (512, 512, 256, 256, 128, 64)
    blocks = sum(norm(i) + norm(o) + 2 * conv(3, i, o) + conv(3, o, o) for i, o in pairwise(maps))
    by_hand = fc(128, 4 * 4 * 512) + blocks + norm(64) + conv(3, 64, 3)
    assert blocks == 7_081_472 + 2_951_424 + 1_771_264 + 738_432 + 184_896
    assert by_hand == 1_056_768 + 12_727_488 + 128 + 1_731 == 13_786_115
    assert parameters(without_memory(resnet(CELEBA).generator)) == by_hand
    # two norms of each block and the last one: 512 three times, 256 four times, 128 twice, 64 twice
    channels = [*(n for pair in pairwise(maps) for n in pair), 64]
    assert (len(channels), sum(channels)) == (11, 2_944)
    modulated_by_hand = by_hand - 2 * 2_944 + 11 * fc(128, 32) + sum(2 * fc(32, n) for n in channels)
    assert parameters(without_memory(modulated(shape=CELEBA).generator)) == modulated_by_hand
    assert parameters(without_memory(lambda: resnet(CELEBA).generator(10))) == by_hand + 9 * 2 * 2_944


def test_the_discriminator_for_64_pixels_has_the_parameters_of_resnet5():
    """Blocks of 64, 128, 256, 256, 512 and 512 maps from the 3 of the image; head 513."""
    maps = (3, 64, 128, 256, 256, 512, 512)
    blocks = sum(2 * conv(3, i, o) + conv(3, o, o) for i, o in pairwise(maps))
    by_hand = blocks + fc(512, 1)
    assert by_hand == 40_512 + 295_296 + 1_180_416 + 1_770_240 + 4_720_128 + 7_079_424 + 513 == 15_086_529
    for switch in (True, False):
        network = resnet(CELEBA, spectral_norm=switch)
        assert parameters(without_memory(lambda n=network: n.discriminator(0))) == by_hand
        assert parameters(without_memory(lambda n=network: n.discriminator(4))) == by_hand + 4 * 513
    assert parameters(without_memory(lambda: resnet(CELEBA).discriminator(0, 10))) == by_hand + 10 * 512


@pytest.mark.parametrize(("shape", "features"), [(CIFAR, 128), (CELEBA, 512)])
@pytest.mark.parametrize("classes", [0, 4, 5])
def test_discriminator_features_are_the_pooled_maps(shape, features, classes):
    assert output_shapes(resnet(shape), classes) == [(2,), (2, classes), (2, features), (2, 0)]


def test_packing_changes_only_the_input_channels():
    by_hand = 1_483_137 + 2 * (conv(3, 9, 128) - conv(3, 3, 128))
    assert parameters(without_memory(lambda: resnet().packed(3).discriminator(0))) == by_hand


# --- structure -----------------------------------------------------------------------------------------


def block_sizes(player, inputs):
    sizes = []
    for block in player.modules():
        if isinstance(block, Residual):
            block.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    player(inputs)
    return sizes


@pytest.mark.parametrize("kind", ["batch", "self_modulated"])
def test_maps_have_the_sizes_of_the_table(kind):
    network = resnet(generator_norm=kind, generator_width=1, discriminator_width=1)
    assert block_sizes(network.generator(), torch.randn(2, 128)) == [(4, 8, 8), (4, 16, 16), (4, 32, 32)]
    expected = [(2, 16, 16), (2, 8, 8), (2, 8, 8), (2, 8, 8)]
    assert block_sizes(network.discriminator(4), torch.rand(2, *CIFAR)) == expected


@pytest.mark.parametrize("kind", ["batch", "self_modulated"])
def test_maps_for_64_pixels_have_the_sizes_of_resnet5(kind):
    """The generator's fifth block keeps the side; all six of the discriminator's halve it."""
    network = resnet(CELEBA, generator_norm=kind, generator_width=1, discriminator_width=1)
    sizes = [(8, 8, 8), (4, 16, 16), (4, 32, 32), (2, 64, 64), (1, 64, 64)]
    assert block_sizes(network.generator(), torch.randn(2, 128)) == sizes
    sizes = [(1, 32, 32), (2, 16, 16), (4, 8, 8), (4, 4, 4), (8, 2, 2), (8, 1, 1)]
    assert block_sizes(network.discriminator(4), torch.rand(2, *CELEBA)) == sizes


def test_unpooling_puts_each_pixel_at_the_upper_left_of_a_block_of_zeros():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]])
    expected = torch.tensor(
        [
            [
                [[1.0, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]],
                [[5.0, 0, 6, 0], [0, 0, 0, 0], [7, 0, 8, 0], [0, 0, 0, 0]],
            ]
        ]
    )
    assert torch.equal(convolution_input(x), expected)
    tall = torch.rand(2, 3, 5, 4)
    assert convolution_input(tall).shape == (2, 3, 10, 8)
    assert torch.equal(convolution_input(tall)[:, :, ::2, ::2], tall)


def convolution_input(maps):
    """The maps that the 3x3 convolution of an upsampling block receives, returned by an identity kernel."""
    up = resnet(**SMALL).generator()[2].body[2]
    up.weight = nn.Parameter(torch.zeros(maps.shape[1], maps.shape[1], 3, 3))
    up.weight.data[:, :, 1, 1] = torch.eye(maps.shape[1])
    up.bias = nn.Parameter(torch.zeros(maps.shape[1]))
    return up(maps).detach()


def test_an_upsampling_block_equals_its_formula():
    block = resnet(**SMALL).generator().eval()[2]
    x = torch.randn(2, 8, 4, 4)
    before = x.clone()
    wide = torch.zeros(2, 8, 8, 8)
    shortcut_input = wide.clone()
    shortcut_input[:, :, ::2, ::2] = x
    wide[:, :, ::2, ::2] = F.relu(x / (1 + 1e-5) ** 0.5)  # running mean 0 and variance 1, scale 1 and shift 0
    first, second = weights_of(block.body)
    (third,) = weights_of(block.shortcut)
    body = F.conv2d(wide, first.weight, padding=1)
    body = F.conv2d(F.relu(body / (1 + 1e-5) ** 0.5), second.weight, padding=1)
    torch.testing.assert_close(block(x), body + F.conv2d(shortcut_input, third.weight, padding=1))
    assert torch.equal(x, before)


@pytest.mark.parametrize(("index", "down"), [(1, True), (2, False)])
def test_a_discriminator_block_equals_its_formula(index, down):
    """Every block has a learned shortcut, even if the shape stays; it receives the maps before the ReLU."""
    block = resnet(spectral_norm=False, **SMALL).discriminator(0).body[index]
    x = torch.randn(2, 4, 8, 8)
    before = x.clone()
    first, second = weights_of(block.body)
    (third,) = weights_of(block.shortcut)
    body = F.conv2d(F.relu(F.conv2d(F.relu(x), first.weight, padding=1)), second.weight, padding=1)
    total = body + F.conv2d(x, third.weight, padding=1)
    torch.testing.assert_close(block(x), F.avg_pool2d(total, 2) if down else total)
    assert torch.equal(x, before)


def test_heads_receive_means_over_pixels():
    discriminator = resnet(spectral_norm=False, **SMALL).discriminator(4)
    images = torch.rand(3, *CIFAR)
    output, maps = discriminator(images), discriminator.body(images)
    assert maps.min() >= 0
    torch.testing.assert_close(output.features, maps.flatten(2).mean(2))
    torch.testing.assert_close(output.logit, discriminator.heads.logit(output.features).squeeze(1))
    torch.testing.assert_close(output.class_logits, discriminator.heads.classes(output.features))


@pytest.mark.parametrize(("options", "conditions"), [({}, 0), ({}, 10), ({"generator_norm": "self_modulated"}, 0)])
def test_only_the_generator_has_batch_norm_with_the_settings_of_the_configuration(options, conditions):
    network = resnet(**options, **SMALL)
    norms = [m for m in network.generator(conditions).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 7
    assert {(m.eps, round(1 - m.momentum, 9)) for m in norms} == {(1e-5, 0.9)}
    assert {m.affine for m in norms} == {not options and not conditions}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.discriminator(4).modules())


# --- self-modulation -----------------------------------------------------------------------------------


def self_modulated_norm(channels=6):
    torch.manual_seed(0)
    layer = SelfModulatedBatchNorm(channels, 128)
    return layer, torch.randn(5, channels, 4, 4), torch.randn(5, 128)


def test_self_modulation_equals_its_formula():
    layer, x, z = self_modulated_norm()
    hidden = (z @ layer.hidden.weight.T + layer.hidden.bias).clamp(min=0)
    gamma = hidden @ layer.scale.weight.T + layer.scale.bias
    beta = hidden @ layer.shift.weight.T + layer.shift.bias
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
    expected = (x - mean) / (variance + 1e-5).sqrt() * gamma[:, :, None, None] + beta[:, :, None, None]
    torch.testing.assert_close(layer(x, z), expected)


def test_self_modulation_with_zero_weights_is_batch_norm():
    """The biases of every norm of the generator start at scale 1 and shift 0."""
    generator = modulated(**SMALL).generator()
    norms = [m for m in generator.modules() if isinstance(m, SelfModulatedBatchNorm)]
    assert len(norms) == 7
    for layer in norms:
        assert (layer.hidden.in_features, layer.hidden.out_features) == (128, 32)
        assert torch.equal(layer.scale.bias, torch.ones(8))
        assert not layer.shift.bias.any()
        assert not layer.hidden.bias.any()
    layer, x, z = norms[0], torch.randn(5, 8, 4, 4), torch.randn(5, 128)
    standard = F.batch_norm(x, None, None, training=True, eps=1e-5)
    assert not torch.allclose(layer(x, z), standard, atol=1e-4)
    with torch.no_grad():
        layer.hidden.weight.zero_()
    torch.testing.assert_close(layer(x, z), standard)


def test_self_modulation_of_an_image_depends_only_on_its_own_latent():
    layer, x, z = self_modulated_norm()
    other = z.clone()
    other[2] += 1
    changed = (layer(x, z) != layer(x, other)).flatten(1).any(1)
    assert changed.tolist() == [False, False, True, False, False]


def test_latents_change_the_image_through_the_norms_alone():
    generator = modulated(**SMALL).generator().eval()
    first = next(m for m in generator.modules() if isinstance(m, nn.Linear) and m.out_features == 128)
    assert first.in_features == 128
    with torch.no_grad():
        for layer in weights_of(generator):
            layer.weight.mul_(10)
        first.weight.zero_()
        first.bias.fill_(1)
        first_image, second_image = generator(torch.randn(2, 128))
    assert not torch.allclose(first_image, second_image, atol=1e-3)


def test_every_weight_of_the_self_modulation_gets_a_gradient():
    generator = modulated(**SMALL).generator()
    (generator(torch.randn(4, 128)) * torch.randn(4, *CIFAR)).sum().backward()
    norms = [m for m in generator.modules() if isinstance(m, SelfModulatedBatchNorm)]
    for layer in norms:
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in layer.parameters())


def test_a_self_modulated_generator_refuses_conditions():
    with pytest.raises(NotImplementedError, match="self_modulated has no conditional generator"):
        modulated().generator(10)
    assert modulated(**SMALL).discriminator(4, 10)(torch.rand(2, *CIFAR)).condition_logits.shape == (2, 10)


# --- conditions ----------------------------------------------------------------------------------------


def test_a_label_changes_the_image_and_the_logit():
    network = resnet(**SMALL)
    generator, discriminator = network.generator(10).eval(), network.discriminator(4, 10).eval()
    z, labels = torch.randn(4, 128), torch.tensor([0, 1, 2, 3])
    assert not torch.equal(generator(z, labels), generator(z, labels + 1))
    output = discriminator(torch.rand(4, *CIFAR))
    assert not torch.equal(output.logit_given(labels), output.logit_given(labels + 1))


def test_the_conditional_logit_equals_the_projection_formula():
    """out = psi(h) + (W y) . h for a one-hot y."""
    discriminator = resnet(spectral_norm=False, **SMALL).discriminator(0, 10)
    labels = torch.tensor([7, 0, 3])
    output = discriminator(torch.rand(3, *CIFAR))
    embedded = F.one_hot(labels, 10).float() @ discriminator.heads.conditions.weight
    expected = output.logit + (embedded * output.features).sum(1)
    torch.testing.assert_close(output.logit_given(labels), expected)
    assert discriminator.heads.conditions.bias is None


def test_conditional_scales_and_shifts_start_around_zero_in_all_norms():
    norms = [m for m in resnet(generator_width=32).generator(100).modules() if isinstance(m, ConditionalBatchNorm)]
    assert len(norms) == 7
    for kind in ("scale", "shift"):
        weights = torch.cat([getattr(m, kind).weight.detach().flatten() for m in norms])
        assert weights.mean().item() == pytest.approx(0, abs=1e-3)
        assert weights.std().item() == pytest.approx(0.02, rel=0.02)


# --- spectral norm, initial weights, options -----------------------------------------------------------


def test_spectral_norm_sets_the_largest_singular_value_of_every_discriminator_layer_to_one():
    discriminator = resnet(**SMALL).discriminator(4, 10)
    with torch.no_grad():
        for _ in range(60):
            discriminator(torch.rand(2, *CIFAR))
    layers = weights_of(discriminator.eval())
    assert len(layers) == 4 * 3 + 3
    largest = [torch.linalg.matrix_norm(m.weight.detach().flatten(1), ord=2).item() for m in layers]
    assert largest == pytest.approx([1] * 15, abs=0.02)


def test_only_a_discriminator_with_the_option_has_spectral_norm():
    players = [
        resnet(**SMALL).generator(),
        modulated(**SMALL).generator(),
        resnet(spectral_norm=False, **SMALL).discriminator(4),
        resnet(**SMALL).classifier(10),
    ]
    for player in players:
        assert not any("parametrizations" in name for name, _ in player.named_parameters())


@pytest.mark.parametrize("kind", ["batch", "self_modulated"])
def test_weights_start_from_a_normal_distribution_with_standard_deviation_002_and_biases_at_zero(kind):
    network = resnet(generator_norm=kind, spectral_norm=False, generator_width=16, discriminator_width=16)
    for player in (network.generator(), network.discriminator(8)):
        scales = {m.scale for m in player.modules() if isinstance(m, SelfModulatedBatchNorm)}
        for layer in weights_of(player):
            assert not layer.bias.any() or layer in scales
            weight = layer.weight.detach()
            if weight.numel() > 1500:
                assert weight.std().item() == pytest.approx(0.02, rel=0.08)
                assert weight.abs().max() > 0.05, "normal; a uniform distribution of this deviation ends at 0.035"


@pytest.mark.parametrize("invalid", [{"spectral_norm": 1}, {"generator_norm": "sbn"}, {"encoder_width": 8}])
def test_invalid_options_are_refused(invalid):
    with pytest.raises(ValidationError):
        CompareGANResNetOptions(**invalid)


@pytest.mark.parametrize("kind", ["batch", "self_modulated"])
@pytest.mark.parametrize("shape", [CIFAR, CELEBA])
def test_generated_images_span_the_image_range(kind, shape):
    generator = resnet(shape, generator_norm=kind, **SMALL).generator()
    with torch.no_grad():
        for layer in weights_of(generator):
            layer.weight.mul_(100)
        images = generator(torch.randn(8, 128, generator=torch.Generator().manual_seed(0)))
    assert images.shape == (8, *shape)
    assert 0 <= images.min() < 0.05
    assert 0.95 < images.max() <= 1
