"""The tiny networks of Unrolled GAN for Stacked-MNIST as PacGAN re-implements them, K/1, K/2 and K/4.

Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018. Source:
fjxmlzn/PacGAN, stacked_MNIST_experiments/unrolled_GAN_experiment/D=0.25G/model.py:275-310 and D=0.5G/model.py.
3x3 kernels, SAME padding, batch norm in every layer of both players but the last, leak 0.3, tanh.
MSGAN's network of the same name is another one (X-02).

Readings. The two folders hold K/4 (2-4-8 maps) and K/2 (4-8-16); K/1 continues them (8-16-32). The folders' ops.py
is not in the repository's tree as read; celeba_experiments/ops.py stands in for it: batch norm decay 0.9 and epsilon
1e-5, biases zero and present before batch norm too, weights normal with deviation 0.02, cut at two deviations in
convolutions. The class head, which PacGAN does not have, sees the flat features as its real/fake head does.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from baselines.networks.base import DiscriminatorOutput, Heads, Network, NetworkOptions, reject_conditions
from baselines.networks.layers.conditional import Reshape
from baselines.networks.layers.tf_same import TFSameConv2d, TFSameConvTranspose2d

DEVIATION = 0.02


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
        return _initialised(
            nn.Sequential(
                nn.Linear(self.latent_dim, 4 * 4 * 64),
                Reshape(64, 4, 4),
                *_normalised(64, nn.ReLU(inplace=True)),
                nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1),  # 4 -> 7, the transpose of SAME 7 -> 4
                *_normalised(32, nn.ReLU(inplace=True)),
                TFSameConvTranspose2d(32, 16, 3),
                *_normalised(16, nn.ReLU(inplace=True)),
                TFSameConvTranspose2d(16, 8, 3),
                *_normalised(8, nn.ReLU(inplace=True)),
                TFSameConv2d(8, self.shape[0], 3),
                nn.Tanh(),
            )
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, 28, 28) -> Judgement with 512 / k features."""
        reject_conditions(self, num_conditions)
        return _initialised(_Discriminator(self.shape[0], 8 // self.options.k, task_classes))


def _normalised(channels: int, activation: nn.Module) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1), activation


class _Discriminator(nn.Module):
    def __init__(self, channels: int, width: int, task_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((channels, width, 2 * width, 4 * width)):
            layers += [TFSameConv2d(inputs, outputs, 3, stride=2)]
            layers += _normalised(outputs, nn.LeakyReLU(0.3, inplace=True))
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.heads = Heads(4 * 4 * 4 * width, task_classes)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        judgement: DiscriminatorOutput = self.heads(self.body(x))
        return judgement


def _initialised(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=DEVIATION, a=-2 * DEVIATION, b=2 * DEVIATION)
        elif isinstance(layer, nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=DEVIATION)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
