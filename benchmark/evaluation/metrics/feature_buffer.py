"""Rows of features that arrive in batches, kept for metrics that need all of them at once."""

import torch
from torch import Tensor

from benchmark.evaluation.metrics.base import ReferenceFeatures


class FeatureBuffer:
    """All rows so far, (N, D) float32, on the device of the first batch: 4 N D bytes."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.count = 0

    def append(self, rows: Tensor) -> None:
        """Add rows (n, D). They are not copied, so the caller must not change them."""
        self.parts.append(rows.float())
        self.count += len(rows)

    def all(self) -> Tensor:
        """All rows, (N, D).

        Raises:
            ValueError: there is none.
        """
        if not self.count:
            raise ValueError("no samples to measure")
        if len(self.parts) > 1:
            self.parts = [torch.cat(self.parts)]
        return self.parts[0]


def reference_features(reference: ReferenceFeatures | None) -> Tensor:
    """The features of the real images, (n, D), without a copy.

    Raises:
        ValueError: there are none.
    """
    if reference is None:
        raise ValueError("no real images to compare with")
    return torch.from_numpy(reference.features)
