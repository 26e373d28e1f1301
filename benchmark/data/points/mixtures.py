"""Mixtures of Gaussians in the plane, on which papers count the modes that a GAN covers.

PacGAN's ring and grid: Lin et al., NeurIPS 2018; fjxmlzn/PacGAN@a7c9248 synthetic_data_experiments, config.py in
2DRing_GAN&PacGAN and 2DGrid_GAN&PacGAN. The code draws 100,000 points anew for each training; here all trainings share
them.

Dist-GAN's grid: Tran et al., ECCV 2018; tntrung/gan@a0f1691 distgan_toy2d, with gaan_toy2d/utils_toy2d.py. Its 50,000
points are a file of the repository; here they are drawn again. A coordinate x becomes (x / m + 1) / 2, with m the
largest coordinate of the file (normalize_toydata). Assumption: m is 4.2, about the largest to expect of 50,000 points.

Unrolled GAN's ring: Metz et al., ICLR 2017; poolio/unrolled_gan@0136e29 "Unrolled GAN demo.ipynb", sample_mog. Its
angles are linspace(0, 2 pi, 8), of which the last equals the first: seven modes, one of them of double weight (X-12).
The notebook draws new points for every batch; here they are 100,000 fixed ones.
"""

from itertools import product
from typing import ClassVar

import numpy as np

from benchmark.data.base import MixtureComponents
from benchmark.data.points.base import PointDataset


class Mixture2D(PointDataset):
    """Points from components of equal weight, each component chosen independently. A subclass sets `mixture`."""

    shape = (2,)
    size = 100_000
    mixture: ClassVar[MixtureComponents]

    @classmethod
    def sample(cls, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, 2) points."""
        centres, std = cls.mixture
        return centres[rng.integers(len(centres), size=n)] + std * rng.standard_normal((n, 2))


def ring(angles: np.ndarray) -> np.ndarray:
    """(K, 2) points of the unit circle."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


GRID = np.array(list(product(range(-4, 5, 2), repeat=2)), dtype=np.float64)
EXTENT = 4.2  # Dist-GAN's m
EIGHT = 2 * np.pi * np.arange(8) / 8


class PacGANRing(Mixture2D):
    """Eight modes on the unit circle."""

    name = "pacgan_ring"
    about = "eight Gaussians of standard deviation 0.01 on the unit circle, 100,000 fixed points (PacGAN's 2D-ring)"
    mixture = MixtureComponents(ring(EIGHT), 0.01)


class PacGANGrid(Mixture2D):
    """Twenty-five modes on a grid."""

    name = "pacgan_grid"
    about = "25 Gaussians of standard deviation 0.05 on a grid of spacing 2, 100,000 fixed points (PacGAN's 2D-grid)"
    mixture = MixtureComponents(GRID, 0.05)


class DistGANGrid(Mixture2D):
    """The grid of 25 modes in [0, 1], because Dist-GAN's generator ends in a sigmoid."""

    name = "dist_gan_grid"
    about = "25 Gaussians on a grid, scaled to [0, 1], 50,000 fixed points (Dist-GAN's synthetic data)"
    size = 50_000
    mixture = MixtureComponents((GRID / EXTENT + 1) / 2, 0.05 / (2 * EXTENT))


class UnrolledRing(Mixture2D):
    """Seven modes on the unit circle, the first of twice the weight (X-12)."""

    name = "unrolled_ring"
    about = "the ring of Unrolled GAN's notebook: of its eight Gaussians two coincide, so it has seven modes"
    mixture = MixtureComponents(ring(np.linspace(0, 2 * np.pi, 8)), 0.01)


class UnrolledRingEight(Mixture2D):
    """Eight modes, as the notebook intends."""

    name = "unrolled_ring_eight"
    about = "the ring that Unrolled GAN's notebook intends: eight different Gaussians on the unit circle"
    mixture = MixtureComponents(ring(EIGHT), 0.01)
