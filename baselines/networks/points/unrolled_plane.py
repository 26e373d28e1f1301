"""The networks of Unrolled GAN's notebook for points in the plane.

Metz et al., "Unrolled Generative Adversarial Networks", ICLR 2017; poolio/unrolled_gan@0136e29 "Unrolled GAN
demo.ipynb": two hidden layers of 128 tanh units in either player, orthogonal weights times 1.4, biases 0 (the default
of slim.fully_connected). The notebook says that its networks are not those of the paper.

Assumption: the class head, which the notebook does not have, sees the last hidden layer, like the real/fake head.
"""

from torch import nn

from baselines.networks.base import Discriminator, Heads, Network, reject_conditions

WIDTH, GAIN = 128, 1.4


class UnrolledPlane(Network):
    """Two hidden layers of 128 tanh units per player."""

    about = "the perceptrons of Unrolled GAN's notebook: two hidden layers of 128 tanh units"
    shapes = frozenset({(2,)})
    image_range = None

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, D)."""
        reject_conditions(self, num_conditions)
        (dimensions,) = self.shape
        return orthogonal_(nn.Sequential(*hidden_layers(self.latent_dim), nn.Linear(WIDTH, dimensions)))

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, D) points, or packs of m points (N, mD) -> DiscriminatorOutput with 128 features."""
        reject_conditions(self, num_conditions)
        (dimensions,) = self.shape
        return orthogonal_(Discriminator(hidden_layers(dimensions), Heads(WIDTH, task_classes)))


def hidden_layers(inputs: int) -> nn.Sequential:
    """Two linear layers with tanh."""
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh())


def orthogonal_(module: nn.Module) -> nn.Module:
    """Orthogonal weights times 1.4 and zero biases in every linear layer, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain=GAIN)
            nn.init.zeros_(layer.bias)
    return module
