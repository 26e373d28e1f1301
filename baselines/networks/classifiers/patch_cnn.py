"""A small convolutional classifier for 8x8 digits, MNIST and CIFAR-10, made for a CPU.

It is ours. The experiments that it serves state no network: SSGAN's on forgetting (figure 3 of arXiv 1811.11212v2,
SS-11) and MSGAN's on collapsed generators (figure 3 of arXiv 1911.06997v2, MS-21).
"""

from itertools import pairwise

from pydantic import Field
from torch import Tensor, nn

from baselines.networks.base import Discriminator, Heads, Network, NetworkOptions, Width, reject_conditions
from baselines.networks.layers.initialisation import xavier_

PATCHES = {8: (2, 2, 2), 28: (4, 7), 32: (4, 2, 2, 2)}  # image side -> side of the patches of each layer


class PatchCNNOptions(NetworkOptions):
    """`discriminator_width`: maps of the first layer; each further layer has twice as many."""

    discriminator_width: Width = Field(default=16, description="ours: a step takes about a millisecond on one thread")


class PatchCNN(Network):
    """Convolutions whose stride is their kernel size, each with a ReLU, until one position is left.

    It has no generator, no normalisation and no dropout.
    """

    about = "ours: two to four convolutions of stride = kernel size, for classifiers; no generator"
    Options = PatchCNNOptions
    shapes = frozenset({(1, 8, 8), (1, 28, 28), (3, 32, 32)})
    roles = frozenset({"discriminator"})
    image_range = (-1.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """Raises NotImplementedError: the family has no generator."""
        del num_conditions
        raise NotImplementedError("PatchCNN has no generator")

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, C, H, W) -> DiscriminatorOutput with 2, 4 or 8 times `discriminator_width` features."""
        reject_conditions(self, num_conditions)
        channels, side, _ = self.shape
        patches = PATCHES[side]
        widths = [channels, *(self.options.discriminator_width * 2**layer for layer in range(len(patches)))]
        layers: list[nn.Module] = [ChannelsToEnd()]
        for (inputs, outputs), patch in zip(pairwise(widths), patches, strict=True):
            layers += [PatchConvolution(inputs, outputs, patch), nn.ReLU(inplace=True)]
        return xavier_(Discriminator(nn.Sequential(*layers, nn.Flatten()), Heads(widths[-1], task_classes)))


class ChannelsToEnd(nn.Module):
    """(N, C, H, W) -> (N, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers in another order."""
        return x.movedim(1, -1)


class PatchConvolution(nn.Module):
    """A convolution with stride = kernel size on (N, H, W, C) maps, as one matrix product.

    On a CPU it takes a fraction of the time of `nn.Conv2d`, whose calls cost more than such small products.
    """

    def __init__(self, inputs: int, outputs: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.linear = nn.Linear(inputs * patch**2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H / patch, W / patch, outputs)."""
        n, height, width, channels = x.shape
        rows, columns = height // self.patch, width // self.patch
        patches = x.reshape(n, rows, self.patch, columns, self.patch, channels).transpose(2, 3)
        product: Tensor = self.linear(patches.reshape(n, rows, columns, -1))
        return product
