"""The DCGAN networks of MSGAN and Dist-GAN for CIFAR (32x32) and CelebA (64x64), with encoder.

Source: tntrung/msgan at 8b8170f, modules/net_dcgan.py:93-161 (32x32) and :240-301 (64x64), layers in
modules/ops.py. 5x5 kernels with stride 2 and SAME padding, Glorot-uniform weights, leak 0.2; batch norm with decay 0.9
and epsilon 1e-5 in all three players, except in their last layers and in the first layer of discriminator and encoder.
A layer before a batch norm has no bias, and the generator's first batch norm acts on the units of the linear layer, not
per channel (`fc_bn_relu`). All heads see the flat features.
"""

from itertools import pairwise

from torch import nn

from baselines.networks.base import Discriminator, EncoderWidths, Heads, Network, Shape, reject_conditions
from baselines.networks.layers.conditional import Reshape
from baselines.networks.layers.initialisation import xavier_
from baselines.networks.layers.tf_same import TFSameConv2d, TFSameConvTranspose2d

EPSILON, MOMENTUM = 1e-5, 0.1


class DCGANOptions(EncoderWidths):
    """Widths; 64 gives D and E 64-128-256-512 and G 512-256-128-64 channels."""


class DCGAN(Network):
    """Convolutional, 32x32x3 and 64x64x3, images in [0, 1]."""

    about = "MSGAN's DCGAN for 32x32 and 64x64: four 5x5 layers with stride 2, batch norm everywhere, encoder"
    Options = DCGANOptions
    shapes = frozenset({(3, 32, 32), (3, 64, 64)})
    roles = frozenset({"generator", "discriminator", "encoder"})
    image_range = (0.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, H, W) in [0, 1]."""
        reject_conditions(self, num_conditions)
        width, side = self.options.generator_width, self.shape[1] // 16
        units = 8 * width * side**2
        layers: list[nn.Module] = [
            nn.Linear(self.latent_dim, units, bias=False),
            nn.BatchNorm1d(units, eps=EPSILON, momentum=MOMENTUM),
            nn.ReLU(inplace=True),
            Reshape(8 * width, side, side),
        ]
        for inputs, outputs in pairwise((8 * width, 4 * width, 2 * width, width)):
            layers += deconv_block(inputs, outputs, 5)
        return xavier_(nn.Sequential(*layers, TFSameConvTranspose2d(width, self.shape[0], 5), nn.Sigmoid()))

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> DiscriminatorOutput with 2048 (32x32) or 8192 (64x64) features at width 64."""
        reject_conditions(self, num_conditions)
        width = self.options.discriminator_width
        body = nn.Sequential(*_downsampling_layers(self.shape[0], width))
        return xavier_(Discriminator(body, Heads(8 * width * (self.shape[1] // 16) ** 2, task_classes)))

    def encoder(self) -> nn.Module:
        """(N, 3, H, W) -> (N, latent_dim)."""
        return encoder(self.options.encoder_width, self.shape, self.latent_dim)


def deconv_block(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """`dconv_bn_relu`: a transposed convolution that doubles the side, batch norm, ReLU."""
    return (
        TFSameConvTranspose2d(inputs, outputs, kernel, bias=False),
        nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM),
        nn.ReLU(inplace=True),
    )


def encoder(width: int, shape: Shape, latent_dim: int) -> nn.Module:
    """The discriminator's layers and a linear layer; MSGAN's CNN for 32x32 uses this encoder too (MS-11)."""
    flat = 8 * width * (shape[1] // 16) ** 2
    return xavier_(nn.Sequential(*_downsampling_layers(shape[0], width), nn.Linear(flat, latent_dim)))


def _downsampling_layers(channels: int, width: int) -> list[nn.Module]:
    """Four layers that halve the side, and nn.Flatten. The first has no batch norm and therefore a bias."""
    layers: list[nn.Module] = [TFSameConv2d(channels, width, 5, stride=2), nn.LeakyReLU(0.2, inplace=True)]
    for inputs, outputs in pairwise((width, 2 * width, 4 * width, 8 * width)):
        layers += [
            TFSameConv2d(inputs, outputs, 5, stride=2, bias=False),
            nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return [*layers, nn.Flatten()]
