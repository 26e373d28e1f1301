"""Parameters of layers, by hand, and how the tests look at networks too large to run."""

import torch
from torch import nn

from baselines.networks.layers.resample_conv import UpConv


def conv(kernel, inputs, outputs, bias=True):
    return kernel * kernel * inputs * outputs + (outputs if bias else 0)


def fc(inputs, outputs, bias=True):
    return inputs * outputs + (outputs if bias else 0)


def norm(channels):
    return 2 * channels  # scale and shift


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def without_memory(make):
    """What `make` builds, with shapes and no values: published widths cost nothing."""
    with torch.device("meta"):
        return make()


def output_shapes(network, classes, n=2):
    """The shapes of a discriminator's outputs, in the order of DiscriminatorOutput."""

    def outputs():
        return network.discriminator(classes)(torch.empty(n, *network.shape))

    return [tuple(part.shape) for part in without_memory(outputs)]


def upsamplings(generator):
    """How each of its layers makes maps larger, in a convolution or before the shortcut's sum."""
    larger = (m for m in generator.modules() if isinstance(m, nn.Upsample | UpConv))
    return [m.mode if isinstance(m, nn.Upsample) else m.upsampling for m in larger]
