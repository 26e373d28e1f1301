"""Inception Score, computed in float64 with the shuffle and the splits of torch-fidelity.

Source: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, section 4: exp of the mean
KL(p(y|x) || p(y)) over images x, where p(y) is the mean of p(y|x). That KL is the entropy of the mean minus the mean
entropy. The score is 1 if the classifier predicts the same for all images, and the number of classes if it is certain
of every image and all classes are equally frequent. Images are shuffled and split; the score is the mean over splits.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core.spec import PositiveInt
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    MetricOptions,
    Output,
    ReferenceFeatures,
    RequiredImages,
    SampleMetric,
    SampleOptions,
    comparability_note,
    output_name,
)
from benchmark.evaluation.metrics.feature_buffer import FeatureBuffer

SEED = 2020  # torch-fidelity's


class InceptionScoreOptions(SampleOptions):
    """Conventions differ: StudioGAN uses one split."""

    splits: PositiveInt = Field(default=10, description="torch-fidelity's and mimicry's")


class InceptionScore(SampleMetric):
    """How certain the classifier is of single images, and how evenly all images cover its classes."""

    name = "isc"
    about = "exp of the mean KL(p(class | image) ‖ p(class)), mean over splits"
    Options: ClassVar[type[MetricOptions]] = InceptionScoreOptions
    needs_reference = False
    needs_logits = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The score; only through Inception is it called Inception Score."""
        other = "classifier_score", "Classifier score"
        key, title = output_name(("isc", "Inception Score"), other, options.extractor)
        return (Output(key=key, title=title, better="higher", decimals=2, minimum=1),)

    @classmethod
    def protocol_fields(cls, options: Any) -> dict[str, object]:
        """The extractor and the number of splits."""
        return super().protocol_fields(options) | {"splits": options.splits}

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """What the mean is over, and what the value compares with."""
        (output,) = cls.outputs(options)
        note = (
            f"the mean over {options.splits:,} splits of {n_fake:,} images. The standard deviation over splits, which"
            " papers print behind ±, is within one training, not between trainings. Real images play no role."
        )
        return {output.title: note + comparability_note("the Inception Score", "classes", options.extractor)}

    @classmethod
    def required_images(cls, options: Any) -> RequiredImages:
        """Every split needs an image."""
        return RequiredImages(why=f"takes the mean over splits={options.splits:,}", generated=options.splits)

    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Mapping[str, np.ndarray]) -> None:
        del reference, statistics
        (self.output,) = self.outputs(options)
        self.splits = options.splits
        self.logits = FeatureBuffer()

    def update(self, features: Features) -> None:
        """Keep the logits: 4 N K bytes on their device."""
        self.logits.append(features.logits)

    def compute(self) -> dict[str, float]:
        """The score over all images so far."""
        return {self.output.key: score_over_splits(self.logits.all(), self.splits)[0]}


def score_over_splits(logits: Tensor, splits: int) -> tuple[float, float]:
    """Mean and standard deviation (ddof = 0) of the score over splits, after torch-fidelity's shuffle.

    These are the two numbers that papers print as `a ± b`.

    Args:
        logits: (N, K) unnormalised log-probabilities.
        splits: number of splits, at most N.

    Raises:
        ValueError: there are fewer images than splits.
    """
    n = len(logits)
    if n < splits:
        raise ValueError(f"too few samples, {n:,}, for {splits:,} splits: set fewer splits")
    order = torch.from_numpy(np.random.RandomState(SEED).permutation(n)).to(logits.device)
    bounds = [i * n // splits for i in range(splits + 1)]
    scores = np.array([score(logits[order[start:end]]) for start, end in pairwise(bounds)])
    return float(scores.mean()), float(scores.std())


def score(logits: Tensor) -> float:
    """The score of one split, (n, K). `entr` is 0 at 0, so a class with probability 0 adds nothing."""
    p = logits.double().softmax(1)
    entropy_of_mean, entropies = (torch.special.entr(q).sum(-1) for q in (p.mean(0), p))
    return float((entropy_of_mean - entropies.mean()).exp())
