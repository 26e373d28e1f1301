"""Parameter counts, blocks, conditions, spectral norm and initial weights of SSGAN-LA's BigGAN."""

from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from baselines.networks.biggan import BigGAN, BigGANOptions
from baselines.networks.layers.conditional import ConditionalBatchNorm
from baselines.networks.layers.residual import Residual
from tests.support.layer_counts import conv, fc, norm, output_shapes, parameters, upsamplings, without_memory

CIFAR, STL, TINY = (3, 32, 32), (3, 48, 48), (3, 64, 64)
SHAPES = (CIFAR, STL, TINY)
SMALL = {"generator_width": 2, "discriminator_width": 2}


def biggan(shape=CIFAR, **options):
    return BigGAN(shape, 128, BigGANOptions(**options))


def weights_of(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def plain(**options):
    """A BigGAN without spectral norm: the weight of a layer is the parameter itself."""
    return biggan(spectral_norm=False, generator_spectral_norm=False, **options)


# --- parameters at the published widths ----------------------------------------------------------------


def up_block(inputs, outputs):
    """BN, conv3, BN, conv3; shortcut conv1."""
    return (
        norm(inputs) + conv(3, inputs, outputs) + norm(outputs) + conv(3, outputs, outputs) + conv(1, inputs, outputs)
    )


def down_block(inputs, outputs):
    """conv3 to the outputs, conv3; shortcut conv1."""
    return conv(3, inputs, outputs) + conv(3, outputs, outputs) + conv(1, inputs, outputs)


GENERATORS = {
    # linear 528,384; three blocks of 1,246,976; BN 512; conv 6,915
    CIFAR: (4, (256, 256, 256, 256), 4_276_739),
    # linear 4,755,456; blocks 7,606,784 + 1,902,848 + 476,288; BN 256; conv 3,459
    STL: (6, (1024, 512, 256, 128), 14_745_091),
    # linear 2,113,536; blocks 19,930,112 + 7,606,784 + 1,902,848 + 476,288; BN 256; conv 3,459
    TINY: (4, (1024, 1024, 512, 256, 128), 32_033_283),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_generator_has_the_parameters_of_the_table(shape):
    start, maps, total = GENERATORS[shape]
    by_hand = fc(128, start**2 * maps[0]) + sum(up_block(i, o) for i, o in pairwise(maps)) + norm(maps[-1])
    by_hand += conv(3, maps[-1], 3)
    assert by_hand == total
    for switch in (True, False):
        assert parameters(without_memory(biggan(shape, generator_spectral_norm=switch).generator)) == total


def test_discriminator_has_the_parameters_of_the_table():
    """32: 7,168 + 590,080 + 1,024; 2 * 590,080 + 65,792; twice 2 * 590,080 with an identity shortcut; head 257."""
    by_hand = down_block(3, 256) + down_block(256, 256) + 4 * conv(3, 256, 256) + fc(256, 1)
    assert by_hand == 598_272 + 1_245_952 + 2_360_320 + 257 == 4_204_801
    assert parameters(without_memory(lambda: biggan().discriminator(0))) == by_hand
    assert parameters(without_memory(lambda: biggan().discriminator(8))) == by_hand + 8 * 257
    # 48: 38,976 + 229,760 + 918,272 + 3,671,552; head 513
    by_hand = down_block(3, 64) + down_block(64, 128) + down_block(128, 256) + down_block(256, 512) + fc(512, 1)
    assert by_hand == 38_976 + 229_760 + 918_272 + 3_671_552 + 513 == 4_859_073
    assert parameters(without_memory(lambda: biggan(STL).discriminator(0))) == by_hand
    # 64: the same blocks and one of 14,683,136; head 1,025
    by_hand += down_block(512, 1024) + fc(1024, 1) - fc(512, 1)
    assert by_hand == 4_859_073 + 14_683_136 + 512 == 19_542_721
    assert parameters(without_memory(lambda: biggan(TINY).discriminator(0))) == by_hand
    assert parameters(without_memory(lambda: biggan(TINY, spectral_norm=False).discriminator(0))) == by_hand


def test_conditions_add_gains_and_biases_to_block_norms_and_rows_to_the_projection():
    """With 10 classes, six norms of 256 maps have 10 * 512 weights instead of 512; the last norm is unconditional."""
    assert parameters(without_memory(lambda: biggan().generator(10))) == 4_276_739 + 6 * (10 * 512 - 512)
    assert parameters(without_memory(lambda: biggan().discriminator(4, 10))) == 4_204_801 + 4 * 257 + 10 * 256


@pytest.mark.parametrize(("shape", "features"), [(CIFAR, 256), (STL, 512), (TINY, 1024)])
@pytest.mark.parametrize("classes", [0, 4, 8])
def test_discriminator_features_are_the_pooled_maps(shape, features, classes):
    assert output_shapes(biggan(shape), classes) == [(2,), (2, classes), (2, features), (2, 0)]


def test_packing_changes_only_the_input_channels():
    by_hand = 4_204_801 + conv(3, 6, 256) - conv(3, 3, 256) + conv(1, 6, 256) - conv(1, 3, 256)
    assert parameters(without_memory(lambda: biggan().packed(2).discriminator(0))) == by_hand


# --- structure -----------------------------------------------------------------------------------------


def block_sizes(player, inputs):
    sizes = []
    for block in player.modules():
        if isinstance(block, Residual):
            block.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    player(inputs)
    return sizes


def test_maps_have_the_sizes_of_the_table():
    small = {"generator_width": 1, "discriminator_width": 1}
    networks = {shape: biggan(shape, **small) for shape in SHAPES}
    z = torch.randn(2, 128)
    assert block_sizes(networks[CIFAR].generator(), z) == [(4, 8, 8), (4, 16, 16), (4, 32, 32)]
    assert block_sizes(networks[STL].generator(), z) == [(8, 12, 12), (4, 24, 24), (2, 48, 48)]
    assert block_sizes(networks[TINY].generator(), z) == [(16, 8, 8), (8, 16, 16), (4, 32, 32), (2, 64, 64)]
    sizes = {shape: block_sizes(networks[shape].discriminator(4), torch.rand(2, *shape)) for shape in SHAPES}
    assert sizes[CIFAR] == [(4, 16, 16), (4, 8, 8), (4, 8, 8), (4, 8, 8)]
    assert sizes[STL] == [(1, 24, 24), (2, 12, 12), (4, 6, 6), (8, 6, 6)]
    assert sizes[TINY] == [(1, 32, 32), (2, 16, 16), (4, 8, 8), (8, 4, 4), (16, 4, 4)]


def test_only_the_generator_has_batch_norm_with_torchs_defaults():
    norms = [m for m in biggan(**SMALL).generator().modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 2 * 3 + 1
    assert {(m.eps, m.momentum, m.affine) for m in norms} == {(1e-5, 0.1, True)}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in biggan(**SMALL).discriminator(4).modules())


def test_upsampling_is_nearest_neighbour():
    assert upsamplings(biggan(**SMALL).generator()) == ["nearest"] * 6


def test_a_downsampling_block_equals_its_formula():
    """Only the body starts with a ReLU; both paths end with average pooling; neither changes the input."""
    block = plain(**SMALL).discriminator(0).body[1]
    x = torch.randn(2, 8, 16, 16)
    before = x.clone()
    first, second = weights_of(block.body)
    (shortcut_conv,) = weights_of(block.shortcut)
    body = F.conv2d(F.relu(x), first.weight, first.bias, padding=1)
    body = F.avg_pool2d(F.conv2d(F.relu(body), second.weight, second.bias, padding=1), 2)
    shortcut = F.avg_pool2d(F.conv2d(x, shortcut_conv.weight, shortcut_conv.bias), 2)
    torch.testing.assert_close(block(x), body + shortcut)
    assert torch.equal(x, before)


def test_the_first_block_starts_without_a_relu_and_a_block_of_one_size_has_an_identity_shortcut():
    discriminator = plain(**SMALL).discriminator(0)
    assert isinstance(discriminator.body[0].body[0], nn.Conv2d)
    assert isinstance(discriminator.body[0].shortcut[0], nn.AvgPool2d)
    x = torch.randn(2, 8, 8, 8)
    block = discriminator.body[2]
    torch.testing.assert_close(block(x) - block.body(x), x)


def test_heads_receive_sums_over_pixels():
    discriminator = plain(**SMALL).discriminator(8)
    images = torch.rand(3, *CIFAR)
    output = discriminator(images)
    maps = discriminator.body(images)
    assert maps.min() >= 0
    torch.testing.assert_close(output.features, maps.flatten(2).sum(2))
    torch.testing.assert_close(output.logit, discriminator.heads.logit(output.features).squeeze(1))
    torch.testing.assert_close(output.class_logits, discriminator.heads.classes(output.features))


# --- conditions ----------------------------------------------------------------------------------------


def test_a_label_changes_the_image_and_the_logit():
    network = biggan(**SMALL)
    generator, discriminator = network.generator(10).eval(), network.discriminator(4, 10).eval()
    z, labels = torch.randn(4, 128), torch.tensor([0, 1, 2, 3])
    assert not torch.equal(generator(z, labels), generator(z, labels + 1))
    output = discriminator(torch.rand(4, *CIFAR))
    assert not torch.equal(output.logit_given(labels), output.logit_given(labels + 1))


def test_the_conditional_logit_equals_the_projection_formula():
    """psi(f) + f V_y, where V is divided by its largest singular value."""
    discriminator = biggan(**SMALL).discriminator(0, 10)
    head = discriminator.heads.conditions
    for _ in range(200):  # each access in training mode is a power iteration; close singular values need many
        _ = head.weight
    discriminator.eval()
    labels = torch.tensor([7, 0, 3])
    output = discriminator(torch.rand(3, *CIFAR))
    rows = head.parametrizations.weight.original
    rows = rows / torch.linalg.matrix_norm(rows, ord=2)
    expected = output.logit + (output.features * rows[labels]).sum(1)
    torch.testing.assert_close(output.logit_given(labels), expected, rtol=0.02, atol=1e-4)


def test_only_the_norms_of_the_blocks_are_conditional():
    generator = biggan(**SMALL).generator(10)
    conditional = [m for m in generator.modules() if isinstance(m, ConditionalBatchNorm)]
    assert len(conditional) == 6
    assert {(m.norm.eps, m.norm.momentum, m.norm.affine) for m in conditional} == {(1e-5, 0.1, False)}
    assert isinstance(generator[-4], nn.BatchNorm2d)
    assert generator[-4].affine


def test_gains_start_around_one_and_biases_around_zero():
    norms = [m for m in biggan(generator_width=32).generator(100).modules() if isinstance(m, ConditionalBatchNorm)]
    gains = torch.cat([m.scale.weight.detach().flatten() for m in norms])
    biases = torch.cat([m.shift.weight.detach().flatten() for m in norms])
    assert gains.mean().item() == pytest.approx(1, abs=1e-3)
    assert biases.mean().item() == pytest.approx(0, abs=1e-3)
    assert gains.std().item() == pytest.approx(0.02, rel=0.02)
    assert biases.std().item() == pytest.approx(0.02, rel=0.02)


# --- spectral norm, initial weights, options -----------------------------------------------------------


def largest_singular_values(player):
    return [torch.linalg.matrix_norm(m.weight.detach().flatten(1), ord=2).item() for m in weights_of(player)]


def test_spectral_norm_sets_the_largest_singular_value_of_every_layer_of_both_players_to_one():
    network = biggan(**SMALL)
    discriminator, generator = network.discriminator(8, 10), network.generator(10)
    with torch.no_grad():
        for _ in range(60):
            discriminator(torch.rand(2, *CIFAR))
            generator(torch.randn(2, 128), torch.tensor([0, 1]))
    discriminator_values = largest_singular_values(discriminator.eval())
    generator_values = largest_singular_values(generator.eval())
    assert len(discriminator_values) == 3 + 3 + 2 + 2 + 3
    assert len(generator_values) == 1 + 3 * 3 + 1
    assert discriminator_values + generator_values == pytest.approx([1] * 24, abs=0.02)


def test_embeddings_have_no_spectral_norm():
    names = [name for name, _ in biggan(**SMALL).generator(10).named_parameters() if "parametrizations" in name]
    assert len(names) == 11
    assert not any("scale" in name or "shift" in name for name in names)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_spectral_norm_can_be_switched_off_for_each_player(player):
    switch = "spectral_norm" if player == "discriminator" else "generator_spectral_norm"
    network = biggan(**{switch: False}, **SMALL)
    players = {"generator": network.generator(), "discriminator": network.discriminator(4)}
    normalised = {n for n, m in players.items() if any("parametrizations" in p for p, _ in m.named_parameters())}
    assert normalised == set(players) - {player}


def test_a_classifier_has_no_spectral_norm():
    classifier = biggan(**SMALL).classifier(10)
    assert not any("parametrizations" in name for name, _ in classifier.named_parameters())


def test_weights_start_from_a_normal_distribution_with_standard_deviation_002():
    network = plain(generator_width=16, discriminator_width=16)
    for player in (network.generator(), network.discriminator(8, 100)):
        large = [m for m in weights_of(player) if m.weight.numel() > 2000]
        assert len(large) >= 9
        for layer in large:
            weight = layer.weight.detach()
            assert weight.std().item() == pytest.approx(0.02, rel=0.06)
            assert weight.abs().max() > 0.05, "normal; a uniform distribution of this deviation ends at 0.035"
            assert abs(weight.mean().item()) < 0.002
        assert any(m.bias is not None and m.bias.any() for m in large), "biases keep torch's initial values"


@pytest.mark.parametrize("invalid", [{"spectral_norm": 1}, {"generator_spectral_norm": "no"}, {"encoder_width": 8}])
def test_invalid_options_are_refused(invalid):
    with pytest.raises(ValidationError):
        BigGANOptions(**invalid)


@pytest.mark.parametrize("shape", SHAPES)
def test_generated_images_span_the_image_range(shape):
    generator = BigGAN(shape, 128, BigGANOptions(generator_spectral_norm=False, **SMALL)).generator()
    with torch.no_grad():
        for layer in weights_of(generator):
            layer.weight.mul_(100)
        images = generator(torch.randn(8, 128, generator=torch.Generator().manual_seed(0)))
    assert images.shape == (8, *shape)
    assert -1 <= images.min() < -0.95
    assert 0.95 < images.max() <= 1
