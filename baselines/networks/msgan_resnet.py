"""The residual networks of MSGAN and Dist-GAN, with encoder and without spectral norm.

Source: tntrung/msgan at 8b8170f, modules/net_resnet.py:268-334 (32x32) and :343-410 (48x48), layers in
modules/ops_resnet.py. Glorot-uniform weights, zero biases; batch norm (decay 0.999, epsilon 1e-5)
in generator and encoder. The discriminator goes down by a 1x1 convolution with stride 2 (`dsample_conv`, :58-61),
on both paths; its real/fake head sees the sum-pooled maps, its class head, and Dist-GAN's feature distance, the
flattened ones. The encoder's blocks average.

The widths of the scripts, 128 for 32x32, are doubled inside the code for generator and encoder but not for the
discriminator; here 64 is one unit for all of them.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from baselines.networks.base import (
    DiscriminatorOutput,
    EncoderWidths,
    Heads,
    Network,
    Shape,
    reject_conditions,
    xavier_,
)
from baselines.networks.layers.resample_conv import StridedPointwiseConv
from baselines.networks.layers.residual import PLANS, Residual, conv3, generator

norm = partial(nn.BatchNorm2d, eps=1e-5, momentum=0.001)


class MSGANResNetOptions(EncoderWidths):
    """Widths: 64 gives G and E 256, D 128 channels at 32x32; G 512 to 64, D 64 to 1024, E 64 to 512 at 48x48."""


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
        plan, width = PLANS[self.shape[1]], self.options.generator_width
        return xavier_(generator(self.latent_dim, plan, width, self.shape[0], "nearest", (norm, norm), nn.Sigmoid()))

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> Judgement with 8192 (32x32) or 9216 (48x48) features at width 64."""
        reject_conditions(self, num_conditions)
        return xavier_(_Discriminator(self.shape, self.options.discriminator_width, task_classes))

    def encoder(self) -> nn.Module:
        """(N, 3, H, W) -> (N, latent_dim)."""
        plan = PLANS[self.shape[1]]
        maps = [self.options.encoder_width * units for units in plan.encoder]
        return xavier_(
            nn.Sequential(
                conv3(self.shape[0], maps[0]),
                *(_encoder_block(inputs, outputs) for inputs, outputs in pairwise(maps)),
                norm(maps[-1]),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Flatten(),
                nn.Linear(maps[-1] * plan.start**2, self.latent_dim),
            )
        )


class _Discriminator(nn.Module):
    def __init__(self, shape: Shape, width: int, task_classes: int) -> None:
        super().__init__()
        plan = PLANS[shape[1]]
        side = shape[1] // 2**plan.downs
        maps = [width * units for units in plan.discriminator]
        blocks = [_first_block(shape[0], maps[0])]
        for index, (inputs, outputs) in enumerate(pairwise(maps), start=1):
            blocks.append(_block(inputs, outputs, index < plan.downs))
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.heads = Heads(maps[-1] * side**2, task_classes, judged=maps[-1])

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        maps = self.body(x)
        judgement: DiscriminatorOutput = self.heads(maps.flatten(1), maps.sum((2, 3)))
        return judgement


def _down(inputs: int, outputs: int, kernel: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A convolution, and the 1x1 one with stride 2 that follows it in the source.

    That one looks at every other pixel either way, so the first has the stride: it need not make the others.
    """
    if kernel == 1:
        return StridedPointwiseConv(inputs, outputs), nn.Conv2d(outputs, outputs, 1)
    return nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2), nn.Conv2d(outputs, outputs, 1)


def _first_block(inputs: int, outputs: int) -> Residual:
    return Residual(
        nn.Sequential(conv3(inputs, outputs), nn.ReLU(inplace=True), *_down(outputs, outputs, 3)),
        nn.Sequential(StridedPointwiseConv(inputs, inputs), nn.Conv2d(inputs, outputs, 1)),
    )


def _block(inputs: int, outputs: int, down: bool) -> Residual:
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
