"""Evaluates the discriminator at a checkpoint by a protocol's discriminator metrics, without affecting the training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from baselines.common.method import Method
from baselines.networks.base import DiscriminatorOutput
from baselines.networks.layers.residual import residual_blocks
from benchmark.core.precision import tf32_mode
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import REFERENCE_PRECISION, Protocol
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.sampler import Range, to_range
from benchmark.evaluation.metrics.base import DiscriminatorMetric

BATCH = 250  # images per forward pass

T = TypeVar("T")


@dataclass(frozen=True)
class FrozenDiscriminator:
    """The discriminator of a method in training, in evaluation mode during every call.

    Batch norm then uses its stored statistics and spectral norm takes no power iteration, so no buffer changes.
    """

    method: Method
    image_range: Range
    device: torch.device

    def discriminate(self, images: Tensor) -> DiscriminatorOutput:
        """The discriminator's output for uint8 (N, C, H, W) images, on its device."""
        return DiscriminatorOutput(*map(torch.cat, zip(*self._batches(self.method.discriminate, images), strict=True)))

    def rotation_logits(self, images: Tensor) -> Tensor:
        """(N, 4) rotation logits of uint8 (N, C, H, W) images, on its device."""
        return torch.cat(list(self._batches(self.method.rotation_logits, images)))

    def sequential_tasks(self) -> tuple[int, int]:
        """The classes of the tasks of the last update and of the next."""
        return self.method.sequential_tasks()

    def block_maps(self, images: Tensor, block: int) -> Tensor:
        """(N, C', H', W') maps after residual block `block` of uint8 (N, C, H, W) images, on its device."""
        maps: list[Tensor] = []
        probed = residual_blocks(self.method.discriminator)[block]
        with probed.register_forward_hook(lambda _module, _inputs, output: maps.append(output)):
            list(self._batches(self.method.discriminate, images))
        return torch.cat(maps)

    def _batches(self, forward: Callable[[Tensor], T], images: Tensor) -> Iterator[T]:
        with torch.no_grad(), eval_mode(self.method):
            for batch in torch.split(images, BATCH):
                with tf32_mode(REFERENCE_PRECISION, self.device):
                    output = forward(to_range(batch.to(self.device), self.image_range))
                yield output


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode; on exit, each submodule returns to its previous mode."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


class DiscriminatorEvaluator:
    """Evaluates discriminators by all discriminator metrics of a protocol.

    Args:
        protocol: the protocol, whose sample metrics are ignored.
        dataset: the dataset that the method is trained on.
        prepared: its images.
    """

    def __init__(self, protocol: Protocol, dataset: type[Dataset], prepared: PreparedData) -> None:
        self.protocol, self.dataset, self.prepared = protocol, dataset, prepared

    def evaluate(self, discriminator: FrozenDiscriminator) -> dict[str, float]:
        """Metric values by output key, in protocol order."""
        values: dict[str, float] = {}
        for bound in bind_metrics(self.protocol):
            if issubclass(bound.metric, DiscriminatorMetric):
                metric = bound.metric(bound.options, self.dataset, self.prepared)
                metric.update(discriminator)
                values |= {key + bound.suffix: value for key, value in metric.compute().items()}
        return values
