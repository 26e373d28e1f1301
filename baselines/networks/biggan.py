"""The BigGAN nets of SSGAN-LA for 32x32, 48x48 and 64x64: spectral norm in both players, no attention.

Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019. Source:
houliangict/ssgan-la at 43c307e, BigGAN.py:45-57 and :276-287 (maps), :141-145 (plain batch norm), :411 (sum
pooling); the rest as in its parent, ajbrock/BigGAN-PyTorch: BigGAN.py at bf53f35 (G_arch, Generator, D_arch,
Discriminator), layers.py at a555707 (SN, ccbn, bn, GBlock, DBlock). By its scripts attention and shared embeddings are
off, and weights, embeddings included, start from N(0, 0.02); biases are left as torch draws them (init_weights). z is
N(0, I) of 128.

Generator: linear, blocks of batch norm-ReLU-nearest x2-conv3-batch norm-ReLU-conv3 with shortcut x2-conv1, batch
norm-ReLU-conv3-tanh; batch norm with epsilon 1e-5 and momentum 0.1. Discriminator: blocks of (ReLU-)conv3-ReLU-conv3
with shortcut conv1, average pooling on both paths; "wide", that is, inner maps as many as a block's outputs; the
shortcut sees the maps before the ReLU. All linear and convolutional layers of both players have spectral norm.

Conditional players are the parent's, without its shared embedding: in the blocks, but not after them, batch norm
with the gain 1 + g_y and the bias b_y, g and b embeddings without spectral norm (ccbn); a projection of the pooled maps
with spectral norm (Discriminator.embed).

Readings: the fork's table gives the discriminator for 48x48 four maps; how many of its blocks halve the side is the
parent's rule for 64x64 and up: down to the side at which the generator starts, and one more block there. The class
head has spectral norm and sees the pooled maps, as `linear` does. `1 + g_y` is kept as one embedding that starts
from N(1, 0.02). The singular vectors start from 15 power iterations (torch) where the source starts from noise, and are
normalised with epsilon 1e-12 for its scripts' 1e-8. Spectral norm off, in either player, is no recipe of the source.
"""

from itertools import pairwise

from pydantic import Field
from torch import Tensor, nn

from baselines.networks.base import DiscriminatorOutput, Heads, Network, Shape, Widths, spectral_norm_
from baselines.networks.layers.conditional import ConditionalBatchNorm, batch_norms
from baselines.networks.layers.residual import StageSpec, block_down, first_block_down, generator

DEVIATION = 0.02

# ajbrock BigGAN.py, G_arch and D_arch; 48: SSGAN-LA's BigGAN.py:45-57 and :276-287
PLANS = {
    32: StageSpec(start=4, generator=(4, 4, 4, 4), discriminator=(4, 4, 4, 4), downs=2, encoder=()),
    48: StageSpec(start=6, generator=(16, 8, 4, 2), discriminator=(1, 2, 4, 8), downs=3, encoder=()),
    64: StageSpec(start=4, generator=(16, 16, 8, 4, 2), discriminator=(1, 2, 4, 8, 16), downs=4, encoder=()),
}


class BigGANOptions(Widths):
    """Switches, and widths: 64 gives G and D 256 channels at 32x32.

    G 1024 to 128 and D 64 to 512 at 48x48, G 1024 to 128 and D 64 to 1024 at 64x64.
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
        plan, width = PLANS[self.shape[1]], self.options.generator_width
        norms = batch_norms(num_conditions), nn.BatchNorm2d
        found = generator(self.latent_dim, plan, width, self.shape[0], "nearest", norms, nn.Tanh())
        _initialised(found)
        return spectral_norm_(found) if self.options.generator_spectral_norm else found

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> Judgement with 4, 8 or 16 (32x32, 48x48, 64x64) times `discriminator_width` features."""
        found = _initialised(_Discriminator(self.shape, self.options.discriminator_width, task_classes, num_conditions))
        return spectral_norm_(found) if self.options.spectral_norm else found


class _Discriminator(nn.Module):
    def __init__(self, shape: Shape, width: int, task_classes: int, num_conditions: int) -> None:
        super().__init__()
        plan = PLANS[shape[1]]
        maps = [width * units for units in plan.discriminator]
        blocks = [first_block_down(shape[0], maps[0])]
        for index, (inputs, outputs) in enumerate(pairwise(maps), start=1):
            blocks.append(block_down(inputs, outputs, outputs, index < plan.downs))
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.heads = Heads(maps[-1], task_classes, num_conditions=num_conditions)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        judgement: DiscriminatorOutput = self.heads(self.body(x).sum((2, 3)))
        return judgement


def _initialised(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, DEVIATION)
        elif isinstance(layer, ConditionalBatchNorm):
            nn.init.normal_(layer.scale.weight, 1.0, DEVIATION)
            nn.init.normal_(layer.shift.weight, 0.0, DEVIATION)
    return network
