"""The points on a line of SSGAN-LA's experiment in one dimension.

Hou et al., "Self-Supervised GANs with Label Augmentation", NeurIPS 2021; houliangict/ssgan-la@43c307e
MoG/SSGANs.ipynb. The notebook sets no seed, so its points are others.
"""

import numpy as np

from benchmark.data.base import MixtureComponents
from benchmark.data.points.base import PointDataset


class NormalLine(PointDataset):
    """12,800 draws of N(0, 1), 100 batches of 128."""

    name = "normal_line"
    about = "12,800 fixed draws of N(0, 1); self-supervised tasks shift them by 0, 2, 4 and 6"
    shape = (1,)
    mixture = MixtureComponents(np.zeros((1, 1)), 1.0)
    size = 12_800

    @classmethod
    def sample(cls, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, 1) draws of N(0, 1)."""
        return rng.standard_normal((n, 1))
