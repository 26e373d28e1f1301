"""PacGAN: the discriminator takes several images at once, so that it can detect a lack of variety.

Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018; fjxmlzn/PacGAN,
stacked_MNIST_experiments/unrolled_GAN_experiment/D=0.25G/model.py. D sees m images stacked along their channels,
or m points as one vector:

    L_D = game_D(D(x_1 .. x_m), D(G(z_1) .. G(z_m)))        L_G = game_G(D(G(z_1) .. G(z_m)))

A batch of N packs consists of m N real images or m N generated ones, as in the code (`generate_stacked_mnist`,
:packing_num). `batch_size` counts images, so it is m times the code's batch size. The code passes each of the m latents
of a pack through G separately, hence with separate batch statistics, and uses the same latents for both players. Here
the m N images of a batch are generated together, and each player draws its own latents.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from baselines.methods.gan import GAN, GANOptions
from baselines.networks.base import DiscriminatorOutput, Network


class PacGANOptions(GANOptions):
    """`packing`: m, the number of images per pack; 1 gives the plain GAN."""

    packing: int = Field(default=2, strict=True, ge=1, le=16, description="PacDCGAN2, the smallest of the paper's")


class PacGAN(GAN):
    """GAN with a discriminator of packs."""

    title = "PacGAN"
    paper = "Lin et al., PacGAN: The power of two samples in generative adversarial networks"
    year = 2018
    about = "GAN whose discriminator takes several images at once"
    Options: ClassVar[type[GANOptions]] = PacGANOptions
    is_per_image = False

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """A batch consists of whole packs."""
        del num_classes
        packing = options.get("packing", 2)
        if batch_size % packing:
            return f"batch_size {batch_size} is not divisible by the packing, {packing} images per pack"
        return None

    def build_discriminator(self, network: Network) -> nn.Module:
        """A discriminator with m times the input channels."""
        return network.packed(self.options.packing).discriminator(self.task_classes)

    def discriminate_batches(self, *batches: Tensor) -> list[DiscriminatorOutput]:
        """The output for each of several batches of N images or points, as N / m packs of m neighbours."""
        return super().discriminate_batches(*map(self.pack, batches))

    def pack(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N / m, mC, H, W); points (N, D) -> (N / m, mD)."""
        m = self.options.packing
        return images.reshape(len(images) // m, m * images.shape[1], *images.shape[2:])
