"""Takes the measures of a protocol that look at the discriminator, at a checkpoint, without disturbing the training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from baselines.common.method import Method
from baselines.networks.base import DiscriminatorOutput
from benchmark.core.precision import tf32_mode
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import REFERENCE_PRECISION, Protocol
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.sampler import Range, to_range
from benchmark.evaluation.metrics.base import DiscriminatorMetric

BATCH = 250  # images that are judged together

T = TypeVar("T")


@dataclass(frozen=True)
class FrozenDiscriminator:
    """The discriminator of a method in training, in evaluation mode for as long as it is asked.

    Batch norm then uses what it has stored and spectral norm takes no power iteration, so no buffer changes.
    """

    method: Method
    image_range: Range
    device: torch.device

    def judge(self, images: Tensor) -> DiscriminatorOutput:
        """Its view of uint8 (N, C, H, W) images."""
        return DiscriminatorOutput(*map(torch.cat, zip(*self._each(self.method.discriminate, images), strict=True)))

    def rotation_logits(self, images: Tensor) -> Tensor:
        """(N, 4) logits of their turns."""
        return torch.cat(list(self._each(self.method.rotation_logits, images)))

    def _each(self, view: Callable[[Tensor], T], images: Tensor) -> Iterator[T]:
        with torch.no_grad(), eval_mode(self.method):
            for part in torch.split(images, BATCH):
                with tf32_mode(REFERENCE_PRECISION, self.device):
                    seen = view(to_range(part.to(self.device), self.image_range))
                yield seen


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """A module in evaluation mode; afterwards each of its parts is in the mode that it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


class DiscriminatorEvaluator:
    """All measures of a protocol that look at the discriminator, ready to be taken at any time of a trial."""

    def __init__(self, protocol: Protocol, dataset: type[Dataset], prepared: PreparedData) -> None:
        self.metrics = [
            (one.suffix, one.metric(one.options, dataset, prepared))
            for one in bind_metrics(protocol)
            if issubclass(one.metric, DiscriminatorMetric)
        ]

    def measure(self, discriminator: FrozenDiscriminator) -> dict[str, float]:
        """All numbers that they give, in the order of the protocol."""
        return {
            key + suffix: value for suffix, metric in self.metrics for key, value in metric.value(discriminator).items()
        }
