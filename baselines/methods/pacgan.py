"""PacGAN: the discriminator judges several images at once, so that a lack of variety shows.

Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018; fjxmlzn/PacGAN,
stacked_MNIST_experiments/unrolled_GAN_experiment/D=0.25G/model.py. D sees m images stacked along their channels:

    L_D = game_D(D(x_1 .. x_m), D(G(z_1) .. G(z_m)))        L_G = game_G(D(G(z_1) .. G(z_m)))

A batch of N packs is made of m N real images and m N latents, as there (`generate_stacked_mnist`, :packing_num):
`batch_size` counts images, so it is m times what that code calls so. There each of the m latents goes through G by
itself, hence with batch statistics of its own, and one draw of latents serves both players; here the mN images of a
batch are made together, from a draw of their own for each player.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from baselines.methods.gan import GAN, GANOptions
from baselines.networks.base import DiscriminatorOutput, Network


class PacGANOptions(GANOptions):
    """`packing`: m, how many images the discriminator judges at once; 1 is the plain game."""

    packing: int = Field(default=2, strict=True, ge=1, le=16, description="PacDCGAN2, the smallest of the paper's")


class PacGAN(GAN):
    """GAN with a discriminator of packs."""

    title = "PacGAN"
    paper = "Lin et al., PacGAN: The power of two samples in generative adversarial networks"
    year = 2018
    about = "the plain game, the discriminator judging several images at once"
    Options: ClassVar[type[GANOptions]] = PacGANOptions
    is_per_image = False

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """A batch is whole packs."""
        del num_classes
        packing = options.get("packing", 2)
        if batch_size % packing:
            return f"batch_size {batch_size} does not divide by the packing, {packing} images at once"
        return None

    def build_discriminator(self, network: Network) -> nn.Module:
        """A discriminator of m times the channels."""
        return network.packed(self.options.packing).discriminator(self.task_classes)

    def discriminate_batches(self, *batches: Tensor) -> list[DiscriminatorOutput]:
        """The view of several batches of (N, C, H, W) images, each as N / m packs of m neighbours."""
        return super().discriminate_batches(*map(self.pack, batches))

    def pack(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N / m, mC, H, W)."""
        m = self.options.packing
        return images.reshape(len(images) // m, m * images.shape[1], *images.shape[2:])
