"""The SNDCGAN of compare_gan, SSGAN's own code, for 32x32 and 64x64: convolutional, spectral norm in the discriminator.

Source: google/compare_gan at 25c4945, compare_gan/architectures/sndcgan.py (Generator, Discriminator) and arch_ops.py
(linear, conv2d, deconv2d, lrelu, batch_norm); the rotation head: gans/ssgan.py (SSGAN.discriminator), on the flat maps.
MSGAN trains SSGAN on CelebA with "a small DCGAN architecture provided in the authors' code". This is the one that
compare_gan's SSGAN accepts: its rotation head is built for resnet5, resnet5_biggan, resnet_cifar and sndcgan, not for
the plain `dcgan` of the same folder. Batch norm has decay 0.9 and epsilon 1e-5 (example_configs/
sndcgan_celebahq128.gin; SS-09); there is no other configuration of it.

SAME padding, leak 0.1. Generator: a linear layer with batch norm over its units, three 4x4 transposed convolutions
with stride 2, each with batch norm, and a 3x3 one to the image. Discriminator: 3x3 and 4x4 convolutions alternate, of
which the latter halve the side, without batch norm. All layers have a bias, also before a batch norm. Weights start
from N(0, 0.02), biases from 0.

Equivalent here: the last transposed convolution has stride 1, so it is a convolution with the flipped kernel; the code
maps images from [0, 1] to [-1, 1] inside the discriminator, and here they are in [-1, 1], so a gradient with respect to
an image is half the code's.
"""

from itertools import pairwise

from pydantic import Field
from torch import nn

from baselines.networks.base import Discriminator, Heads, Network, Widths, reject_conditions
from baselines.networks.layers.conditional import Reshape
from baselines.networks.layers.initialisation import normal_
from baselines.networks.layers.spectral_norm import spectral_norm_
from baselines.networks.layers.tf_same import TFSameConv2d, TFSameConvTranspose2d

STD = 0.02
EPSILON, MOMENTUM = 1e-5, 0.1
LEAK = 0.1


class CompareGANSNDCGANOptions(Widths):
    """A switch, and widths; 64 gives G 512 to 64 and D 64 to 512 channels."""

    spectral_norm: bool = Field(
        default=True, strict=True, description="google/compare_gan@25c4945 example_configs/sndcgan_celebahq128.gin"
    )


class CompareGANSNDCGAN(Network):
    """Convolutional, 32x32x3 and 64x64x3, images in [-1, 1]."""

    about = "compare_gan's SNDCGAN for 32x32 and 64x64: seven layers, leak 0.1, spectral norm in D, no encoder"
    Options = CompareGANSNDCGANOptions
    shapes = frozenset({(3, 32, 32), (3, 64, 64)})
    image_range = (-1.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, H, W) in [-1, 1]."""
        reject_conditions(self, num_conditions)
        width, side = self.options.generator_width, self.shape[1] // 8
        units = 8 * width * side**2
        layers: list[nn.Module] = [
            nn.Linear(self.latent_dim, units),
            nn.BatchNorm1d(units, eps=EPSILON, momentum=MOMENTUM),
            nn.ReLU(inplace=True),
            Reshape(8 * width, side, side),
        ]
        for inputs, outputs in pairwise((8 * width, 4 * width, 2 * width, width)):
            layers += [
                TFSameConvTranspose2d(inputs, outputs, 4),
                nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM),
                nn.ReLU(inplace=True),
            ]
        return normal_(nn.Sequential(*layers, TFSameConv2d(width, self.shape[0], 3), nn.Tanh()), STD)

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> DiscriminatorOutput with 8192 (32x32) or 32768 (64x64) features at width 64."""
        reject_conditions(self, num_conditions)
        width, channels = self.options.discriminator_width, self.shape[0]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise((channels, *(width * m for m in (1, 2, 2, 4, 4, 8, 8))))):
            kernel, stride = (4, 2) if index % 2 else (3, 1)
            layers += [TFSameConv2d(inputs, outputs, kernel, stride), nn.LeakyReLU(LEAK, inplace=True)]
        heads = Heads(8 * width * (self.shape[1] // 8) ** 2, task_classes)
        discriminator = normal_(Discriminator(nn.Sequential(*layers, nn.Flatten()), heads), STD)
        return spectral_norm_(discriminator) if self.options.spectral_norm else discriminator
