"""How well a linear classifier can read the class of an image from the discriminator's features.

Source: Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019, who argue that a discriminator
forgets classes during training and evaluate a linear classifier on its features. The classifier here is ours, so that
its values are exact and the same everywhere: ridge regression on class indicators (one against the rest, the largest
score wins), solved in float64. Its features are those of the last layer before the heads
(`DiscriminatorOutput.features`), standardised by mean and standard deviation over the probe's training images. The
penalty is the one of `PENALTIES` with the best accuracy on a fifth of these, the strongest of equals; the final
classifier is fitted to all of them. The accuracy is that on held-out images.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core import registry
from benchmark.core.spec import PositiveInt
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.base import Dataset
from benchmark.data.reference import CHUNK, labelled_indices
from benchmark.evaluation.metrics.base import (
    DiscriminatorMetric,
    EvaluatedDiscriminator,
    MetricOptions,
    Output,
    image_count,
)

if TYPE_CHECKING:
    from baselines.common.method import Method

PENALTIES = tuple(10.0**power for power in range(3, -4, -1))  # for standardised features, whose mean square is 1
VALIDATION = 5  # one in five training images selects the penalty
FLAT = 1e-6  # features with a smaller ratio of deviation to magnitude are constant up to float32 rounding


class ProbeOptions(MetricOptions):
    """The first `n_train` and `n_test` labelled images of a fixed shuffle of each split."""

    n_train: Annotated[int, Field(strict=True, ge=2)] = Field(default=5000, description="ours: fast, and STL-10's all")
    n_test: PositiveInt | None = Field(default=None, description="ours: all held-out images that have a label")


class LinearProbe(DiscriminatorMetric):
    """The share of held-out images whose class is predicted correctly, in per cent."""

    name = "linear_probe"
    about = "how often a linear classifier on the discriminator's features predicts the class of an image"
    Options: ClassVar[type[MetricOptions]] = ProbeOptions

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The accuracy in [0, 100]."""
        del options
        return (Output.percentage("probe_accuracy", "linear probe accuracy"),)

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """What is measured, and on how many images of each split."""
        del n_fake
        fitted = f"fitted to {options.n_train:,} labelled images of the training split"
        return f"{cls.about}, {fitted}, on {image_count(options.n_test)} held-out images"

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What the classifier is, and what its accuracy does not compare with."""
        del n_fake
        return {
            "Linear probe": f"ridge regression, fitted to {options.n_train:,} labelled images, on the features of the"
            " discriminator's last layer before its heads, whose width depends on the network. The classifier and the"
            " number of images are ours: compare only with values measured in the same way."
        }

    @classmethod
    def with_sample_cap(cls, options: Any, samples: int) -> Any:
        """The options with at most `samples` images of either split, and at least two to fit."""
        capped = {"n_train": max(min(options.n_train, samples), 2), "n_test": min(options.n_test or samples, samples)}
        return options.model_copy(update=capped)

    @classmethod
    def supports(cls, method: "type[Method]") -> bool:
        """Features of a pack of images belong to no single class."""
        return method.is_per_image

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """The images must have classes."""
        del options, n_fake
        if dataset.stacked == 1 and dataset.num_classes():
            return None
        datasets = map(registry.datasets.__getitem__, registry.datasets)
        labelled = sorted(other.name for other in datasets if other.stacked == 1 and other.num_classes())
        why = "has none" if dataset.stacked == 1 else f"is made of stacks, whose classes are {dataset.num_classes():,}"
        return f"'{cls.name}' needs images of a few classes, and {dataset.name} {why}; labelled: {', '.join(labelled)}"

    @classmethod
    def check_data(cls, options: Any, dataset: type[Dataset], prepared: PreparedData) -> str | None:
        """There must be `n_train` and `n_test` labelled images."""
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
        self.train_indices = labelled_indices(prepared.train, options.n_train)
        self.test_indices = labelled_indices(prepared.test, options.n_test)
        self.accuracy: float | None = None

    def update(self, discriminator: EvaluatedDiscriminator) -> None:
        """Fit the probe to the training images and count its correct predictions on the held-out ones."""
        self.accuracy = float("nan")
        batches = list(_features_and_labels(discriminator, self.train, self.train_indices))
        features, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        if not bool(torch.isfinite(features).all()):
            return
        probe, correct = fit_probe(features, labels), 0
        for features, labels in _features_and_labels(discriminator, self.test, self.test_indices):
            if not bool(torch.isfinite(features).all()):
                return
            correct += int((probe.predict(features) == labels).sum())
        self.accuracy = 100 * correct / len(self.test_indices)

    def compute(self) -> dict[str, float]:
        """The accuracy in per cent; NaN if some features are not finite."""
        if self.accuracy is None:
            raise ValueError("no features to measure")
        return {"probe_accuracy": self.accuracy}


def _features_and_labels(
    discriminator: EvaluatedDiscriminator, split: ArraySplit, indices: np.ndarray
) -> Iterator[tuple[Tensor, Tensor]]:
    """(m, D) features and (m,) labels of the images at `indices`, in chunks."""
    for start in range(0, len(indices), CHUNK):
        chunk = indices[start : start + CHUNK]
        features = discriminator.discriminate(torch.from_numpy(split.images[chunk])).features.flatten(1)
        yield features, torch.from_numpy(split.labels[chunk]).to(features.device)


class Probe(NamedTuple):
    """A linear classifier of K classes: (D,) means and scales of features, (D, K) weights and (K,) biases, float64."""

    mean: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """(N, D) features -> (N,) classes."""
        return (((features.double() - self.mean) / self.scale) @ self.weights + self.bias).argmax(1)


def fit_probe(features: Tensor, labels: Tensor) -> Probe:
    """Fit a probe to (N, D) finite features and their (N,) labels from 0, in random order; N >= 2."""
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
    """The penalty with the most correct predictions on the first fifth of (N, D) x when fitted to the rest."""
    held = max(len(x) // VALIDATION, 1)
    ridge = Ridge(x[held:], y[held:])
    correct = {
        penalty: int(((x[:held] @ ridge.weights(penalty) + bias).argmax(1) == labels[:held]).sum())
        for penalty in PENALTIES
    }
    return max(correct, key=correct.__getitem__)  # the first, and so the strongest, of equals


class Ridge:
    """Minimises |x w - y|^2 / N + penalty |w|^2 over (D, K) w for (N, D) x and (N, K) y, by Cholesky decomposition.

    Of the D x D and the N x N Gram matrix it factorises the smaller one (`dual`: the latter), computed once for all
    penalties: w = (x'x + N penalty)^-1 x'y = x' (xx' + N penalty)^-1 y.
    """

    def __init__(self, x: Tensor, y: Tensor, dual: bool | None = None) -> None:
        self.x, self.y = x, y
        self.dual = x.shape[1] > len(x) if dual is None else dual
        self.gram = x @ x.T if self.dual else x.T @ x

    def weights(self, penalty: float) -> Tensor:
        """The minimiser w, (D, K)."""
        regularised = self.gram.clone()
        regularised.diagonal().add_(len(self.x) * penalty)
        factor = torch.linalg.cholesky(regularised)
        if self.dual:
            return self.x.T @ torch.cholesky_solve(self.y, factor)
        return torch.cholesky_solve(self.x.T @ self.y, factor)
