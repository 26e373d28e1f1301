"""The CNN of SN-GAN for 32x32 as MSGAN and Dist-GAN use it: without spectral norm, with the DCGAN's encoder.

Source: tntrung/msgan at 8b8170f, modules/net_sngan.py:16-81, layers in modules/ops.py. SAME padding,
Glorot-uniform weights, leak 0.2; batch norm (decay 0.9, epsilon 1e-5) in the generator's transposed convolutions
only, which have no bias. The encoder at run time is the DCGAN's (msdistgan.py:189-190, MS-11), not the one that the
file defines. tntrung/gan has leak 0.1 (models_sngan.py:14), which is not offered. MSGAN names an STL-10 variant
that does not exist (MS-10), hence no 48x48.

`spectral_norm`: in every layer of the discriminator, heads included, as the name promises and the code does not do.
"""

from itertools import pairwise

from pydantic import Field
from torch import Tensor, nn

from baselines.networks import dcgan
from baselines.networks.base import (
    EncoderWidths,
    Heads,
    Judgement,
    Network,
    Reshape,
    SameConv,
    spectral_norm_,
    without_conditions,
    xavier_,
)


class SNGANCNNOptions(EncoderWidths):
    """Switch, and widths: 64 gives D 64 to 512, G 1024 to 128, E 64 to 512 channels."""

    spectral_norm: bool = Field(default=False, strict=True)


class SNGANCNN(Network):
    """Convolutional, 32x32x3, images in [0, 1]."""

    about = "MSGAN's variant of SN-GAN's CNN for 32x32: seven layers, spectral norm only on request, DCGAN's encoder"
    Options = SNGANCNNOptions
    shapes = frozenset({(3, 32, 32)})
    roles = frozenset({"generator", "discriminator", "encoder"})
    image_range = (0.0, 1.0)

    def generator(self, conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, 32, 32) in [0, 1]."""
        without_conditions(self, conditions)
        width = self.options.generator_width
        layers: list[nn.Module] = [
            nn.Linear(self.latent_dim, 4 * 4 * 16 * width),
            nn.ReLU(inplace=True),
            Reshape(16 * width, 4, 4),
        ]
        for inputs, outputs in pairwise((16 * width, 8 * width, 4 * width, 2 * width)):
            layers += dcgan.doubled(inputs, outputs, 4)
        return xavier_(nn.Sequential(*layers, SameConv(2 * width, self.shape[0], 3), nn.Sigmoid()))

    def discriminator(self, classes: int, conditions: int = 0) -> nn.Module:
        """(N, 3, 32, 32) -> Judgement with 8192 features at width 64."""
        without_conditions(self, conditions)
        found = xavier_(_Discriminator(self.shape[0], self.options.discriminator_width, classes))
        return spectral_norm_(found) if self.options.spectral_norm else found

    def encoder(self) -> nn.Module:
        """(N, 3, 32, 32) -> (N, latent_dim): the DCGAN's."""
        return dcgan.encoder(self.options.encoder_width, self.shape, self.latent_dim)


class _Discriminator(nn.Module):
    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        maps = [channels, *(width * units for units in (1, 1, 2, 2, 4, 4, 8))]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(maps)):
            halving = index % 2 == 1
            layers.append(SameConv(inputs, outputs, 4 if halving else 3, stride=2 if halving else 1))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.heads = Heads(4 * 4 * 8 * width, classes)

    def forward(self, x: Tensor) -> Judgement:
        judgement: Judgement = self.heads(self.body(x))
        return judgement
