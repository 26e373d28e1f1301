"""The base of methods without a generator: one classifier of real images, built from a discriminator's layers."""

from typing import ClassVar

from torch import nn

from baselines.common.method import Method
from baselines.networks.base import Network, drop_adversarial_head


class ClassifierMethod(Method):
    """One player, the discriminator of a network family, which classifies real images.

    Class attributes:
        has_binary_head: whether a loss uses the real/fake head; if not, the class head is the only one.
    """

    players = ("discriminator",)
    roles = frozenset({"discriminator"})
    has_generator = False
    has_binary_head: ClassVar[bool] = True
    basis = "derived-from-text"

    @property
    def class_head_size(self) -> int:
        """The number of logits of the class head with this method's options; 0 for no class head."""
        return self.task_classes

    def build_discriminator(self, network: Network) -> nn.Module:
        """A new discriminator with the heads that a loss uses."""
        discriminator = network.discriminator(self.class_head_size)
        return discriminator if self.has_binary_head else drop_adversarial_head(discriminator)
