"""How well a linear classifier can read the class of an image from the discriminator's features.

Source: Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019, who argue that a discriminator
forgets classes during training and evaluate a linear classifier on its features.

With `blocks` the classifier is theirs: logistic regression (`logistic_regression`) on the feature maps after each
residual block of the discriminator, and the best of all blocks. Assumption: larger maps are averaged to 8x8 positions
and flattened, which makes 8,192 numbers of 128 maps. The paper says "on the feature maps from each ResNet block", after
Zhang et al., "Colorful Image Colorization", ECCV 2016.

Without `blocks` it is ours, so that its values are exact and the same everywhere: ridge regression on class indicators
(one against the rest, the largest score wins), solved in float64. Its features are those of the last layer before the
heads (`DiscriminatorOutput.features`), standardised by mean and standard deviation over the probe's training images.
The penalty is the one of `PENALTIES` with the best accuracy on a fifth of these, the strongest of equals; the final
classifier is fitted to all of them.

The accuracy is that on held-out images.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.networks.layers.residual import residual_blocks
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
from benchmark.evaluation.metrics.logistic_regression import fit_logistic

if TYPE_CHECKING:
    from baselines.common.method import Method
    from baselines.networks.base import Network

PENALTIES = tuple(10.0**power for power in range(3, -4, -1))  # for standardised features, whose mean square is 1
VALIDATION = 5  # one in five training images selects the penalty
POSITIONS = 8  # along each side of the maps of a block
BEST_KEY = "linear_probe_best"
FLAT = 1e-6  # features with a smaller ratio of deviation to magnitude are constant up to float32 rounding


FeaturesOf = Callable[[Tensor], Tensor]  # uint8 (m, C, H, W) images -> (m, ...) features


class Classifier(Protocol):
    """A fitted classifier."""

    def predict(self, features: Tensor) -> Tensor:
        """(N, D) features -> (N,) classes."""


class ProbeOptions(MetricOptions):
    """The first `n_train` and `n_test` labelled images of a fixed shuffle of each split, and what is probed.

    `blocks`: the number of residual blocks of the discriminator, each of which is probed as in SSGAN's paper.
    """

    n_train: Annotated[int, Field(strict=True, ge=2)] = Field(default=5000, description="ours: fast, and STL-10's all")
    n_test: PositiveInt | None = Field(default=None, description="ours: all held-out images that have a label")
    blocks: Annotated[int, Field(strict=True, ge=1, le=100)] | None = Field(
        default=None, description="ours: the features of the last layer before the heads, by ridge regression"
    )


class LinearProbe(DiscriminatorMetric):
    """The share of held-out images whose class is predicted correctly, in per cent."""

    name = "linear_probe"
    about = "how often a linear classifier on the discriminator's features predicts the class of an image"
    Options: ClassVar[type[MetricOptions]] = ProbeOptions

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The accuracy in [0, 100], or those of every block and the best of them."""
        if not options.blocks:
            return (Output.percentage("probe_accuracy", "linear probe accuracy"),)
        blocks = (Output.percentage(_block_key(n), f"linear probe, block {n}") for n in range(options.blocks))
        return (*blocks, Output.percentage(BEST_KEY, "linear probe, best block"))

    @classmethod
    def describe(cls, options: Any, n_fake: int) -> str:
        """What is measured, and on how many images of each split."""
        del n_fake
        fitted = f"fitted to {options.n_train:,} labelled images of the training split"
        if options.blocks:
            fitted = f"for each of {options.blocks} residual blocks, {fitted}"
        return f"{cls.about}, {fitted}, on {image_count(options.n_test)} held-out images"

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What the classifier is, and what its accuracy does not compare with."""
        del n_fake
        if options.blocks:
            return {
                "Linear probe": f"logistic regression, fitted to {options.n_train:,} labelled images, on the feature"
                " maps after each residual block of the discriminator, as in SSGAN's paper. The best block is that of"
                " each training, whereas the paper's is the best of its means. That maps are averaged to at most 8x8"
                " positions and that the momentum is 0.9 are assumptions."
            }
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
    def check_network(cls, options: Any, network: "Network") -> str | None:
        """The discriminator must have as many residual blocks as are probed."""
        if not options.blocks:
            return None
        narrow = {name: 1 for name in type(network.options).model_fields if name.endswith("_width")}
        family = type(network)(network.shape, network.latent_dim, network.options.model_copy(update=narrow))
        with torch.random.fork_rng(devices=()):
            available = len(residual_blocks(family.discriminator(0)))
        if available == options.blocks:
            return None
        return f"blocks is {options.blocks}, and the discriminator of this network has {available} residual blocks"

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
        self.blocks = options.blocks
        self.values: dict[str, float] = {}

    def update(self, discriminator: EvaluatedDiscriminator) -> None:
        """Fit the probes to the training images and count their correct predictions on the held-out ones."""
        if not self.blocks:
            accuracy = self._accuracy(lambda images: discriminator.discriminate(images).features, fit_probe)
            self.values = {"probe_accuracy": accuracy}
            return
        for n in range(self.blocks):
            features = partial(_block_features, discriminator, n)
            self.values[_block_key(n)] = self._accuracy(features, fit_logistic)
        self.values[BEST_KEY] = float(np.max(list(self.values.values())))  # NaN if one is

    def compute(self) -> dict[str, float]:
        """The accuracies in per cent; NaN if some features are not finite."""
        if not self.values:
            raise ValueError("no features to measure")
        return dict(self.values)

    def _accuracy(self, features_of: FeaturesOf, fit: Callable[[Tensor, Tensor], Classifier]) -> float:
        """The percentage of held-out images whose class a fitted classifier predicts."""
        batches = list(_features_and_labels(features_of, self.train, self.train_indices))
        features, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        if not bool(torch.isfinite(features).all()):
            return float("nan")
        classifier, correct = fit(features, labels), 0
        for features, labels in _features_and_labels(features_of, self.test, self.test_indices):
            if not bool(torch.isfinite(features).all()):
                return float("nan")
            correct += int((classifier.predict(features) == labels).sum())
        return 100 * correct / len(self.test_indices)


def _block_key(block: int) -> str:
    return f"linear_probe_block{block}"


def _block_features(discriminator: EvaluatedDiscriminator, block: int, images: Tensor) -> Tensor:
    """The maps after a residual block, averaged to at most `POSITIONS` along each side."""
    maps = discriminator.block_maps(images, block)
    height, width = (min(side, POSITIONS) for side in maps.shape[2:])
    return nn.functional.adaptive_avg_pool2d(maps, (height, width))


def _features_and_labels(
    features_of: FeaturesOf, split: ArraySplit, indices: np.ndarray
) -> Iterator[tuple[Tensor, Tensor]]:
    """(m, D) features and (m,) labels of the images at `indices`, in chunks."""
    for start in range(0, len(indices), CHUNK):
        chunk = indices[start : start + CHUNK]
        features = features_of(torch.from_numpy(split.images[chunk])).flatten(1)
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
