"""A small network that nobody trained, for smoke runs and tests: its numbers say nothing."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Extractor, Features

SEED = 0
FEATURES, CLASSES = 64, 16
LEAST = 8  # pixels of a side


class RandomConv(Extractor):
    """Two 3x3 convolutions of stride 2, the mean over places, a linear layer; the logits are another one."""

    name = "random_conv"
    about = "a small network with random weights, for smoke runs and tests: its numbers say nothing"
    title = "random network"
    classifies = True
    width = FEATURES

    @classmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Images of at least 8x8 with any number of channels."""
        return min(dataset.shape[1:]) >= LEAST

    def __init__(self, prepared: Path, device: torch.device) -> None:
        del prepared
        self.device = device
        self.weights: dict[int, list[Tensor]] = {}  # by the number of channels

    @property
    def identity(self) -> str:
        """What its weights are drawn from."""
        return f"random network of {FEATURES} features and {CLASSES} classes, seed {SEED}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, C, H, W) -> (N, 64) features, (N, 16) logits."""
        channels = images.shape[1]
        if channels not in self.weights:
            self.weights[channels] = [weight.to(self.device) for weight in drawn(channels)]
        first, second, linear, classes = self.weights[channels]
        # in float64: what rounding does with another size of the batch stays below float32
        x = F.leaky_relu(F.conv2d(images.to(self.device).double() / 127.5 - 1, first, stride=2, padding=1))
        x = F.leaky_relu(F.conv2d(x, second, stride=2, padding=1)).mean((2, 3))
        features = F.leaky_relu(x @ linear)
        return Features(features.float(), (features @ classes).float())


def drawn(channels: int) -> list[Tensor]:
    """Normal weights, scaled so that each layer keeps the size of its input, float64."""
    rng = torch.Generator().manual_seed(SEED)
    shapes = [(32, channels, 3, 3), (FEATURES, 32, 3, 3), (FEATURES, FEATURES), (FEATURES, CLASSES)]
    weights = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]
    fans = [channels * 9, 32 * 9, FEATURES, FEATURES]
    return [weight * (2 / fan) ** 0.5 for weight, fan in zip(weights, fans, strict=True)]
