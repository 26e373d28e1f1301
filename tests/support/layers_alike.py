"""Whether two ways to do a layer are one."""

import torch


def assert_same(layer, x, expected, parameters=None):
    """Values, gradients, and gradients of the gradients' sizes, which penalties are made of."""
    inputs = (x.requires_grad_(), *(layer.parameters() if parameters is None else parameters))
    both = []
    for function in (layer, expected):
        made = function(x)
        weights = torch.linspace(-1, 1, made.numel()).view(made.shape)
        first = torch.autograd.grad((weights * made**2).sum(), inputs, create_graph=True)
        both.append((made, *first, *torch.autograd.grad(first[0].square().sum(), inputs)))
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
