"""Tiny smooth networks whose values and input gradients have closed forms (restatement.Nets), and `Bench`."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.common.method import EagerStepInputs, Method
from baselines.common.transformations import ROTATIONS, SHIFTS
from baselines.networks.base import Heads, Network, NetworkOptions, Shape
from baselines.networks.layers.conditional import Conditional, ConditionalSequential, Reshape
from benchmark.core import registry
from tests.support import restatement

SHAPE = (2, 3, 3)
PIXELS, LATENT, FEATURES = prod(SHAPE), 4, 6
BATCH = 8
DRAWS = 11  # seed of a loss's random stream
MANUAL = 3  # manual classes


class Stub(Network):
    """Linear generator and encoder; a discriminator with one tanh layer. For images or points of any shape."""

    about = "for tests"
    shapes = frozenset({SHAPE})
    roles = frozenset({"generator", "discriminator", "encoder", "conditions"})
    image_range = (0.0, 1.0)

    def generator(self, num_conditions: int = 0) -> nn.Module:
        size = prod(self.shape)
        if num_conditions:
            return ConditionalSequential(nn.Linear(LATENT, size), Shift(num_conditions, size), Reshape(*self.shape))
        return nn.Sequential(nn.Linear(LATENT, size), Reshape(*self.shape))

    def encoder(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(self.shape), LATENT))

    def discriminator(self, task_classes: int, num_conditions: int = 0) -> nn.Module:
        return StubDiscriminator(prod(self.shape), task_classes, num_conditions)


class Shift(Conditional):
    """Adds to each image the image of its condition."""

    def __init__(self, num_conditions: int, size: int) -> None:
        super().__init__()
        self.images = nn.Embedding(num_conditions, size)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return x + self.images(condition)


class StubDiscriminator(nn.Module):
    def __init__(self, pixels: int, task_classes: int, num_conditions: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(pixels, FEATURES)
        self.heads = Heads(FEATURES, task_classes, num_conditions=num_conditions)

    def forward(self, x: Tensor) -> Any:
        return self.heads(torch.tanh(self.hidden(x.flatten(1))))


def build(name: str, options: dict[str, Any], distribution: str = "uniform", shape: Shape = SHAPE) -> Method:
    """A method on the stub networks, in torch's default dtype, with large weights so that hinges clip."""
    method_class = registry.methods[name]
    torch.manual_seed(9)
    method = method_class(
        Stub(shape, LATENT, NetworkOptions()), distribution, method_class.Options.model_validate(options), MANUAL
    )
    method.transformations = SHIFTS if len(shape) == 1 else ROTATIONS
    with torch.no_grad():
        for name in ("discriminator", "classifier", "teacher"):
            for parameter in getattr(method, name).parameters() if hasattr(method, name) else ():
                parameter.mul_(3)
        if method.discriminator.heads.logit:
            method.discriminator.heads.logit.weight.mul_(2)
    return method


def real_images(shape: Shape = SHAPE) -> Tensor:
    """BATCH fixed images or points in [0, 1], in torch's default dtype."""
    return torch.from_numpy(np.random.default_rng(3).random((BATCH, *shape))).to(torch.get_default_dtype())


def manual_labels(share: float) -> Tensor | None:
    """BATCH labels of which about this share is known; the others are -1. None if the share is 0."""
    if not share:
        return None
    labels = torch.tensor([2, 0, 1, 1, 0, 2, 2, 1])
    labels[round(share * BATCH) :] = -1
    return labels


def draws(name: str, player: str, options: Any, distribution: str, shape: Shape = SHAPE) -> dict[str, np.ndarray]:
    """The random numbers of one loss, redrawn in the order in which the methods draw them.

    1. latents, by every player; then labels of fakes, by the conditional GAN and by mixtures; 2. interpolation
    shares, by the discriminator of every method whose penalty is on; 3. the permutation of
    the 4N candidates, by Dist-GAN's tasks and `random` batches, or of 5N by a discriminator with upright fakes.
    """
    rng = torch.Generator().manual_seed(DRAWS)
    if not registry.methods[name].has_generator:
        order = torch.randperm(4 * BATCH, generator=rng)[:BATCH]
        return {"order": order.numpy()} if options.batches == "random" else {}
    other = round(BATCH * getattr(options, "other_losses", 1.0))  # images in the self-labelling GAN's other losses
    fakes = other if player == "classifier" else BATCH
    if distribution == "uniform":
        drawn = {"z": torch.rand(fakes, LATENT, generator=rng) * 2 - 1}
    else:
        drawn = {"z": torch.randn(fakes, LATENT, generator=rng)}
    if name == "conditional_gan" or getattr(options, "latent_label", "") == "mixture":
        num_labels = MANUAL if name == "conditional_gan" else options.prototypes
        drawn["y"] = torch.randint(num_labels, (fakes,), generator=rng)
    penalised = getattr(options, "lambda_gp", 0) or getattr(options, "penalty", "off") != "off"
    if player == "discriminator" and penalised:
        drawn["share"] = torch.rand(other, 1, 1, 1, generator=rng)
    if player == "discriminator" and getattr(options, "fake_class", "") == "upright":
        drawn["order"] = torch.randperm(5 * BATCH, generator=rng)[:BATCH]
    elif getattr(options, "batches", "") == "random" or (
        name in ("dist_gan_ss", "dist_gan_ms") and player != "encoder"
    ):
        drawn["order"] = torch.randperm(4 * BATCH, generator=rng)[:BATCH]
    arrays = {key: value.numpy() for key, value in drawn.items()}
    arrays = {k: v if v.dtype == np.int64 else v.astype(np.float64) for k, v in arrays.items()}
    if "share" in arrays:
        arrays["share"] = arrays["share"].reshape(other, *(1 for _ in shape))
    return arrays


@dataclass
class Bench:
    """One player's loss, computed by the code under test and by the restatement with the same networks and draws."""

    name: str
    options: dict[str, Any]
    player: str
    progress: float = 0.0
    distribution: str = "uniform"
    shape: Shape = SHAPE

    @cached_property
    def method(self) -> Method:
        return build(self.name, self.options, self.distribution, self.shape)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return {k: p.detach().numpy().astype(np.float64) for k, p in self.method.state_dict().items()}

    @property
    def labels(self) -> Tensor | None:
        return manual_labels(self.method.label_fraction(dict(self.method.options)))

    def terms(self) -> dict[str, Tensor]:
        rng = torch.Generator().manual_seed(DRAWS)
        inputs = EagerStepInputs(real_images(self.shape), self.progress, rng, self.labels)
        return self.method.loss(self.player, inputs)

    @cached_property
    def constants(self) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
        options = self.method.options
        d = draws(self.name, self.player, options, self.distribution, self.shape)
        if self.labels is not None:
            d["labels"] = self.labels.numpy()
        return real_images(self.shape).numpy().astype(np.float64), d, dict(options)

    def restated(self, arrays: dict[str, np.ndarray] | None = None) -> dict[str, float]:
        nets = restatement.Nets(self.arrays if arrays is None else arrays, self.shape)
        x, d, options = self.constants
        return restatement.LOSSES[self.name](self.player, nets, x, d, self.progress, options)
