"""Parameter counts of layers, computed by hand, and the shapes of networks that are too large to run."""

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
    """Call `make` on the meta device: its modules have shapes and no values, so published widths cost nothing."""
    with torch.device("meta"):
        return make()


def output_shapes(network, classes, n=2):
    """The shapes of a discriminator's outputs, in the order of DiscriminatorOutput."""

    def outputs():
        return network.discriminator(classes)(torch.empty(n, *network.shape))

    return [tuple(part.shape) for part in without_memory(outputs)]


def upsamplings(generator):
    """The mode of every upsampling in a generator, fused with a convolution or not."""
    layers = (m for m in generator.modules() if isinstance(m, nn.Upsample | UpConv))
    return [m.mode if isinstance(m, nn.Upsample) else m.upsampling for m in layers]
