"""The BigGAN networks of SSGAN-LA for 32x32, 48x48 and 64x64: spectral norm in both players, no attention.

Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019. Source:
houliangict/ssgan-la at 43c307e, BigGAN.py:45-57 and :276-287 (maps), :141-145 (plain batch norm), :411 (sum
pooling); the rest as in its parent repository, ajbrock/BigGAN-PyTorch: BigGAN.py at bf53f35 (G_arch, Generator, D_arch,
Discriminator), layers.py at a555707 (SN, ccbn, bn, GBlock, DBlock). Its scripts disable attention and shared
embeddings, and initialise weights, embeddings included, from N(0, 0.02); biases are as torch initialises them
(init_weights). z is N(0, I) of dimension 128.

Generator: linear, blocks of batch norm-ReLU-nearest x2-conv3-batch norm-ReLU-conv3 with shortcut x2-conv1, batch
norm-ReLU-conv3-tanh; batch norm with epsilon 1e-5 and momentum 0.1. Discriminator: blocks of (ReLU-)conv3-ReLU-conv3
with shortcut conv1, average pooling on both paths; "wide", that is, a block has as many inner maps as outputs; the
shortcut sees the maps before the ReLU. All linear and convolutional layers of both players have spectral norm.

Conditional players are those of the parent repository, without its shared embedding: in the blocks, but not after them,
batch norm with gain 1 + g_y and bias b_y, where g and b are embeddings without spectral norm (ccbn); and a projection
of the pooled maps with spectral norm (Discriminator.embed).

For 48x48 three of the discriminator's four blocks halve the side, by the table of SSGAN-LA's code (BigGAN.py:276-279).

Assumptions: the class head has spectral norm and sees the pooled maps, as `linear` does. `1 + g_y` is stored as one
embedding that starts from N(1, 0.02). The singular vectors start from 15 power iterations (torch) where the source
starts from noise, and are normalised with epsilon 1e-12 where its scripts use 1e-8. Disabling spectral norm in either
player is not a recipe of the source.
"""

from itertools import pairwise

from pydantic import Field
from torch import nn

from baselines.networks.base import Discriminator, Heads, Network, Widths
from baselines.networks.layers.conditional import ConditionalBatchNorm, batch_norms
from baselines.networks.layers.residual import StageSpec, block_down, first_block_down, residual_generator
from baselines.networks.layers.spectral_norm import spectral_norm_

STD = 0.02

# ajbrock BigGAN.py, G_arch and D_arch; 48: SSGAN-LA's BigGAN.py:45-57 and :276-287
STAGES = {
    32: StageSpec(start=4, generator=(4, 4, 4, 4), discriminator=(4, 4, 4, 4), downs=2),
    48: StageSpec(start=6, generator=(16, 8, 4, 2), discriminator=(1, 2, 4, 8), downs=3),
    64: StageSpec(start=4, generator=(16, 16, 8, 4, 2), discriminator=(1, 2, 4, 8, 16), downs=4),
}


class BigGANOptions(Widths):
    """Switches, and widths; 64 gives G and D 256 channels at 32x32.

    It gives G 1024 to 128 and D 64 to 512 at 48x48, and G 1024 to 128 and D 64 to 1024 at 64x64.
    """

    spectral_norm: bool = Field(default=True, strict=True, description="ajbrock/BigGAN-PyTorch BigGAN.py, D_param SN")
    generator_spectral_norm: bool = Field(
        default=True, strict=True, description="ajbrock/BigGAN-PyTorch BigGAN.py, G_param SN"
    )


class BigGAN(Network):
    """Residual, 32x32x3, 48x48x3 and 64x64x3, images in [-1, 1]."""

    about = "SSGAN-LA's BigGAN for 32x32, 48x48, 64x64: wide discriminator, spectral norm in both players, no encoder"
    Options = BigGANOptions
    shapes = frozenset({(3, 32, 32), (3, 48, 48), (3, 64, 64)})
    roles = frozenset({"generator", "discriminator", "conditions"})
    image_range = (-1.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, H, W) in [-1, 1]."""
        stages, width = STAGES[self.shape[1]], self.options.generator_width
        norms = batch_norms(num_conditions), nn.BatchNorm2d
        generator = _initialise(
            residual_generator(self.latent_dim, stages, width, self.shape[0], "nearest", norms, nn.Tanh())
        )
        return spectral_norm_(generator) if self.options.generator_spectral_norm else generator

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> DiscriminatorOutput with 4, 8 or 16 (32x32, 48x48, 64x64) times the width features."""
        stages = STAGES[self.shape[1]]
        maps = [self.options.discriminator_width * units for units in stages.discriminator]
        blocks = [first_block_down(self.shape[0], maps[0])]
        for index, (inputs, outputs) in enumerate(pairwise(maps), start=1):
            blocks.append(block_down(inputs, outputs, outputs, index < stages.downs))
        heads = Heads(maps[-1], task_classes, num_conditions=num_conditions)
        discriminator = _initialise(Discriminator(nn.Sequential(*blocks, nn.ReLU()), heads, pooling="sum"))
        return spectral_norm_(discriminator) if self.options.spectral_norm else discriminator


def _initialise(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, STD)
        elif isinstance(layer, ConditionalBatchNorm):
            nn.init.normal_(layer.scale.weight, 1.0, STD)
            nn.init.normal_(layer.shift.weight, 0.0, STD)
    return network
