"""Small fully connected networks for the 8x8 digits of the quickstart. Ours; no paper uses them."""

from math import prod
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from baselines.networks.base import DiscriminatorOutput, Heads, Network, NetworkOptions, spectral_norm_, xavier_
from baselines.networks.layers.conditional import ConditionalSequential, Reshape, batch_norms

Width = Annotated[int, Field(strict=True, ge=1, le=8192, description="ours")]


class MLPOptions(NetworkOptions):
    """Width of the two hidden layers of each player; whether the discriminator's layers have spectral norm."""

    generator_width: Width = 256
    discriminator_width: Width = 256
    encoder_width: Width = 256
    spectral_norm: bool = Field(default=False, strict=True, description="ours")


class MLP(Network):
    """Two hidden layers each: batch norm and ReLU in the generator, leaky ReLU (0.2) in the others."""

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
        """(N, C, H, W) -> Judgement with `discriminator_width` features."""
        width = self.options.discriminator_width
        heads = Heads(width, task_classes, num_conditions=num_conditions)
        found = xavier_(_Discriminator(hidden(prod(self.shape), width), heads))
        return spectral_norm_(found) if self.options.spectral_norm else found

    def encoder(self) -> nn.Module:
        """(N, C, H, W) -> (N, latent_dim)."""
        width = self.options.encoder_width
        return xavier_(nn.Sequential(*hidden(prod(self.shape), width), nn.Linear(width, self.latent_dim)))


def hidden(pixels: int, width: int) -> nn.Sequential:
    """Two layers on flat images."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2, inplace=True),
    )


class _Discriminator(nn.Module):
    def __init__(self, body: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.body = body
        self.heads = heads

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        judgement: DiscriminatorOutput = self.heads(self.body(x))
        return judgement
