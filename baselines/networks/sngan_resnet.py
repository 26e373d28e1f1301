"""The residual networks of SN-GAN, in the shape that mimicry trains: spectral norm in the discriminator.

Miyato et al., "Spectral Normalization for GANs", ICLR 2018. Source: kwotsin/mimicry, torch_mimicry:
nets/sngan/sngan_32.py, sngan_48.py, sngan_64.py, nets/ssgan/ssgan_32.py, ssgan_64.py (3f60827) and
modules/resblocks.py (9f01eec).
Discriminator: spectral norm in every layer, heads included; average pooling; inner maps of a block as many as
its inputs; heads linear on the sum-pooled maps. Glorot-uniform weights with gain sqrt 2 for the 3x3 layers inside
blocks and 1 elsewhere; biases as torch draws them; batch norm with torch's defaults (GBlock, DBlock).

Two lines of that code are switches whose default follows it:

- `upsampling` (SN-02): bilinear, by its own words instead of nearest (GBlock._upsample_conv).
- `rectified_shortcut` (SN-01): DBlock._residual applies an in-place ReLU to the block's input before _shortcut reads
  it, so the shortcuts of all blocks but the first see the rectified maps. False: they see the maps themselves.

The rotation head has variants (SS-02): it sees the same pooled maps as the real/fake head here and, mean-pooled, in
compare_gan (`pooling`; resnet_cifar.py:156-167, the rest of that net is `compare_gan_resnet`), the flattened ones in
MSGAN's code (`class_features`), with spectral norm or without (`class_head_norm`).

Conditional players are those of mimicry's cGAN-PD (nets/cgan_pd/cgan_pd_32.py): conditional batch norm in the
generator's blocks, a plain one after them, and a projection of the pooled maps with spectral norm.

Readings: the class head for 48x48 and the conditional players for 48x48 and 64x64 are those for 32x32; the singular
vectors start from 15 power iterations (torch) where mimicry starts from noise.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from baselines.networks.base import DiscriminatorOutput, Heads, Network, Shape, Widths, spectral_norm_
from baselines.networks.layers.conditional import batch_norms
from baselines.networks.layers.residual import PLANS, Residual, block_down, first_block_down, generator

NETS = "kwotsin/mimicry@3f60827 nets/ssgan/ssgan_32.py"
BLOCKS = "kwotsin/mimicry@9f01eec modules/resblocks.py"


class SNGANResNetOptions(Widths):
    """Switches, and widths: 64 gives G 256 and D 128 channels at 32x32, G 512 to 64 and D 64 to 1024 at 48x48.

    At 64x64: G 1024 to 64, D 64 to 1024.
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
        options = self.options
        norms = batch_norms(num_conditions), nn.BatchNorm2d
        return _initialised(
            generator(
                self.latent_dim,
                PLANS[self.shape[1]],
                options.generator_width,
                self.shape[0],
                options.upsampling,
                norms,
                nn.Tanh(),
            )
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> Judgement with 2 (32x32) or 16 times `discriminator_width` pooled features.

        Flat, they are those of every place: 8x8, 3x3 (48x48) or 2x2 (64x64) times as many.
        """
        found = _Discriminator(self.shape, self.options, task_classes, num_conditions)
        _initialised(found)
        if not self.options.spectral_norm:
            return found
        plain = () if self.options.class_head_norm else (found.heads.classes,)
        return spectral_norm_(found, besides=plain)


class _Discriminator(nn.Module):
    def __init__(self, shape: Shape, options: SNGANResNetOptions, task_classes: int, num_conditions: int) -> None:
        super().__init__()
        plan = PLANS[shape[1]]
        maps = [options.discriminator_width * units for units in plan.discriminator]
        blocks = [first_block_down(shape[0], maps[0])]
        for index, (inputs, outputs) in enumerate(pairwise(maps), start=1):
            blocks.append(block_down(inputs, inputs, outputs, index < plan.downs, options.rectified_shortcut))
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.flat = options.class_features == "flat"
        places = (shape[1] // 2**plan.downs) ** 2 if self.flat else 1
        self.heads = Heads(maps[-1] * places, task_classes, judged=maps[-1], num_conditions=num_conditions)
        self.pooling = options.pooling

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        maps = self.body(x)
        pooled = maps.sum((2, 3)) if self.pooling == "sum" else maps.mean((2, 3))
        judgement: DiscriminatorOutput = self.heads(maps.flatten(1) if self.flat else pooled, pooled)
        return judgement


def _initialised(network: nn.Module) -> nn.Module:
    blocks = [module for module in network.modules() if isinstance(module, Residual)]
    inner = {layer for block in blocks for layer in block.body.modules()}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=2**0.5 if layer in inner else 1.0)
    return network
