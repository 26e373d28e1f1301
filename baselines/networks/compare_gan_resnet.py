"""The ResNets of compare_gan, SSGAN's own code, for 32x32 and 64x64: plain and self-modulated batch norm.

Source: google/compare_gan at 25c4945, compare_gan/architectures: resnet_cifar.py (32x32) and resnet5.py (64x64; the
code builds it for 32 to 128: architectures_test.py, testResNet5), each Generator and Discriminator; resnet_ops.py
(unpool, ResNetBlock), arch_ops.py (weight_initializer, standardize_batch, batch_norm, self_modulated_batch_norm,
conditional_batch_norm, spectral_norm, linear, conv2d); the rotation head: gans/ssgan.py (SSGAN.discriminator). The code
has no configuration of SSGAN (SS-01); configurable settings follow example_configs/resnet_cifar10.gin: spectral norm in
all layers of the discriminator and in none of the generator, batch norm with decay 0.9 and epsilon 1e-5
(standardize_batch alone has 0.999 and 1e-3: SS-09).

A block is norm-ReLU-conv3-norm-ReLU-conv3; its shortcut is a conv3, also in blocks that keep the shape. The generator's
blocks upsample before the first convolution, and on the shortcut, by zero insertion (`unpool`); the discriminator's
have no norm and downsample by average pooling after the last convolution. Both heads are linear on the mean-pooled
maps. Weights start from N(0, 0.02), biases from 0.

resnet5 has five blocks in the generator, of which the fifth keeps the side of a 64x64 image, and six in the
discriminator, all of which halve it: its last maps are 1x1. The code has no configuration of SSGAN for it; the one that
ships is WGAN-GP without spectral norm (example_configs/resnet_lsun-bedroom128.gin).

`generator_norm`: "self_modulated" is the sBN of Chen et al., "On Self Modulation for Generative Adversarial Networks",
ICLR 2019, in SSGAN's tables "SSGAN (sBN)": scale and shift of every batch norm, the last one included, come from z.

Conditional players: batch norm whose scale and shift are linear in the one-hot label without bias, so that both start
from N(0, 0.02) (conditional_batch_norm, use_bias False; SS-10); a projection of the pooled maps
(resnet_cifar.Discriminator, project_y). Neither the code nor this network has a norm that takes both z and the label.

Assumptions: resnet5's discriminator uses no label, so its projection is that of resnet_cifar; the moving variance is
torch's, which is unbiased, where the source's is biased; the singular vectors start from 15 power iterations (torch)
where the source starts from noise.
"""

from itertools import pairwise
from typing import Any, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from baselines.networks.base import Discriminator, Heads, Network, Shape, Widths
from baselines.networks.layers.conditional import (
    Conditional,
    ConditionalBatchNorm,
    ConditionalSequential,
    Norm,
    Reshape,
    affine_modulate,
    batch_norms,
)
from baselines.networks.layers.initialisation import normal_
from baselines.networks.layers.resample_conv import ConvDown, UpConv
from baselines.networks.layers.residual import Residual, conv3
from baselines.networks.layers.spectral_norm import spectral_norm_

STD = 0.02
EPSILON, MOMENTUM = 1e-5, 0.1
START = 4  # side of the generator's first maps
HIDDEN = 32  # self_modulated_batch_norm, num_hidden


class BlockSpec(NamedTuple):
    """Channels of the maps, in units of a width, and the number of leading blocks that double or halve the side."""

    generator: tuple[int, ...]
    ups: int
    discriminator: tuple[int, ...]
    downs: int


BLOCKS = {  # by image side
    32: BlockSpec(generator=(4, 4, 4, 4), ups=3, discriminator=(2, 2, 2, 2), downs=2),
    64: BlockSpec(generator=(8, 8, 4, 4, 2, 1), ups=4, discriminator=(1, 2, 4, 4, 8, 8), downs=6),
}


class CompareGANResNetOptions(Widths):
    """Switches, and widths; 64 gives G 256 and D 128 channels at 32x32, G 512 to 64 and D 64 to 512 at 64x64."""

    spectral_norm: bool = Field(
        default=True, strict=True, description="google/compare_gan@25c4945 example_configs/resnet_cifar10.gin"
    )
    generator_norm: Literal["batch", "self_modulated"] = Field(
        default="batch", description="google/compare_gan@25c4945 example_configs/resnet_cifar10.gin (SS-01)"
    )


class CompareGANResNet(Network):
    """Residual, 32x32x3 and 64x64x3, images in [0, 1]."""

    about = "compare_gan's ResNets for 32x32 and 64x64: zero-insertion, 3x3 shortcuts, mean pooling, sBN, no encoder"
    Options = CompareGANResNetOptions
    shapes = frozenset({(3, 32, 32), (3, 64, 64)})
    roles = frozenset({"generator", "discriminator", "conditions"})
    image_range = (0.0, 1.0)

    @classmethod
    def check_config(cls, options: dict[str, Any], roles: frozenset[str]) -> str | None:
        """A norm that takes z cannot take a label too."""
        if "conditions" in roles and options.get("generator_norm") == "self_modulated":
            return "generator_norm 'self_modulated' takes the latents and no label; use 'batch'"
        return None

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 3, H, W) in [0, 1]."""
        width = self.options.generator_width
        if self.options.generator_norm == "batch":
            norm = batch_norms(num_conditions, eps=EPSILON, momentum=MOMENTUM)
            return _initialise(_generator(self.latent_dim, width, self.shape, norm))
        if num_conditions:
            raise NotImplementedError("generator_norm self_modulated has no conditional generator: its norm takes z")
        return _initialise(
            _SelfModulatedGenerator(
                _generator(
                    self.latent_dim, width, self.shape, lambda maps: SelfModulatedBatchNorm(maps, self.latent_dim)
                )
            )
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 3, H, W) -> DiscriminatorOutput with 2 (32x32) or 8 (64x64) times the width mean-pooled features."""
        spec = BLOCKS[self.shape[1]]
        maps = [self.shape[0], *(self.options.discriminator_width * units for units in spec.discriminator)]
        blocks = [_block_down(*pair, down=index < spec.downs) for index, pair in enumerate(pairwise(maps))]
        body, heads = nn.Sequential(*blocks, nn.ReLU()), Heads(maps[-1], task_classes, num_conditions=num_conditions)
        discriminator = _initialise(Discriminator(body, heads, pooling="mean"))
        return spectral_norm_(discriminator) if self.options.spectral_norm else discriminator


class SelfModulatedBatchNorm(Conditional):
    """Batch norm whose scale and shift are a small network of the latents. They start near 1 and 0."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False, eps=EPSILON, momentum=MOMENTUM)
        self.hidden = nn.Linear(latent_dim, HIDDEN)
        self.scale = nn.Linear(HIDDEN, channels)
        self.shift = nn.Linear(HIDDEN, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) maps, (N, latent_dim) latents -> (N, C, H, W)."""
        hidden = self.hidden(condition).relu()
        return affine_modulate(self.norm(x), self.scale(hidden), self.shift(hidden))


class _SelfModulatedGenerator(nn.Module):
    """A generator whose condition is its own input, the latents."""

    def __init__(self, chain: ConditionalSequential) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.chain(latents, latents)
        return images


def _generator(latent_dim: int, width: int, shape: Shape, norm: Norm) -> ConditionalSequential:
    spec = BLOCKS[shape[1]]
    maps = [width * units for units in spec.generator]
    return ConditionalSequential(
        nn.Linear(latent_dim, maps[0] * START**2),
        Reshape(maps[0], START, START),
        *(_block(*pair, norm, up=index < spec.ups) for index, pair in enumerate(pairwise(maps))),
        norm(maps[-1]),
        nn.ReLU(inplace=True),
        conv3(maps[-1], shape[0]),
        nn.Sigmoid(),
    )


def _block(inputs: int, outputs: int, norm: Norm, up: bool) -> Residual:
    def convolution() -> nn.Module:
        return UpConv(inputs, outputs, "zeros") if up else conv3(inputs, outputs)

    body = ConditionalSequential(
        norm(inputs),
        nn.ReLU(inplace=True),
        convolution(),
        norm(outputs),
        nn.ReLU(inplace=True),
        conv3(outputs, outputs),
    )
    return Residual(body, convolution())


def _block_down(inputs: int, outputs: int, down: bool) -> Residual:
    last = ConvDown if down else conv3
    body = nn.Sequential(nn.ReLU(), conv3(inputs, outputs), nn.ReLU(inplace=True), last(outputs, outputs))
    return Residual(body, last(inputs, outputs))


def _initialise(network: nn.Module) -> nn.Module:
    for layer in normal_(network, STD).modules():
        if isinstance(layer, ConditionalBatchNorm):
            nn.init.normal_(layer.scale.weight, 0.0, STD)
            nn.init.normal_(layer.shift.weight, 0.0, STD)
        elif isinstance(layer, SelfModulatedBatchNorm):
            nn.init.ones_(layer.scale.bias)
    return network
