"""A small network with random weights, for smoke runs and tests: its values are meaningless."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Extractor, Features

SEED = 0
FEATURES, CLASSES = 64, 16
MIN_SIDE = 8  # pixels


class RandomConv(Extractor):
    """Two 3x3 convolutions of stride 2, global average pooling and a linear layer; another linear layer for logits."""

    name = "random_conv"
    about = "a small network with random weights, for smoke runs and tests: its numbers say nothing"
    title = "random network"
    has_logits = True
    width = FEATURES

    @classmethod
    def supports(cls, dataset: type[Dataset]) -> bool:
        """Images of at least 8x8 with any number of channels."""
        return not dataset.is_points and min(dataset.shape[1:]) >= MIN_SIDE

    def __init__(self, path: Path, device: torch.device) -> None:
        del path
        self.device = device
        self.weights: dict[int, list[Tensor]] = {}  # by number of channels

    @property
    def identity(self) -> str:
        """Its size and its seed; the weights are not stored."""
        return f"random network of {FEATURES} features and {CLASSES} classes, seed {SEED}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, C, H, W) -> (N, 64) features, (N, 16) logits."""
        channels = images.shape[1]
        if channels not in self.weights:
            self.weights[channels] = [weight.to(self.device) for weight in random_weights(channels)]
        first, second, linear, classes = self.weights[channels]
        # in float64, so that the rounding differences between batch sizes vanish in float32
        x = F.leaky_relu(F.conv2d(images.to(self.device).double() / 127.5 - 1, first, stride=2, padding=1))
        x = F.leaky_relu(F.conv2d(x, second, stride=2, padding=1)).mean((2, 3))
        features = F.leaky_relu(x @ linear)
        return Features(features.float(), (features @ classes).float())


def random_weights(channels: int) -> list[Tensor]:
    """Normal weights scaled by sqrt(2 / fan-in), which keeps the magnitude of activations, float64."""
    rng = torch.Generator().manual_seed(SEED)
    shapes = [(32, channels, 3, 3), (FEATURES, 32, 3, 3), (FEATURES, FEATURES), (FEATURES, CLASSES)]
    weights = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]
    fans = [channels * 9, 32 * 9, FEATURES, FEATURES]
    return [weight * (2 / fan) ** 0.5 for weight, fan in zip(weights, fans, strict=True)]
