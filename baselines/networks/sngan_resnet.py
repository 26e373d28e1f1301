"""The residual networks of SN-GAN as mimicry implements them: spectral norm in the discriminator.

Miyato et al., "Spectral Normalization for GANs", ICLR 2018. Source: kwotsin/mimicry, torch_mimicry:
nets/sngan/sngan_32.py, sngan_48.py, sngan_64.py, nets/ssgan/ssgan_32.py, ssgan_64.py (3f60827) and
modules/resblocks.py (9f01eec).
Discriminator: spectral norm in every layer, heads included; average pooling; a block has as many inner maps as inputs;
linear heads on the sum-pooled maps. Glorot-uniform weights, with gain sqrt 2 for the 3x3 layers inside blocks and 1
elsewhere; biases as torch initialises them; batch norm with torch's defaults (GBlock, DBlock).

Two details of the code are switches whose default follows the code:

- `upsampling` (SN-02): bilinear instead of nearest, as the code itself states (GBlock._upsample_conv).
- `rectified_shortcut` (SN-01): DBlock._residual applies an in-place ReLU to the block's input before _shortcut reads
  it, so the shortcuts of all blocks but the first see the rectified maps. False: they see the maps themselves.

The rotation head has variants (SS-02). It sees the same pooled maps as the real/fake head here and, mean-pooled, in
compare_gan (`pooling`; resnet_cifar.py:156-167; the rest of that network is `compare_gan_resnet`), and the flattened
maps in MSGAN's code (`class_features`); it may have spectral norm or not (`class_head_norm`).

Conditional players are those of mimicry's cGAN-PD (nets/cgan_pd/cgan_pd_32.py): conditional batch norm in the
generator's blocks, a plain one after them, and a projection of the pooled maps with spectral norm.

Assumptions: the class head for 48x48 and the conditional players for 48x48 and 64x64 are those for 32x32; the singular
vectors start from 15 power iterations (torch) where mimicry starts from noise.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from baselines.networks.base import DiscriminatorOutput, Heads, Network, Shape, Widths, pooled
from baselines.networks.layers.conditional import batch_norms
from baselines.networks.layers.residual import STAGES, Residual, block_down, first_block_down, residual_generator
from baselines.networks.layers.spectral_norm import spectral_norm_

NETS = "kwotsin/mimicry@3f60827 nets/ssgan/ssgan_32.py"
BLOCKS = "kwotsin/mimicry@9f01eec modules/resblocks.py"


class SNGANResNetOptions(Widths):
    """Switches, and widths; 64 gives G 256 and D 128 channels at 32x32, G 512 to 64 and D 64 to 1024 at 48x48.

    At 64x64 it gives G 1024 to 64 and D 64 to 1024.
    """

    spectral_norm: bool = Field(default=True, strict=True, description=NETS)
    pooling: Literal["sum", "mean"] = Field(default="sum", description=f"{NETS} (SS-02)")
    class_features: Literal["pooled", "flat"] = Field(default="pooled", description=f"{NETS} (SS-02)")
    class_head_norm: bool = Field(default=True, strict=True, description=f"{NETS} (SS-02)")
    upsampling: Literal["bilinear", "nearest"] = Field(
        default="bilinear", description=f"{BLOCKS}, GBlock._upsample_conv (SN-02)"
    )
    rectified_shortcut: bool = Field(default=True, strict=True, description=f"{BLOCKS}, DBlock._residual (SN-01)")


class SNGANResNet(Network):
    """Residual, 32x32x3, 48x48x3 and 64x64x3, images in [-1, 1]."""

    about = "SN-GAN's residual nets for 32x32, 48x48 and 64x64 as in mimicry: spectral norm, sum pooling, no encoder"
    Options = SNGANResNetOptions
    shapes = frozenset({(3, 32, 32), (3, 48, 48), (3, 64, 64)})
    roles = frozenset({"generator", "discriminator", "conditions"})
    image_range = (-1.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, H, W) in [-1, 1]."""
        stages, width = STAGES[self.shape[1]], self.options.generator_width
        norms, upsampling = (batch_norms(num_conditions), nn.BatchNorm2d), self.options.upsampling
        return _initialise(
            residual_generator(self.latent_dim, stages, width, self.shape[0], upsampling, norms, nn.Tanh())
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> DiscriminatorOutput with 2 (32x32) or 16 times `discriminator_width` pooled features.

        Flat features are 8x8 (32x32), 3x3 (48x48) or 2x2 (64x64) times as many.
        """
        discriminator = _SNGANDiscriminator(self.shape, self.options, task_classes, num_conditions)
        _initialise(discriminator)
        if not self.options.spectral_norm:
            return discriminator
        exclude = () if self.options.class_head_norm else (discriminator.heads.classes,)
        return spectral_norm_(discriminator, exclude)


class _SNGANDiscriminator(nn.Module):
    def __init__(self, shape: Shape, options: SNGANResNetOptions, task_classes: int, num_conditions: int) -> None:
        super().__init__()
        stages = STAGES[shape[1]]
        maps = [options.discriminator_width * units for units in stages.discriminator]
        blocks = [first_block_down(shape[0], maps[0])]
        for index, (inputs, outputs) in enumerate(pairwise(maps), start=1):
            blocks.append(block_down(inputs, inputs, outputs, index < stages.downs, options.rectified_shortcut))
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.flat = options.class_features == "flat"
        positions = (shape[1] // 2**stages.downs) ** 2 if self.flat else 1
        self.heads = Heads(maps[-1] * positions, task_classes, maps[-1], num_conditions)
        self.pooling = options.pooling

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        maps = self.body(x)
        adversarial = pooled(maps, self.pooling)
        output: DiscriminatorOutput = self.heads(maps.flatten(1) if self.flat else adversarial, adversarial)
        return output


def _initialise(network: nn.Module) -> nn.Module:
    blocks = [module for module in network.modules() if isinstance(module, Residual)]
    inner = {layer for block in blocks for layer in block.body.modules()}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=2**0.5 if layer in inner else 1.0)
    return network
