"""The tiny networks of MSGAN for Stacked-MNIST, K/1, K/2 and K/4.

Source: tntrung/msgan at 8b8170f, modules/net_dcgan.py:170-233 and modules/ops.py. 5x5 kernels, SAME padding, Glorot
initialisation; batch norm (decay 0.9, epsilon 1e-5) in the generator only, after layers without bias, the first one
over the 1,024 units of the linear layer; leak 0.2. K divides the width of the discriminator, whose first layer has 8/K
maps. PacGAN's "K/4" is a different network (X-02). The use of these layers for single digits, 28x28x1, is ours; MSGAN's
network for MNIST is a different one.

The code has no conditional players. Ours have conditional batch norm in the generator, including the first one, and a
projection of the flat features.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.base import Discriminator, Heads, Network, NetworkOptions
from baselines.networks.layers.batch_norm import BatchNorm2d
from baselines.networks.layers.conditional import ConditionalSequential, Reshape, batch_norms
from baselines.networks.layers.initialisation import xavier_
from baselines.networks.layers.spectral_norm import spectral_norm_
from baselines.networks.layers.tf_same import TFSameConv2d, TFSameConvTranspose2d, TFSameOutput


class MSGANStackedMNISTOptions(NetworkOptions):
    """`k`: the discriminator has 1/k of the generator's width. `spectral_norm`: in all layers of the discriminator."""

    k: Literal[1, 2, 4]
    spectral_norm: bool = Field(default=False, strict=True, description="tntrung/msgan@8b8170f modules/net_dcgan.py")


class MSGANStackedMNIST(Network):
    """Convolutional, 28x28x3 or 28x28x1, images in [0, 1]."""

    about = "MSGAN's tiny convolutional nets for Stacked-MNIST; option k (1, 2, 4) shrinks the discriminator"
    Options = MSGANStackedMNISTOptions
    shapes = frozenset({(3, 28, 28), (1, 28, 28)})
    roles = frozenset({"generator", "discriminator", "encoder", "conditions"})
    image_range = (0.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, 28, 28) in [0, 1]."""
        norm = batch_norms(num_conditions, BatchNorm2d, eps=1e-5, momentum=0.1)
        return xavier_(
            ConditionalSequential(
                nn.Linear(self.latent_dim, 4 * 4 * 64, bias=False),
                batch_norms(num_conditions, nn.BatchNorm1d, eps=1e-5, momentum=0.1)(4 * 4 * 64),
                nn.ReLU(inplace=True),
                Reshape(64, 4, 4),
                TFSameConvTranspose2d(64, 32, 5, bias=False),
                norm(32),
                nn.ReLU(inplace=True),
                _Crop(7),
                TFSameConvTranspose2d(32, 16, 5, bias=False),
                norm(16),
                nn.ReLU(inplace=True),
                TFSameOutput(16, 8, self.shape[0], norm),
                nn.Sigmoid(),
            )
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, 28, 28) -> DiscriminatorOutput with 512 / k features."""
        width = 8 // self.options.k
        heads = Heads(4 * 4 * 4 * width, task_classes, num_conditions=num_conditions)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((self.shape[0], width, 2 * width, 4 * width)):
            # not in place: in place on a view would cost copies
            layers += [TFSameConv2d(inputs, outputs, 5, stride=2), nn.LeakyReLU(0.2)]
        *convolutions, last = layers
        body = nn.Sequential(*convolutions, nn.Flatten(), last)  # flattened first: the gradient keeps its memory format
        discriminator = xavier_(Discriminator(body, heads))
        return spectral_norm_(discriminator) if self.options.spectral_norm else discriminator

    def encoder(self) -> nn.Module:
        """(N, 3, 28, 28) -> (N, latent_dim)."""
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((self.shape[0], 8, 16, 32, 64)):
            layers += [TFSameConv2d(inputs, outputs, 5, stride=2), nn.ReLU(inplace=True)]
        return xavier_(nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * 2 * 64, self.latent_dim)))


class _Crop(nn.Module):
    """Keeps the first `size` rows and columns."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (self.size - side for side in x.shape[2:])
        return F.pad(x, (0, columns, 0, rows))  # a slice would copy its gradients to another memory format
