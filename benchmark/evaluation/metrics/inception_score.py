"""Inception Score (Salimans et al. 2016), as torch-fidelity counts it, in float64.

exp of the mean KL(p(y|x) || p(y)) over images, where p(y) is the mean of p(y|x); that KL is the entropy of the mean
minus the mean entropy. It is 1 when all images look alike to the classifier, and the number of classes when every
image is surely of one class and all classes are equally many. Images are shuffled and split, and the score is the mean
over the splits.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core import registry
from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    Count,
    MetricOptions,
    Output,
    ReferenceFeatures,
    SampleMetric,
    SampleOptions,
    comparability_note,
    output_key,
    output_title,
)
from benchmark.evaluation.metrics.feature_buffer import FeatureBuffer

SEED = 2020  # torch-fidelity's


class InceptionScoreOptions(SampleOptions):
    """Conventions differ: StudioGAN takes one split."""

    splits: Count = Field(default=10, description="torch-fidelity's and mimicry's")


class InceptionScore(SampleMetric):
    """How surely images are of a class, and how evenly of all."""

    name = "isc"
    about = "exp of the mean KL(p(class | image) ‖ p(class)), mean over splits"
    Options: ClassVar[type[MetricOptions]] = InceptionScoreOptions
    compares = False
    needs_logits = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The score. With another network it is not called Inception Score."""
        extractor = options.extractor
        title = output_title(
            "Classifier score" if registry.extractors[extractor].title else "Inception Score", extractor
        )
        key = output_key("isc", "classifier_score", extractor)
        return (Output(key, title, "higher", 2, 1),)

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """Over what it is a mean, and that another extractor compares with nothing published."""
        (score,) = cls.outputs(options)
        note = (
            f"the mean over {options.splits:,} splits of {n_fake:,} images. The standard deviation over splits, which"
            " papers print behind ±, is within one training, not between trainings. Real images are not looked at."
        )
        return {score.title: note + comparability_note("the Inception Score", "classes", options.extractor)}

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Every split needs an image."""
        if n_fake < options.splits:
            return f"'{cls.name}' splits {n_fake:,} images into {options.splits:,}: set fewer splits"
        return super().problem(options, dataset, n_fake)

    def __init__(self, options: Any, real: ReferenceFeatures | None, summary: Mapping[str, np.ndarray]) -> None:
        del real, summary
        (self.score,) = (output.key for output in self.outputs(options))
        self.splits = options.splits
        self.logits = FeatureBuffer()

    def add(self, batch: Features) -> None:
        """The logits are kept: 4 N K bytes on their device."""
        self.logits.add(batch.logits)

    def value(self) -> dict[str, float]:
        """The score over all images."""
        return {self.score: over_splits(self.logits.all(), self.splits)[0]}


def over_splits(logits: Tensor, splits: int) -> tuple[float, float]:
    """Mean and standard deviation (ddof = 0) over splits: the two numbers that papers print as `a ± b`."""
    scores = split_scores(logits, splits)
    return float(scores.mean()), float(scores.std())


def split_scores(logits: Tensor, splits: int) -> np.ndarray:
    """(N, K) unnormalised log-probabilities -> the score of every split, after torch-fidelity's shuffle.

    Raises ValueError when there are fewer images than splits.
    """
    n = len(logits)
    if n < splits:
        raise ValueError(f"too few samples, {n:,}, for {splits:,} splits: set fewer splits")
    order = torch.from_numpy(np.random.RandomState(SEED).permutation(n)).to(logits.device)
    bounds = [i * n // splits for i in range(splits + 1)]
    return np.array([score(logits[order[a:b]]) for a, b in pairwise(bounds)])


def score(logits: Tensor) -> float:
    """Of one split, (n, K). `entr` is 0 at 0, so a class that nothing belongs to adds nothing."""
    p = logits.double().softmax(1)
    of_the_mean, of_each = (torch.special.entr(q).sum(-1) for q in (p.mean(0), p))
    return float((of_the_mean - of_each.mean()).exp())
