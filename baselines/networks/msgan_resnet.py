"""The residual networks of MSGAN and Dist-GAN, with encoder and without spectral norm.

Source: tntrung/msgan at 8b8170f, modules/net_resnet.py:268-334 (32x32) and :343-410 (48x48), layers in
modules/ops_resnet.py. Glorot-uniform weights, zero biases; batch norm (decay 0.999, epsilon 1e-5)
in generator and encoder. The discriminator downsamples by a 1x1 convolution with stride 2 (`dsample_conv`, :58-61) on
both paths; its real/fake head sees the sum-pooled maps, its class head and Dist-GAN's feature distance the flattened
maps. The encoder's blocks downsample by average pooling.

The scripts' width, 128 for 32x32, is doubled inside the code for generator and encoder but not for the discriminator;
here 64 is the unit of all three.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from baselines.networks.base import DiscriminatorOutput, EncoderWidths, Heads, Network, Shape, pooled, reject_conditions
from baselines.networks.layers.initialisation import xavier_
from baselines.networks.layers.resample_conv import StridedPointwiseConv
from baselines.networks.layers.residual import STAGES, Residual, conv3, residual_generator

norm = partial(nn.BatchNorm2d, eps=1e-5, momentum=0.001)


class MSGANResNetOptions(EncoderWidths):
    """Widths; 64 gives G and E 256, D 128 channels at 32x32; G 512 to 64, D 64 to 1024, E 64 to 512 at 48x48."""


class MSGANResNet(Network):
    """Residual, 32x32x3 and 48x48x3, images in [0, 1]."""

    about = "MSGAN's residual nets for 32x32 and 48x48: no spectral norm, two kinds of features, encoder"
    Options = MSGANResNetOptions
    shapes = frozenset({(3, 32, 32), (3, 48, 48)})
    roles = frozenset({"generator", "discriminator", "encoder"})
    image_range = (0.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, H, W) in [0, 1]."""
        reject_conditions(self, num_conditions)
        stages, width = STAGES[self.shape[1]], self.options.generator_width
        return xavier_(
            residual_generator(self.latent_dim, stages, width, self.shape[0], "nearest", (norm, norm), nn.Sigmoid())
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> DiscriminatorOutput with 8192 (32x32) or 9216 (48x48) features at width 64."""
        reject_conditions(self, num_conditions)
        return xavier_(_MSGANDiscriminator(self.shape, self.options.discriminator_width, task_classes))

    def encoder(self) -> nn.Module:
        """(N, 3, H, W) -> (N, latent_dim)."""
        stages = STAGES[self.shape[1]]
        maps = [self.options.encoder_width * units for units in stages.encoder]
        return xavier_(
            nn.Sequential(
                conv3(self.shape[0], maps[0]),
                *(_encoder_block(inputs, outputs) for inputs, outputs in pairwise(maps)),
                norm(maps[-1]),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Flatten(),
                nn.Linear(maps[-1] * stages.start**2, self.latent_dim),
            )
        )


class _MSGANDiscriminator(nn.Module):
    def __init__(self, shape: Shape, width: int, task_classes: int) -> None:
        super().__init__()
        stages = STAGES[shape[1]]
        side = shape[1] // 2**stages.downs
        maps = [width * units for units in stages.discriminator]
        blocks = [_first_block_down(shape[0], maps[0])]
        for index, (inputs, outputs) in enumerate(pairwise(maps), start=1):
            blocks.append(_block_down(inputs, outputs, index < stages.downs))
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.heads = Heads(maps[-1] * side**2, task_classes, adversarial_features=maps[-1])

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        maps = self.body(x)
        output: DiscriminatorOutput = self.heads(maps.flatten(1), pooled(maps, "sum"))
        return output


def _down(inputs: int, outputs: int, kernel: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A convolution followed, in the source, by a 1x1 convolution with stride 2.

    The latter reads only every other pixel, so the stride is moved to the first, which then skips the others.
    """
    if kernel == 1:
        return StridedPointwiseConv(inputs, outputs), nn.Conv2d(outputs, outputs, 1)
    return nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2), nn.Conv2d(outputs, outputs, 1)


def _first_block_down(inputs: int, outputs: int) -> Residual:
    return Residual(
        nn.Sequential(conv3(inputs, outputs), nn.ReLU(inplace=True), *_down(outputs, outputs, 3)),
        nn.Sequential(StridedPointwiseConv(inputs, inputs), nn.Conv2d(inputs, outputs, 1)),
    )


def _block_down(inputs: int, outputs: int, down: bool) -> Residual:
    last = _down(outputs, outputs, 3) if down else (conv3(outputs, outputs),)
    shortcut: Sequence[nn.Module] = ()
    if down:
        shortcut = _down(inputs, outputs, 1)
    elif inputs != outputs:
        shortcut = (nn.Conv2d(inputs, outputs, 1),)
    body = nn.Sequential(nn.ReLU(), conv3(inputs, outputs), nn.ReLU(inplace=True), *last)
    return Residual(body, nn.Sequential(*shortcut))


def _encoder_block(inputs: int, outputs: int) -> Residual:
    body = nn.Sequential(
        norm(inputs),
        nn.LeakyReLU(0.2, inplace=True),
        conv3(inputs, outputs),
        norm(outputs),
        nn.LeakyReLU(0.2, inplace=True),
        conv3(outputs, outputs),
        nn.AvgPool2d(2),
    )
    return Residual(body, nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.AvgPool2d(2)))
