"""Comparison of two implementations of a layer."""

import torch


def assert_same(layer, x, expected, parameters=None):
    """Assert equal outputs, gradients, and gradients of the squared gradient norm, as in gradient penalties."""
    inputs = (x.requires_grad_(), *(layer.parameters() if parameters is None else parameters))
    results = []
    for function in (layer, expected):
        output = function(x)
        weights = torch.linspace(-1, 1, output.numel()).view(output.shape)
        first = torch.autograd.grad((weights * output**2).sum(), inputs, create_graph=True)
        results.append((output, *first, *torch.autograd.grad(first[0].square().sum(), inputs)))
    for result, reference in zip(*results, strict=True):
        torch.testing.assert_close(result, reference, rtol=1e-10, atol=1e-10)
