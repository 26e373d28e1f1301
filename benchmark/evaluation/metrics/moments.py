"""Mean and covariance of rows that come in batches: in float64, and the same bits however the batches are cut."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 1024  # rows that are multiplied at once, so that the order of additions is always the same


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of `count` samples, float64. The covariance is divided by count - 1."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


class Moments:
    """Sums of rows and of their products about a fixed `shift`, (D,), near the mean: little is lost in them.

    Rows are gathered into chunks of one size first. Memory: 8 D^2 bytes on the device of the rows, and a chunk.
    """

    def __init__(self, shift: np.ndarray) -> None:
        self.shift = torch.from_numpy(np.array(shift, dtype=np.float64))
        self.count = 0
        self.waiting: list[Tensor] = []
        self.total: Tensor | None = None
        self.products: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """More rows, (n, D); they are rounded to float32, as real features are kept."""
        if not len(rows):
            return
        self.waiting.append(rows.float())
        self.count += len(rows)
        if sum(map(len, self.waiting)) >= CHUNK:
            rows = torch.cat(self.waiting)
            whole = len(rows) - len(rows) % CHUNK
            for start in range(0, whole, CHUNK):
                self.total, self.products = self._with(rows[start : start + CHUNK])
            self.waiting = [rows[whole:].clone()]

    def fitted(self) -> Gaussian:
        """The Gaussian of all rows so far. Raises ValueError when there are fewer than two."""
        if self.count < 2:
            raise ValueError(f"too few samples to fit a Gaussian to: {self.count}" if self.count else NOTHING)
        total, products = self._with(torch.cat(self.waiting))
        mean = total / self.count
        covariance = (products - self.count * torch.outer(mean, mean)) / (self.count - 1)
        return Gaussian((mean.cpu() + self.shift).numpy(), covariance.cpu().numpy(), self.count)

    def _with(self, chunk: Tensor) -> tuple[Tensor, Tensor]:
        """The sums with those of one more chunk."""
        centred = chunk.double() - self.shift.to(chunk.device)
        total, products = centred.sum(0), centred.T @ centred
        if self.total is None or self.products is None:
            return total, products
        return self.total + total, self.products + products


NOTHING = "no samples to fit a Gaussian to"
