"""Residual blocks, the generator and the stages (channels per resolution) that the residual families share."""

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from baselines.networks.layers.conditional import Conditional, ConditionalSequential, Norm, Reshape
from baselines.networks.layers.memory_format import channels_last
from baselines.networks.layers.resample_conv import ConvDown, UpConv


class StageSpec(NamedTuple):
    """Channels of each player's feature maps, in units of its width, for one image size.

    `start`: side of the generator's first and the encoder's last maps. `downs`: number of the discriminator's blocks,
    counted from the first, that halve the side. `encoder`: empty if no family has an encoder for this size.
    """

    start: int
    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    downs: int
    encoder: tuple[int, ...] = ()


# By image side. MSGAN's net_resnet.py:268-410; mimicry's sngan_32.py and sngan_48.py have the same maps, 64 is its
# sngan_64.py.
STAGES = {
    32: StageSpec(start=4, generator=(4, 4, 4, 4), discriminator=(2, 2, 2, 2), downs=2, encoder=(4, 4, 4, 4)),
    48: StageSpec(start=6, generator=(8, 4, 2, 1), discriminator=(1, 2, 4, 8, 16), downs=4, encoder=(1, 2, 4, 8)),
    64: StageSpec(start=4, generator=(16, 8, 4, 2, 1), discriminator=(1, 2, 4, 8, 16), downs=5),
}


class Residual(Conditional):
    """body(x) + shortcut(x). The body may be conditional; neither path may change its input in place."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """body(x) + shortcut(x)."""
        x = channels_last(x)
        body = self.body(x, condition) if isinstance(self.body, Conditional) else self.body(x)
        total: Tensor = body + self.shortcut(x)
        return total


def residual_blocks(network: nn.Module) -> list[Residual]:
    """The residual blocks of a network, in the order of its layers."""
    return [module for module in network.modules() if isinstance(module, Residual)]


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def first_block_down(inputs: int, outputs: int) -> Residual:
    """The discriminator's first block: conv3-ReLU-conv3-average pooling; shortcut average pooling-conv1."""
    return Residual(
        nn.Sequential(conv3(inputs, outputs), nn.ReLU(inplace=True), ConvDown(outputs, outputs)),
        nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1)),
    )


def block_down(inputs: int, inner: int, outputs: int, down: bool, relu_shortcut: bool = False) -> Residual:
    """A discriminator block: ReLU-conv3-ReLU-conv3, with average pooling if `down`.

    The shortcut starts with a ReLU if `relu_shortcut`. It pools before its 1x1 convolution, which equals pooling after.
    """
    last = ConvDown(inner, outputs) if down else conv3(inner, outputs)
    shortcut: list[nn.Module] = [nn.ReLU()] if relu_shortcut else []
    if down:
        shortcut.append(nn.AvgPool2d(2))
    if down or inputs != outputs:
        shortcut.append(nn.Conv2d(inputs, outputs, 1))
    body = nn.Sequential(nn.ReLU(), conv3(inputs, inner), nn.ReLU(inplace=True), last)
    return Residual(body, nn.Sequential(*shortcut))


def residual_generator(
    latent_dim: int,
    stages: StageSpec,
    width: int,
    channels: int,
    upsampling: str,
    norms: tuple[Norm, Norm],
    activation: nn.Module,
) -> ConditionalSequential:
    """Linear, blocks that double the side, norm-ReLU-conv3 to `channels` image channels, and the last `activation`.

    A block is norm-ReLU-upsampling-conv3-norm-ReLU-conv3 with shortcut conv1-upsampling, which equals upsampling-conv1.
    `norms`: the norm of the blocks and the last norm.
    """
    norm, last_norm = norms
    maps = [width * units for units in stages.generator]
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, maps[0] * stages.start**2),
        Reshape(maps[0], stages.start, stages.start),
    ]
    for inputs, outputs in pairwise(maps):
        body = ConditionalSequential(
            norm(inputs),
            nn.ReLU(inplace=True),
            UpConv(inputs, outputs, upsampling),
            norm(outputs),
            nn.ReLU(inplace=True),
            conv3(outputs, outputs),
        )
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2, mode=upsampling))
        layers.append(Residual(body, shortcut))
    return ConditionalSequential(
        *layers, last_norm(maps[-1]), nn.ReLU(inplace=True), conv3(maps[-1], channels), activation
    )
