"""Helpers for tests of points: two datasets, and a metric over points."""

import numpy as np
import torch

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import BundledDataset, MixtureComponents
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import ReferenceFeatures


class Line(BundledDataset):
    """600 draws of N(0, 1), half of them held out."""

    name, shape, is_points, transformations = "line", (1,), True, "shifts"
    about, licence, source = "points on a line, for tests", "none", "a random generator"

    @classmethod
    def read(cls, data_dir):
        points = np.random.default_rng(0).normal(size=(600, *cls.shape)).astype(np.float32)
        labels = np.full(300, -1)
        return ArraySplit(points[::2], labels), ArraySplit(points[1::2], labels), {"draws": "0" * 64}


class Plane(Line):
    """The same in a plane, as a mixture of one component."""

    name, shape, mixture = "plane", (2,), MixtureComponents(np.zeros((1, 2)), 1.0)


def measured_points(metric, points, real=None, cuts=(), statistics=None, **options):
    """The values of a metric over (n, D) points in batches split at `cuts`."""
    rows = torch.from_numpy(np.asarray(points, dtype=np.float64))
    reference = ReferenceFeatures(np.asarray(real, np.float32), np.zeros((len(real), 0))) if real is not None else None
    opened = metric(metric.Options(**options), reference, statistics or {})
    for batch in torch.tensor_split(rows, sorted(cuts)):
        opened.update(Features(batch, batch[:, :0]))
    return opened.compute()
