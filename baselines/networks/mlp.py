"""Small fully connected networks for the 8x8 digits of the quickstart. They are ours; no paper uses them."""

from math import prod
from typing import Annotated

from pydantic import Field
from torch import nn

from baselines.networks.base import Discriminator, Heads, Network, NetworkOptions
from baselines.networks.layers.conditional import ConditionalSequential, Reshape, batch_norms
from baselines.networks.layers.initialisation import xavier_
from baselines.networks.layers.spectral_norm import spectral_norm_

Width = Annotated[int, Field(strict=True, ge=1, le=8192, description="ours")]


class MLPOptions(NetworkOptions):
    """Widths of the two hidden layers of each player, and whether the discriminator has spectral norm."""

    generator_width: Width = 256
    discriminator_width: Width = 256
    encoder_width: Width = 256
    spectral_norm: bool = Field(default=False, strict=True, description="ours")


class MLP(Network):
    """Two hidden layers per player: batch norm and ReLU in the generator, leaky ReLU (0.2) in the others."""

    about = "two hidden layers, fully connected; the quickstart's network"
    Options = MLPOptions
    shapes = frozenset({(3, 8, 8)})
    roles = frozenset({"generator", "discriminator", "encoder", "conditions"})
    image_range = (0.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, C, H, W) in [0, 1]."""
        width = self.options.generator_width
        norm = batch_norms(num_conditions, nn.BatchNorm1d)
        return xavier_(
            ConditionalSequential(
                nn.Linear(self.latent_dim, width),
                norm(width),
                nn.ReLU(inplace=True),
                nn.Linear(width, width),
                norm(width),
                nn.ReLU(inplace=True),
                nn.Linear(width, prod(self.shape)),
                nn.Sigmoid(),
                Reshape(*self.shape),
            )
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, C, H, W) -> DiscriminatorOutput with `discriminator_width` features."""
        width = self.options.discriminator_width
        heads = Heads(width, task_classes, num_conditions=num_conditions)
        discriminator = xavier_(Discriminator(hidden_layers(prod(self.shape), width), heads))
        return spectral_norm_(discriminator) if self.options.spectral_norm else discriminator

    def encoder(self) -> nn.Module:
        """(N, C, H, W) -> (N, latent_dim)."""
        width = self.options.encoder_width
        return xavier_(nn.Sequential(*hidden_layers(prod(self.shape), width), nn.Linear(width, self.latent_dim)))


def hidden_layers(pixels: int, width: int) -> nn.Sequential:
    """Two hidden layers on flat images."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2, inplace=True),
    )
