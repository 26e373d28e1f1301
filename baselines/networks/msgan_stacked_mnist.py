"""The tiny networks of MSGAN for Stacked-MNIST, K/1, K/2 and K/4.

Source: tntrung/msgan at 8b8170f, modules/net_dcgan.py:170-233 and modules/ops.py. 5x5 kernels, SAME padding, Glorot
initialisation, batch norm (decay 0.9, epsilon 1e-5) in the generator only, after layers without bias, the first one
over the 1,024 units before they become a picture; leak 0.2. K divides the width of the discriminator: first layer
8/K maps. The PacGAN variant of "K/4" is another network (X-02).
"""

from typing import Literal

from torch import Tensor, nn

from baselines.networks.base import (
    Heads,
    Judgement,
    Network,
    NetworkOptions,
    Reshape,
    SameConv,
    SameDeconv,
    xavier_,
)


class MSGANStackedMNISTOptions(NetworkOptions):
    """`k`: the discriminator has 1/k of the generator's width."""

    k: Literal[1, 2, 4]


class MSGANStackedMNIST(Network):
    """Convolutional, 28x28x3, images in [0, 1]."""

    about = "MSGAN's tiny convolutional nets for Stacked-MNIST; option k (1, 2, 4) shrinks the discriminator"
    Options = MSGANStackedMNISTOptions
    shapes = frozenset({(3, 28, 28)})
    roles = frozenset({"generator", "discriminator", "encoder"})
    image_range = (0.0, 1.0)

    def generator(self) -> nn.Module:
        """(N, latent_dim) -> (N, 3, 28, 28) in [0, 1]."""
        return xavier_(
            nn.Sequential(
                nn.Linear(self.latent_dim, 4 * 4 * 64, bias=False),
                nn.BatchNorm1d(4 * 4 * 64, eps=1e-5, momentum=0.1),
                nn.ReLU(inplace=True),
                Reshape(64, 4, 4),
                SameDeconv(64, 32, 5, bias=False),
                *_normalised(32),
                _Crop(7),
                SameDeconv(32, 16, 5, bias=False),
                *_normalised(16),
                SameDeconv(16, 8, 5, bias=False),
                *_normalised(8),
                SameConv(8, 3, 5),
                nn.Sigmoid(),
            )
        )

    def discriminator(self, classes: int) -> nn.Module:
        """(N, 3, 28, 28) -> Judgement with 512 / k features."""
        return xavier_(_Discriminator(8 // self.options.k, classes))

    def encoder(self) -> nn.Module:
        """(N, 3, 28, 28) -> (N, latent_dim)."""
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 8), (8, 16), (16, 32), (32, 64)):
            layers += [SameConv(inputs, outputs, 5, stride=2), nn.ReLU(inplace=True)]
        return xavier_(nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * 2 * 64, self.latent_dim)))


def _normalised(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1), nn.ReLU(inplace=True)


class _Crop(nn.Module):
    """Keeps the first `size` rows and columns."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.size, : self.size]


class _Discriminator(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [SameConv(inputs, outputs, 5, stride=2), nn.LeakyReLU(0.2, inplace=True)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.heads = Heads(4 * 4 * 4 * width, classes)

    def forward(self, x: Tensor) -> Judgement:
        judgement: Judgement = self.heads(self.body(x))
        return judgement
