"""Mean and covariance of rows that arrive in batches, in float64; bit-identical for any batch sizes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 1024  # rows per matrix product: a fixed size, so that the order of additions is always the same


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of `count` samples, float64. The covariance is divided by count - 1."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


class Moments:
    """Sums of rows and of their outer products, about a `shift` (D,) near the mean, which keeps rounding errors small.

    Rows are first gathered into chunks of one size. Memory: 8 D^2 bytes on the device of the rows, and a chunk.
    """

    def __init__(self, shift: np.ndarray) -> None:
        self.shift = torch.from_numpy(np.array(shift, dtype=np.float64))
        self.count = 0
        self.waiting: list[Tensor] = []
        self.total: Tensor | None = None
        self.products: Tensor | None = None

    def update(self, rows: Tensor) -> None:
        """Add rows (n, D), rounded to float32 as the features of real images are."""
        if not len(rows):
            return
        self.waiting.append(rows.float())
        self.count += len(rows)
        if sum(map(len, self.waiting)) >= CHUNK:
            rows = torch.cat(self.waiting)
            whole = len(rows) - len(rows) % CHUNK
            for start in range(0, whole, CHUNK):
                self.total, self.products = self._sums_with(rows[start : start + CHUNK])
            self.waiting = [rows[whole:].clone()]

    def gaussian(self) -> Gaussian:
        """The Gaussian of all rows so far.

        Raises:
            ValueError: there are fewer than two rows.
        """
        if not self.count:
            raise ValueError("no samples to fit a Gaussian to")
        if self.count < 2:
            raise ValueError(f"too few samples to fit a Gaussian to: {self.count}")
        total, products = self._sums_with(torch.cat(self.waiting))
        mean = total / self.count
        covariance = (products - self.count * torch.outer(mean, mean)) / (self.count - 1)
        return Gaussian((mean.cpu() + self.shift).numpy(), covariance.cpu().numpy(), self.count)

    def _sums_with(self, chunk: Tensor) -> tuple[Tensor, Tensor]:
        centred = chunk.double() - self.shift.to(chunk.device)
        total, products = centred.sum(0), centred.T @ centred
        if self.total is None or self.products is None:
            return total, products
        return self.total + total, self.products + products
