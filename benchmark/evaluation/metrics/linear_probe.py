"""How well classes can be read off the discriminator's features by a linear classifier.

Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019, argue that a discriminator forgets classes
in training, and look at a linear classifier on its features. The classifier here is ours, for its values to be exact
and the same everywhere: ridge regression on the class indicators (one against the rest, the largest score wins), solved
in float64. Its features are the last layer before the heads (`DiscriminatorOutput.features`), each standardised by
mean and deviation over the training images of the probe. The penalty is the one of `PENALTIES` that is best on a fifth
of these,
the strongest of equals; then all are fitted. The accuracy is that on held-out images.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from benchmark.core import registry
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.base import Dataset
from benchmark.data.reference import CHUNK, labelled_indices
from benchmark.evaluation.metrics.base import Count, Discriminator, DiscriminatorMetric, MetricOptions, Output

if TYPE_CHECKING:
    from baselines.common.method import Method

PENALTIES = tuple(10.0**power for power in range(3, -4, -1))  # of standardised features, whose mean square is 1
VALIDATION = 5  # one in so many training images chooses the penalty
FLAT = 1e-6  # a feature whose deviation is this much smaller than its size is constant: float32 says no more


class ProbeOptions(MetricOptions):
    """The first so many labelled images of a fixed shuffle of either split."""

    n_train: Annotated[int, Field(strict=True, ge=2)] = Field(default=5000, description="ours: fast, and STL-10's all")
    n_test: Count | None = Field(default=None, description="ours: all held-out images that have a label")


class LinearProbe(DiscriminatorMetric):
    """The share of held-out images whose class is named, in per cent."""

    name = "linear_probe"
    about = "how often a linear classifier on the discriminator's features names the class of an image"
    Options: ClassVar[type[MetricOptions]] = ProbeOptions

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """In [0, 100]."""
        del options
        return (Output("probe_accuracy", "linear probe accuracy, %", "higher", 1, 0, 100),)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What it is, and with what it does not compare."""
        del n_fake
        return {
            "Linear probe": f"ridge regression, fitted to {options.n_train:,} labelled images, on the features of the"
            " discriminator's last layer before its heads, of which networks have different numbers. The classifier and"
            " the number of images are ours: compare with values measured in the same way only."
        }

    @classmethod
    def shrunk(cls, options: Any, samples: int) -> Any:
        """Fewer images of either split."""
        fewer = {"n_train": max(min(options.n_train, samples), 2), "n_test": min(options.n_test or samples, samples)}
        return options.model_copy(update=fewer)

    @classmethod
    def applies(cls, method: "type[Method]") -> bool:
        """Features of a pack of images are of no single class."""
        return method.is_per_image

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """The images must have classes."""
        del options, n_fake
        if dataset.stacked == 1 and dataset.num_classes():
            return None
        datasets = map(registry.datasets.__getitem__, registry.datasets)
        able = sorted(each.name for each in datasets if each.stacked == 1 and each.num_classes())
        why = "has none" if dataset.stacked == 1 else f"is made of stacks, whose classes are {dataset.num_classes():,}"
        return f"'{cls.name}' needs images of a few classes, and {dataset.name} {why}; labelled: {', '.join(able)}"

    @classmethod
    def lacking(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """As many labelled images as are asked for."""
        wanted = {"n_train": (options.n_train, prepared.train), "n_test": (options.n_test or 1, prepared.test)}
        for key, (n, split) in wanted.items():
            labelled = int((split.labels >= 0).sum())
            if labelled < n:
                kind = "training" if key == "n_train" else "held-out"
                return (
                    f"{key} asks for {n:,} labelled {kind} images, and of the {len(split.labels):,} of {dataset.name}"
                    f" {labelled:,} have a label"
                )
        return None

    def __init__(self, options: Any, dataset: type[Dataset], prepared: PreparedData) -> None:
        del dataset
        self.train, self.test = prepared.train, prepared.test
        self.train_places = labelled_indices(prepared.train, options.n_train)
        self.test_places = labelled_indices(prepared.test, options.n_test)

    def value(self, discriminator: Discriminator) -> dict[str, float]:
        """Fits to the training images, then counts the right answers on the held-out ones."""
        parts = list(_examined(discriminator, self.train, self.train_places))
        features, labels = (torch.cat(of_parts) for of_parts in zip(*parts, strict=True))
        if not bool(torch.isfinite(features).all()):
            return {"probe_accuracy": float("nan")}
        probe, right = fitted(features, labels), 0
        for features, labels in _examined(discriminator, self.test, self.test_places):
            if not bool(torch.isfinite(features).all()):
                return {"probe_accuracy": float("nan")}
            right += int((probe.named(features) == labels).sum())
        return {"probe_accuracy": 100 * right / len(self.test_places)}


def _examined(discriminator: Discriminator, split: ArraySplit, places: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """(m, D) features and (m,) labels of the images at some places, some at a time."""
    for start in range(0, len(places), CHUNK):
        chosen = places[start : start + CHUNK]
        features = discriminator.judge(torch.from_numpy(split.images[chosen])).features.flatten(1)
        yield features, torch.from_numpy(split.labels[chosen]).to(features.device)


class Probe(NamedTuple):
    """A linear classifier of K classes: (D,) means and scales of features, (D, K) weights and (K,) biases, float64."""

    mean: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor

    def named(self, features: Tensor) -> Tensor:
        """(N,) classes of (N, D) features."""
        return (((features.double() - self.mean) / self.scale) @ self.weights + self.bias).argmax(1)


def fitted(features: Tensor, labels: Tensor) -> Probe:
    """The probe of (N, D) finite features and their (N,) labels from 0, in any random order; N >= 2."""
    x = features.double()
    deviation, mean = torch.std_mean(x, dim=0, correction=0)
    flat = deviation <= FLAT * x.abs().amax(0)
    scale = torch.where(flat, torch.ones_like(deviation), deviation)
    x = torch.where(flat, 0.0, (x - mean) / scale)
    y = torch.nn.functional.one_hot(labels).double()
    bias = y.mean(0)
    weights = Ridge(x, y - bias).weights(best_penalty(x, labels, y - bias, bias))
    return Probe(mean, scale, torch.where(flat.unsqueeze(1), 0.0, weights), bias)


def best_penalty(x: Tensor, labels: Tensor, y: Tensor, bias: Tensor) -> float:
    """The one with the most right answers on the first fifth of (N, D) x when fitted to the others."""
    held = max(len(x) // VALIDATION, 1)
    ridge = Ridge(x[held:], y[held:])
    right = {
        penalty: int(((x[:held] @ ridge.weights(penalty) + bias).argmax(1) == labels[:held]).sum())
        for penalty in PENALTIES
    }
    return max(right, key=right.__getitem__)  # the first of equals


class Ridge:
    """Minimises |x w - y|^2 / N + penalty |w|^2 over (D, K) w for (N, D) x and (N, K) y, by Cholesky's factors.

    Of the D x D and the N x N matrix of scalar products it takes the smaller one (`dual`: the latter), once for all
    penalties: w = (x'x + N penalty)^-1 x'y = x' (xx' + N penalty)^-1 y.
    """

    def __init__(self, x: Tensor, y: Tensor, dual: bool | None = None) -> None:
        self.x, self.y = x, y
        self.dual = x.shape[1] > len(x) if dual is None else dual
        self.gram = x @ x.T if self.dual else x.T @ x

    def weights(self, penalty: float) -> Tensor:
        """(D, K)."""
        regular = self.gram.clone()
        regular.diagonal().add_(len(self.x) * penalty)
        factor = torch.linalg.cholesky(regular)
        if self.dual:
            return self.x.T @ torch.cholesky_solve(self.y, factor)
        return torch.cholesky_solve(self.x.T @ self.y, factor)
