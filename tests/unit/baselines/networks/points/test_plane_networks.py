"""The networks for points in the plane: layers, initial weights and forward passes against NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from baselines.networks.points.dist_gan_plane import DistGANPlane
from baselines.networks.points.pacgan_plane import Maxout, PacGANPlane
from baselines.networks.points.unrolled_plane import UnrolledPlane


def built(family, latent_dim=2):
    torch.manual_seed(0)
    return family((2,), latent_dim, family.Options())


def linears(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def sizes(module):
    return [(layer.in_features, layer.out_features, layer.bias is not None) for layer in linears(module)]


def weight_of(layer):
    return layer.weight.detach().numpy().astype(float)


def affine(layer, x):
    return x @ weight_of(layer).T + (0 if layer.bias is None else layer.bias.detach().numpy().astype(float))


def points(n=7, d=2):
    return np.random.default_rng(0).normal(size=(n, d))


def run(module, x):
    return module(torch.from_numpy(x).float())


def test_pacgans_layers():
    """config.py and create_model_brick: no bias before batch norm, one in the last layer of the generator."""
    generator, discriminator = built(PacGANPlane).generator(), built(PacGANPlane).packed(3).discriminator(0)
    assert sizes(generator) == [(2, 400, False), *[(400, 400, False)] * 3, (400, 2, True)]
    assert sizes(discriminator) == [(6, 1000, True), (200, 1000, True), (200, 1000, True), (200, 1, True)]
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert [(n.eps, n.momentum, n.affine) for n in norms] == [(1e-4, 0.05, True)] * 4
    assert all((n.weight == 1).all() and (n.bias == 0).all() for n in norms)
    for layer in (*linears(generator), *linears(discriminator)):
        if layer.weight.numel() > 1000:
            assert weight_of(layer).std() == pytest.approx(0.02, rel=0.08)
        assert layer.bias is None or (layer.bias == 0).all()


def test_pacgans_discriminator_is_maxout():
    discriminator, x = built(PacGANPlane).discriminator(0), points()
    with torch.no_grad():
        for layer in linears(discriminator):
            layer.weight.mul_(50)
            layer.bias.uniform_(-1, 1)
    *hidden, head = linears(discriminator)
    h = x
    for layer in hidden:
        h = affine(layer, h).reshape(len(h), 200, 5).max(2)
    output = run(discriminator, x)
    assert output.logit.detach().numpy() == pytest.approx(affine(head, h)[:, 0], rel=1e-4)
    assert output.features.shape == (7, 200)


def test_maxout_of_one_piece_is_affine_and_of_opposites_is_the_modulus():
    layer = Maxout(3, 2, 1)
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), layer.linear(x))
    modulus = Maxout(1, 1, 2)
    with torch.no_grad():
        modulus.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        modulus.linear.bias.zero_()
    assert torch.equal(modulus(torch.tensor([[-3.0], [2.0]])), torch.tensor([[3.0], [2.0]]))


def test_pacgans_generator_normalises_by_the_batch():
    generator, z = built(PacGANPlane).generator(), points(50)
    *hidden, last = linears(generator)
    h = z
    for layer in hidden:
        h = affine(layer, h)
        h = np.maximum((h - h.mean(0)) / np.sqrt(h.var(0) + 1e-4), 0)
    assert run(generator, z).detach().numpy() == pytest.approx(affine(last, h), abs=1e-4)


def test_dist_gans_players():
    """model_mlp.py: ReLU between layers, features before the third ReLU, a sigmoid after the generator."""
    family, x = built(DistGANPlane), points()
    generator, discriminator, encoder = family.generator(), family.discriminator(0), family.encoder()
    hidden = [(2, 128, True), (128, 128, True), (128, 128, True)]
    assert [sizes(m) for m in (generator, discriminator, encoder)] == [
        [*hidden, (128, 2, True)],
        [*hidden, (128, 1, True)],
        [*hidden, (128, 2, True)],
    ]
    for module in (generator, discriminator, encoder):
        first, second, third, last = linears(module)
        assert weight_of(second).std() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
        assert weight_of(first).std() == pytest.approx(1.0, rel=0.2)
        f = affine(third, np.maximum(affine(second, np.maximum(affine(first, x), 0)), 0))
        end = affine(last, np.maximum(f, 0))
        if module is discriminator:
            output = run(module, x)
            assert output.features.detach().numpy() == pytest.approx(f, abs=1e-4)
            assert output.logit.detach().numpy() == pytest.approx(end[:, 0], abs=1e-4)
        else:
            expected = 1 / (1 + np.exp(-end)) if module is generator else end
            assert run(module, x).detach().numpy() == pytest.approx(expected, abs=1e-4)


def test_unrolled_gans_players():
    family = built(UnrolledPlane, latent_dim=256)
    generator, discriminator = family.generator(), family.discriminator(0)
    assert sizes(generator) == [(256, 128, True), (128, 128, True), (128, 2, True)]
    assert sizes(discriminator) == [(2, 128, True), (128, 128, True), (128, 1, True)]
    for layer in (*linears(generator), *linears(discriminator)):
        weight = weight_of(layer)
        gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
        assert gram == pytest.approx(1.96 * np.eye(len(gram)), abs=1e-5)
        assert (layer.bias == 0).all()
    x = points(d=256)
    first, second, last = linears(generator)
    expected = affine(last, np.tanh(affine(second, np.tanh(affine(first, x)))))
    assert run(generator, x).detach().numpy() == pytest.approx(expected, abs=1e-4)
