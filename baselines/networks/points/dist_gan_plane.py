"""Dist-GAN's networks for points in the plane.

Tran et al., "Dist-GAN: An Improved GAN using Distance Constraints", ECCV 2018; tntrung/gan@a0f1691
distgan_toy2d/distgan_toy2d.py, with theta_def, mlp and mlp_feat of tntrung/gan@00395fd gaan_toy2d/model_mlp.py. Every
player has three hidden layers of 128 ReLU units. Weights are normal with variance 2 / inputs, biases 0. The generator
ends in a sigmoid, so the points have to be within [0, 1]. The discriminator's features are the third layer before its
ReLU.

Assumption: the class head, which this code does not have, sees the features.
"""

from torch import Tensor, nn

from baselines.networks.base import DiscriminatorOutput, Heads, Network, reject_conditions

WIDTH = 128


class DistGANPlane(Network):
    """Three hidden layers of 128 ReLU units per player."""

    about = "Dist-GAN's perceptrons for points in [0, 1]: three hidden layers of 128 per player"
    shapes = frozenset({(2,)})
    roles = frozenset({"generator", "discriminator", "encoder"})
    image_range = None

    def generator(self, num_conditions: int = 0) -> nn.Module:
        """(N, latent_dim) -> (N, D) in [0, 1]."""
        reject_conditions(self, num_conditions)
        (dimensions,) = self.shape
        return kaiming_(
            nn.Sequential(perceptron(self.latent_dim), nn.ReLU(), nn.Linear(WIDTH, dimensions), nn.Sigmoid())
        )

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        """(N, D) -> DiscriminatorOutput with 128 features."""
        reject_conditions(self, num_conditions)
        (dimensions,) = self.shape
        return kaiming_(FeaturesBeforeReLU(perceptron(dimensions), Heads(WIDTH, task_classes)))

    def encoder(self) -> nn.Module:
        """(N, D) -> (N, latent_dim)."""
        (dimensions,) = self.shape
        return kaiming_(nn.Sequential(perceptron(dimensions), nn.ReLU(), nn.Linear(WIDTH, self.latent_dim)))


class FeaturesBeforeReLU(nn.Module):
    """A discriminator whose real/fake head sees the ReLU of its features."""

    def __init__(self, body: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.body, self.heads = body, heads

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """(N, D) -> DiscriminatorOutput."""
        features = self.body(x)
        output: DiscriminatorOutput = self.heads(features, features.relu())
        return output


def perceptron(inputs: int) -> nn.Sequential:
    """Three linear layers with a ReLU between them, and none after the last."""
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)
    )


def kaiming_(module: nn.Module) -> nn.Module:
    """Weights from N(0, 2 / inputs) and zero biases in every linear layer, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return module
