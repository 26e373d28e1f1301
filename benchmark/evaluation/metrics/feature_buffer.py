"""Rows of features: how metrics keep them, and how what comes in batches is made independent of the batches."""

import torch
from torch import Tensor

from benchmark.evaluation.metrics.base import ReferenceFeatures


class FeatureBuffer:
    """All rows so far, (N, D) float32 as real features are kept, on the device of the first batch: N D 4 bytes."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.count = 0

    def add(self, batch: Tensor) -> None:
        """More rows, (n, D). They are kept without a copy: whoever made them does not change them."""
        self.parts.append(batch.float())
        self.count += len(batch)

    def all(self) -> Tensor:
        """(N, D). Raises ValueError when there is none."""
        if not self.count:
            raise ValueError("no samples to measure")
        if len(self.parts) > 1:
            self.parts = [torch.cat(self.parts)]
        return self.parts[0]


def reference_features(real: ReferenceFeatures | None) -> Tensor:
    """The features of the real images, (n, D), which are not copied. Raises ValueError when there are none."""
    if real is None:
        raise ValueError("no real images to compare with")
    return torch.from_numpy(real.features)
