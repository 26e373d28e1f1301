"""Rows of features: how metrics keep them, and how what comes in batches is made independent of the batches."""

import numpy as np
import torch
from torch import Tensor


class Rows:
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


def tensor(array: np.ndarray) -> Tensor:
    """A real array as a tensor, copied only where it may not be written to (torch does not know such memory)."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
