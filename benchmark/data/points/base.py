"""What datasets of points share: each is a fixed sample of a stated distribution."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import BundledDataset


class PointDataset(BundledDataset):
    """Points drawn once from a distribution by NumPy's PCG64, the same on every machine and for all trials.

    A subclass sets `shape` to (D,) and implements `sample`.

    Attributes:
        size: the number of training points.
        held_out: the number of points of the test split, from a random stream of their own.
    """

    licence = "none needed: drawn by this program"
    source = "a random generator"
    is_points = True
    transformations = "shifts"
    size: ClassVar[int]
    held_out: ClassVar[int] = 10_000

    @classmethod
    @abstractmethod
    def sample(cls, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, D) independent points."""

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """The training points and the held-out ones, float32, without labels."""
        del data_dir
        train, test = cls._split(cls.size, stream=0), cls._split(cls.held_out, stream=1)
        checksum = hashlib.sha256(train.images.tobytes() + test.images.tobytes()).hexdigest()
        return train, test, {"points, as float32": checksum}

    @classmethod
    def _split(cls, n: int, stream: int) -> ArraySplit:
        rng = np.random.default_rng([*cls.name.encode(), stream])
        return ArraySplit(cls.sample(n, rng).astype(np.float32), np.full(n, -1, np.int64))
