"""The perceptrons of SSGAN-LA's experiment on a line.

Hou et al., "Self-Supervised GANs with Label Augmentation", NeurIPS 2021; houliangict/ssgan-la@43c307e
MoG/SSGANs.ipynb. The layers have PyTorch's default initialisation.
"""

from torch import nn

from baselines.networks.base import Discriminator, Heads, Network, reject_conditions

WIDTH = 10  # of both hidden layers


class SSGANLALine(Network):
    """Two hidden layers of 10 tanh units per player."""

    about = "two hidden layers of 10 tanh units, of SSGAN-LA's experiment on a line"
    shapes = frozenset({(1,)})
    image_range = None

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, 1): latent_dim-10-10-1."""
        reject_conditions(self, num_conditions)
        (dimensions,) = self.shape
        return nn.Sequential(*hidden_layers(self.latent_dim), nn.Linear(WIDTH, dimensions))

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, 1) -> DiscriminatorOutput with 10 features: the trunk 1-10-10 and linear heads."""
        reject_conditions(self, num_conditions)
        (dimensions,) = self.shape
        return Discriminator(hidden_layers(dimensions), Heads(WIDTH, task_classes))


def hidden_layers(inputs: int) -> nn.Sequential:
    """Two linear layers with tanh."""
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh())
