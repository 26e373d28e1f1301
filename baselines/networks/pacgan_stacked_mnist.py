"""The tiny networks of Unrolled GAN for Stacked-MNIST as PacGAN re-implements them, K/1, K/2 and K/4.

Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018. Source:
fjxmlzn/PacGAN, stacked_MNIST_experiments/unrolled_GAN_experiment/D=0.25G/model.py:275-310 and D=0.5G/model.py.
3x3 kernels, SAME padding, batch norm in every layer of both players except the last, leak 0.3, tanh.
MSGAN's network for "K/4" is a different one (X-02).

Both folders' ops.py: batch norm with decay 0.9 and epsilon 1e-5, by the statistics of the batch while sampling too;
biases zero and present before batch norm too; weights normal with standard deviation 0.02, in convolutions truncated at
two standard deviations.

Assumptions. The two folders hold K/4 (2-4-8 maps) and K/2 (4-8-16); K/1 continues them (8-16-32). The class head, which
PacGAN does not have, sees the flat features like the real/fake head.
"""

from itertools import pairwise
from typing import Literal

from torch import nn

from baselines.networks.base import Discriminator, Heads, Network, NetworkOptions, reject_conditions
from baselines.networks.layers.conditional import Reshape
from baselines.networks.layers.tf_same import TFSameConv2d, TFSameConvTranspose2d

STD = 0.02


class PacGANStackedMNISTOptions(NetworkOptions):
    """`k`: the discriminator has 1/k of the generator's width."""

    k: Literal[1, 2, 4]


class PacGANStackedMNIST(Network):
    """Convolutional, 28x28x3, images in [-1, 1]."""

    about = "PacGAN's tiny nets for Stacked-MNIST (after Unrolled GAN): batch norm in both players; option k (1, 2, 4)"
    Options = PacGANStackedMNISTOptions
    shapes = frozenset({(3, 28, 28)})
    image_range = (-1.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, 28, 28) in [-1, 1]."""
        reject_conditions(self, num_conditions)
        return _initialise(
            nn.Sequential(
                nn.Linear(self.latent_dim, 4 * 4 * 64),
                Reshape(64, 4, 4),
                *_norm_activation(64, nn.ReLU(inplace=True)),
                nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1),  # 4 -> 7, the transpose of SAME 7 -> 4
                *_norm_activation(32, nn.ReLU(inplace=True)),
                TFSameConvTranspose2d(32, 16, 3),
                *_norm_activation(16, nn.ReLU(inplace=True)),
                TFSameConvTranspose2d(16, 8, 3),
                *_norm_activation(8, nn.ReLU(inplace=True)),
                TFSameConv2d(8, self.shape[0], 3),
                nn.Tanh(),
            )
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, 28, 28) -> DiscriminatorOutput with 512 / k features."""
        reject_conditions(self, num_conditions)
        width = 8 // self.options.k
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((self.shape[0], width, 2 * width, 4 * width)):
            layers += [TFSameConv2d(inputs, outputs, 3, stride=2)]
            layers += _norm_activation(outputs, nn.LeakyReLU(0.3, inplace=True))
        body = nn.Sequential(*layers, nn.Flatten())
        return _initialise(Discriminator(body, Heads(4 * 4 * 4 * width, task_classes)))


def _norm_activation(channels: int, activation: nn.Module) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1), activation


def _initialise(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=STD, a=-2 * STD, b=2 * STD)
        elif isinstance(layer, nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=STD)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
