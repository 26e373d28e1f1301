"""PacGAN's networks for mixtures in the plane.

Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018; fjxmlzn/PacGAN@b331f4f
synthetic_data_experiments/2DGrid_GAN&PacGAN/pacgan_task.py, create_model_brick, and config.py. Weights are normal with
standard deviation 0.02, biases 0. Batch norm is that of Blocks (mila-iqia/blocks@09bfd0d blocks/bricks/bn.py): epsilon
1e-4, and averages that keep 0.95 in every update. Blocks averages standard deviations, and PyTorch unbiased variances.

Assumption: the class head, which PacGAN does not have, sees the features that the real/fake head sees.
"""

from itertools import pairwise

from torch import Tensor, nn

from baselines.networks.base import Discriminator, Heads, Network, reject_conditions
from baselines.networks.layers.initialisation import normal_

STD = 0.02
GENERATOR_WIDTH, DISCRIMINATOR_WIDTH, PIECES = 400, 200, 5


class PacGANPlane(Network):
    """Four hidden layers in the generator, three maxout layers in the discriminator."""

    about = "PacGAN's perceptrons for points: 4 x 400 with batch norm against 3 maxout layers of 200 x 5"
    shapes = frozenset({(2,)})
    image_range = None

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, D). Layers before batch norm have no bias."""
        reject_conditions(self, num_conditions)
        (dimensions,) = self.shape
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((self.latent_dim, *4 * (GENERATOR_WIDTH,))):
            layers += [nn.Linear(inputs, outputs, bias=False), batch_norm(outputs), nn.ReLU(inplace=True)]
        return normal_(nn.Sequential(*layers, nn.Linear(GENERATOR_WIDTH, dimensions)), STD)

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, D) points, or packs of m points (N, mD) -> DiscriminatorOutput with 200 features."""
        reject_conditions(self, num_conditions)
        widths = (*self.shape, *3 * (DISCRIMINATOR_WIDTH,))
        body = nn.Sequential(*(Maxout(inputs, outputs, PIECES) for inputs, outputs in pairwise(widths)))
        return normal_(Discriminator(body, Heads(DISCRIMINATOR_WIDTH, task_classes)), STD)


def batch_norm(width: int) -> nn.Module:
    """Blocks' batch norm."""
    return nn.BatchNorm1d(width, eps=1e-4, momentum=0.05)


class Maxout(nn.Module):
    """The largest of `pieces` affine functions per output (Goodfellow et al., "Maxout Networks", ICML 2013)."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, outputs * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs); neighbouring outputs of the affine map are the pieces of one."""
        pieces: Tensor = self.linear(x).unflatten(1, (-1, self.pieces))
        return pieces.max(2).values
