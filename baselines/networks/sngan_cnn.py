"""SN-GAN's CNN, for 32x32 as in MSGAN and for 48x48 as in Dist-GAN: without spectral norm, with encoder.

Source for 32x32: tntrung/msgan at 8b8170f, modules/net_sngan.py:16-81, layers in modules/ops.py. SAME padding,
Glorot-uniform weights, leak 0.2; batch norm (decay 0.9, epsilon 1e-5) in the generator's transposed convolutions
only, which have no bias. The encoder at run time is the DCGAN's (msdistgan.py:189-190, MS-11), not the one that the
file defines.

Source for 48x48: tntrung/gan at 6e67fe3, distgan_image/modules/models_sngan.py:69-110; MSGAN mentions such networks for
STL-10 and does not include them (MS-10). The layers are those for 32x32, starting from 6x6 maps; the leak is 0.1 (:14);
the encoder is the file's own (distgan.py, create_encoder; DG-01): conv3-ReLU, three downsampling layers with batch
norm, linear. Dist-GAN's leak of 0.1 for 32x32 is not offered, and neither is 0.2 for 48x48.

`spectral_norm`: in every layer of the discriminator, heads included, as the name suggests but the code does not do.

Assumption: the class head for 48x48, which Dist-GAN does not have, is that for 32x32, on the flat features; the
lambda_w 0.0833 of MSGAN's script for STL-10 implies the same number of features as this network.
"""

from itertools import pairwise

from pydantic import Field
from torch import nn

from baselines.networks import dcgan
from baselines.networks.base import Discriminator, EncoderWidths, Heads, Network, Shape, reject_conditions
from baselines.networks.layers.conditional import Reshape
from baselines.networks.layers.initialisation import xavier_
from baselines.networks.layers.spectral_norm import spectral_norm_
from baselines.networks.layers.tf_same import TFSameConv2d

LEAKS = {32: 0.2, 48: 0.1}  # by image side


class SNGANCNNOptions(EncoderWidths):
    """A switch, and widths; 64 gives D 64 to 512, G 1024 to 128, E 64 to 512 channels (128 to 1024 at 48x48)."""

    spectral_norm: bool = Field(
        default=False, strict=True, description="tntrung/msgan@8b8170f modules/net_sngan.py:16-81"
    )


class SNGANCNN(Network):
    """Convolutional, 32x32x3 and 48x48x3, images in [0, 1]."""

    about = "MSGAN's (32x32) and Dist-GAN's (48x48) SN-GAN CNN: seven layers, spectral norm only on request, encoder"
    Options = SNGANCNNOptions
    shapes = frozenset({(3, 32, 32), (3, 48, 48)})
    roles = frozenset({"generator", "discriminator", "encoder"})
    image_range = (0.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, H, W) in [0, 1]."""
        reject_conditions(self, num_conditions)
        width, side = self.options.generator_width, self.shape[1] // 8
        layers: list[nn.Module] = [
            nn.Linear(self.latent_dim, 16 * width * side**2),
            nn.ReLU(inplace=True),
            Reshape(16 * width, side, side),
        ]
        for inputs, outputs in pairwise((16 * width, 8 * width, 4 * width, 2 * width)):
            layers += dcgan.deconv_block(inputs, outputs, 4)
        return xavier_(nn.Sequential(*layers, TFSameConv2d(2 * width, self.shape[0], 3), nn.Sigmoid()))

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> DiscriminatorOutput with 8192 (32x32) or 18432 (48x48) features at width 64."""
        reject_conditions(self, num_conditions)
        width, side, channels = self.options.discriminator_width, self.shape[1], self.shape[0]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise((channels, *(width * m for m in (1, 1, 2, 2, 4, 4, 8))))):
            kernel, stride = (4, 2) if index % 2 else (3, 1)
            layers += [
                TFSameConv2d(inputs, outputs, kernel, stride),
                nn.LeakyReLU(LEAKS[side], inplace=True),
            ]
        body = nn.Sequential(*layers, nn.Flatten())
        discriminator = xavier_(Discriminator(body, Heads(8 * width * (side // 8) ** 2, task_classes)))
        return spectral_norm_(discriminator) if self.options.spectral_norm else discriminator

    def encoder(self) -> nn.Module:
        """(N, 3, H, W) -> (N, latent_dim): for 32x32 the DCGAN's."""
        if self.shape[1] == 48:
            return _encoder(self.options.encoder_width, self.shape, self.latent_dim)
        return dcgan.encoder(self.options.encoder_width, self.shape, self.latent_dim)


def _encoder(width: int, shape: Shape, latent_dim: int) -> nn.Module:
    maps = [width * units for units in (2, 4, 8, 16)]
    layers: list[nn.Module] = [TFSameConv2d(shape[0], maps[0], 3), nn.ReLU(inplace=True)]
    for inputs, outputs in pairwise(maps):
        layers += [
            TFSameConv2d(inputs, outputs, 4, stride=2, bias=False),
            nn.BatchNorm2d(outputs, eps=dcgan.EPSILON, momentum=dcgan.MOMENTUM),
            nn.LeakyReLU(LEAKS[shape[1]], inplace=True),
        ]
    flat = maps[-1] * (shape[1] // 8) ** 2
    return xavier_(nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, latent_dim)))
