"""Conditional players, packed discriminators, classifiers, and the features of the rotation head (SS-02)."""

import numpy as np
import pytest
import torch
from torch import nn

from baselines.networks.base import Heads, drop_adversarial_head
from baselines.networks.layers.conditional import ConditionalBatchNorm, ConditionalSequential, batch_norms
from baselines.networks.mlp import MLP, MLPOptions
from baselines.networks.msgan_stacked_mnist import MSGANStackedMNIST, MSGANStackedMNISTOptions
from baselines.networks.sngan_resnet import SNGANResNet, SNGANResNetOptions
from benchmark.core import registry
from tests.support.layer_counts import conv, fc, norm, parameters, without_memory

CIFAR, STL, DIGITS, MNIST = (3, 32, 32), (3, 48, 48), (3, 8, 8), (3, 28, 28)
SMALL = {"generator_width": 2, "discriminator_width": 2}


def sngan(shape=CIFAR, **options):
    return SNGANResNet(shape, 128, SNGANResNetOptions(**options))


def mlp(**options):
    return MLP(DIGITS, 12, MLPOptions(**options))


def stacked(k=4, **options):
    return MSGANStackedMNIST(MNIST, 12, MSGANStackedMNISTOptions(k=k, **options))


# --- conditional batch norm ----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "size"), [(nn.BatchNorm1d, ()), (nn.BatchNorm2d, (4, 5))])
def test_conditional_batch_norm_scales_and_shifts_each_image_by_its_condition(kind, size):
    layer = batch_norms(3, kind, eps=1e-3)(7)
    with torch.no_grad():
        layer.shift.weight.normal_()
    x, y = torch.randn(6, 7, *size), torch.tensor([0, 2, 1, 1, 0, 2])
    axes = (0, *range(2, x.dim()))
    normalised = (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True, unbiased=False) + 1e-3).sqrt()
    output = layer(x, y)
    for n in range(6):
        for c in range(7):
            scale, shift = layer.scale.weight[y[n], c], layer.shift.weight[y[n], c]
            torch.testing.assert_close(output[n, c], scale * normalised[n, c] + shift, rtol=1e-4, atol=1e-5)


def test_scales_start_near_one_and_shifts_at_zero():
    torch.manual_seed(0)
    layer = batch_norms(1000)(50)
    assert isinstance(layer, ConditionalBatchNorm)
    assert layer.scale.weight.mean().item() == pytest.approx(1, abs=1e-3)
    assert layer.scale.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not layer.shift.weight.any()
    assert not list(layer.norm.parameters())


def test_without_conditions_the_norm_is_torchs_batch_norm():
    layer = batch_norms(0, momentum=0.3, eps=1e-4)(5)
    assert type(layer) is nn.BatchNorm2d
    assert (layer.momentum, layer.eps, layer.affine) == (0.3, 1e-4, True)


def test_a_sequence_passes_the_condition_to_its_conditional_layers():
    sequence = ConditionalSequential(nn.Linear(4, 3), batch_norms(2, nn.BatchNorm1d)(3), nn.ReLU())
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 1, 0, 1])
    torch.testing.assert_close(sequence(x, y), sequence[2](sequence[1](sequence[0](x), y)))


# --- conditional players -------------------------------------------------------------------------------


def test_the_conditional_sngan_has_the_parameters_of_cgan_pd():
    """Three blocks of two conditional norms, each with 10 scales and 10 shifts for 256 maps; then a plain norm."""
    block = 2 * 10 * norm(256) + 2 * conv(3, 256, 256) + conv(1, 256, 256)
    by_hand = fc(128, 4 * 4 * 256) + 3 * block + norm(256) + conv(3, 256, 3)
    assert parameters(without_memory(lambda: sngan().generator(10))) == by_hand
    plain = parameters(without_memory(lambda: sngan().discriminator(0)))
    assert parameters(without_memory(lambda: sngan().discriminator(0, 10))) == plain + 10 * 128


@pytest.mark.parametrize("make", [lambda: sngan(**SMALL), mlp, stacked], ids=["sngan", "mlp", "stacked"])
def test_the_condition_changes_the_image(make):
    torch.manual_seed(0)
    network = make()
    generator = network.generator(3)
    z = torch.randn(4, network.latent_dim)
    zeros, twos = (generator(z, torch.full((4,), y)) for y in (0, 2))
    assert zeros.shape == (4, *network.shape)
    assert not torch.equal(zeros, twos)


@pytest.mark.parametrize("make", [lambda: sngan(**SMALL), mlp, stacked], ids=["sngan", "mlp", "stacked"])
def test_the_condition_adds_its_projection_to_the_logit(make):
    torch.manual_seed(0)
    network = make()
    discriminator = network.discriminator(2, 3).eval()
    output = discriminator(torch.rand(4, *network.shape))
    vectors = discriminator.heads.conditions.weight.detach().numpy()
    y = torch.tensor([2, 0, 1, 2])
    projection = np.sum(output.features.detach().numpy() * vectors[y.numpy()], axis=1)
    difference = (output.logit_given(y) - output.logit).detach().numpy()
    np.testing.assert_allclose(difference, projection, rtol=1e-4, atol=1e-5)
    assert discriminator.heads.conditions.bias is None


def test_the_projection_has_spectral_norm_where_the_layers_have():
    discriminator = sngan(**SMALL).discriminator(0, 5)
    for _ in range(60):
        discriminator(torch.rand(2, *CIFAR))
    weight = discriminator.eval().heads.conditions.weight
    assert torch.linalg.matrix_norm(weight, ord=2).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", [n for n in registry.networks if "conditions" not in registry.networks[n].roles])
def test_networks_without_conditional_players_refuse_conditions(name):
    family = registry.networks[name]
    options = family.Options.model_validate({"k": 4} if "k" in family.Options.model_fields else {})
    network = family(min(family.shapes), 12, options)
    makers = [lambda: network.generator(2)] if "generator" in family.roles else []
    for build in (*makers, lambda: network.discriminator(0, 2)):
        with pytest.raises(NotImplementedError, match="no conditional players"):
            without_memory(build)


@pytest.mark.parametrize("make", [mlp, stacked], ids=["mlp", "stacked"])
def test_small_networks_have_spectral_norm_on_request(make):
    assert not any("parametrizations" in name for name, _ in make().discriminator(4).named_parameters())
    network = make(spectral_norm=True)
    discriminator = network.discriminator(4, 3)
    for _ in range(100):
        discriminator(torch.rand(2, *network.shape))
    layers = [m for m in discriminator.eval().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) >= 5
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.05)
    assert not any("parametrizations" in name for name, _ in network.generator().named_parameters())


# --- packs, classifiers, heads -------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(registry.networks))
def test_a_packed_discriminator_has_k_times_the_input_channels(name):
    family = registry.networks[name]
    options = family.Options.model_validate({"k": 4} if "k" in family.Options.model_fields else {})
    for shape in family.shapes:
        packed = family(shape, 12, options).packed(2)
        images = torch.empty(3, 2 * shape[0], *shape[1:], device="meta")
        output = without_memory(lambda packed=packed: packed.discriminator(0))(images)
        assert output.logit.shape == (3,)


@pytest.mark.parametrize("options", [{}, {"spectral_norm": False}])
def test_a_classifier_has_the_layers_of_the_discriminator_without_spectral_norm_and_logit(options):
    network = sngan(**SMALL, **options)
    classifier = network.classifier(7)
    assert not any("parametrizations" in name for name, _ in classifier.named_parameters())
    assert classifier.heads.logit is None
    plain = sngan(spectral_norm=False, **SMALL).discriminator(7)
    assert parameters(classifier) == parameters(plain) - fc(4, 1)
    output = classifier(torch.rand(2, *CIFAR))
    assert output.class_logits.shape == (2, 7)
    assert not output.logit.any()


def test_only_a_module_with_heads_can_drop_its_adversarial_head():
    module = nn.Module()
    module.heads = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="no Heads"):
        drop_adversarial_head(module)
    assert drop_adversarial_head(nn.ModuleDict({"heads": Heads(3, 2)}))["heads"].logit is None


@pytest.mark.parametrize(("shape", "pixels"), [(CIFAR, 64), (STL, 9)])
def test_flat_class_features_contain_every_pixel(shape, pixels):
    """SS-02, as in MSGAN: the adversarial head still receives the sums."""
    torch.manual_seed(0)
    network = sngan(shape, class_features="flat", **SMALL)
    discriminator = network.discriminator(4).eval()
    maps = {CIFAR: 4, STL: 32}[shape]
    output = discriminator(torch.rand(3, *shape))
    assert output.features.shape == (3, maps * pixels)
    sums = output.features.view(3, maps, pixels).sum(2)
    torch.testing.assert_close(output.logit, discriminator.heads.logit(sums).squeeze(1))
    torch.testing.assert_close(output.class_logits, discriminator.heads.classes(output.features))


def test_spectral_norm_can_be_switched_off_for_the_rotation_head_alone():
    heads = sngan(class_head_norm=False, **SMALL).discriminator(4).heads
    assert not hasattr(heads.classes, "parametrizations")
    assert hasattr(heads.logit, "parametrizations")
