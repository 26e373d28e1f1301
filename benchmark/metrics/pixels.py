"""Frechet distance between Gaussians fitted to tiny images: a yardstick that needs no network and no download.

Images become 8x8 by averaging areas; generated ones are compared with held-out ones by mean and covariance of their
pixels. It sees colours, layout and their variety, and no detail. It is not FID and compares with nothing published.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.base import Dataset, Prepared
from benchmark.metrics.base import Metric, Output
from benchmark.spec import digest
from benchmark.store import write_atomically

SIDE = 8
CHUNK = 1000  # images of the dataset that are read at once


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,), covariance (D, D), float64, of so many samples."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


class PixelFrechet(Metric):
    """Compares the pixels of generated images, shrunk to 8x8, with those of held-out images."""

    name = "pixel_frechet"
    about = "Frechet distance between Gaussians fitted to 8x8 area averages of generated and of held-out images"
    extractor = "pixels in [0, 1], area-averaged to 8x8"
    outputs = (Output("pixel_fd", "Pixel Frechet distance (8x8)", "lower", 4),)

    @classmethod
    def notes(cls, n_fake: int) -> dict[str, str]:
        """That it is not FID, and what it can be compared with."""
        return {
            "Pixel Frechet distance": "it is not FID and compares with nothing published. It compares means and"
            " covariances of pixels of images shrunk to 8x8, so it sees colours and coarse layout and no detail."
            " A finite sample makes it larger: compare values on the same dataset, over the same number of"
            f" generated images (here {n_fake:,}), only."
        }

    @classmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Images of at least 8x8 that are not stacks of others."""
        return dataset.stacked == 1 and min(dataset.shape[1:]) >= SIDE

    @classmethod
    def prepare(cls, dataset: Prepared, cache: Path) -> Path:
        """Fit the Gaussian of the held-out images once."""
        recipe = {"version": 1, "side": SIDE, "data": dataset.manifest}
        target = cache / f"pixel-moments-{digest({key: str(value) for key, value in recipe.items()})}.npz"
        if not target.is_file():
            fitted = fit(chunks(dataset.test.images))
            content = io.BytesIO()
            np.savez(content, mean=fitted.mean, covariance=fitted.covariance, count=fitted.count)
            write_atomically(target, content.getvalue())
        return target

    def __init__(self, prepared: Path, device: torch.device) -> None:
        self.device = device
        with np.load(prepared) as saved:
            self.reference = Gaussian(saved["mean"], saved["covariance"], int(saved["count"]))

    @property
    def facts(self) -> dict[str, float]:
        """How many held-out images it compares with."""
        return {"held_out_images": float(self.reference.count)}

    def measure(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """The distance over all images of the batches."""
        return {"pixel_fd": distance(fit(images.to(self.device) for images in batches), self.reference)}


def features(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) in [0, 255] -> float64 (N, C * 64) in [0, 1], the mean of every area."""
    return F.adaptive_avg_pool2d(images.double() / 255, SIDE).flatten(1)


def chunks(images: np.ndarray) -> Iterator[Tensor]:
    """uint8 (N, C, H, W), which may be larger than memory, in parts."""
    for start in range(0, len(images), CHUNK):
        yield torch.from_numpy(np.array(images[start : start + CHUNK]))


def fit(batches: Iterable[Tensor]) -> Gaussian:
    """The most likely Gaussian of all images of the batches: the covariance is divided by their number.

    Sums are taken about the middle grey, so that little is lost when the mean is taken off. Raises ValueError when
    there is no image.
    """
    count, total, products = 0, None, None
    for images in batches:
        x = features(images) - 0.5
        count += len(x)
        total = x.sum(0) + (0 if total is None else total)
        products = x.T @ x + (0 if products is None else products)
    if total is None or products is None or not count:
        raise ValueError("no samples to fit a Gaussian to")
    mean = (total / count).cpu().numpy()
    return Gaussian(mean + 0.5, (products / count).cpu().numpy() - np.outer(mean, mean), count)


def distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (R S2 R)^(1/2)) with R = S1^(1/2), which is symmetric. Never below 0."""
    root = _root(one.covariance)
    product = root @ other.covariance @ root
    shared = np.sqrt(_spectrum(np.linalg.eigvalsh((product + product.T) / 2))).sum()
    apart = np.square(one.mean - other.mean).sum()
    spread = np.trace(one.covariance) + np.trace(other.covariance) - 2 * shared
    return max(float(apart + spread), 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root: np.ndarray = (vectors * np.sqrt(_spectrum(values))) @ vectors.T
    return root


def _spectrum(values: np.ndarray) -> np.ndarray:
    """Eigenvalues of a matrix that has none below 0: those that are rounding errors become 0."""
    noise = len(values) * np.finfo(np.float64).eps * np.abs(values).max()
    return np.where(values > noise, values, 0.0)
