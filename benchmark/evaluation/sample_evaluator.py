"""Evaluates generated images: all sample metrics of a protocol, in one pass over the samples of a checkpoint.

A batch of samples goes once through every codec and extractor that a measure names; each measure takes exactly its
`n_fake` samples. Features of the real images are computed once, in the driver, and read by all trials.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.core import registry
from benchmark.core.protocol import BoundMetric, bind_metrics
from benchmark.core.spec import Protocol
from benchmark.evaluation.codecs import apply_codec
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import SampleMetric
from benchmark.evaluation.references import EvaluationAssets, open_reference_features


class EvaluationResult(NamedTuple):
    """Metric values by output key, in protocol order, and the histograms of those measures that have one, by label."""

    values: dict[str, float]
    histograms: dict[str, list[int]]


class SampleEvaluator:
    """Evaluates generators by all sample metrics of a protocol.

    Args:
        protocol: the protocol, whose discriminator metrics are ignored.
        assets: what `prepare_references` returned for the protocol and the dataset.
        device: where extractors and metrics compute.
    """

    def __init__(self, protocol: Protocol, assets: EvaluationAssets, device: torch.device) -> None:
        self.metrics = [bound for bound in bind_metrics(protocol) if issubclass(bound.metric, SampleMetric)]
        self.extractors = {name: registry.extractors[name](path, device) for name, path in assets.extractors.items()}
        self.references = {}
        for label, files in assets.references.items():
            with np.load(files.statistics) as statistics:
                self.references[label] = open_reference_features(files.features), dict(statistics)
        self.constants = {
            label: {name: np.array(values) for name, values in known.items()}
            for label, known in assets.constants.items()
        }

    @property
    def metadata(self) -> dict[str, float]:
        """What a reader of the report must know about the extractors, such as a classifier's accuracy."""
        return {key: value for extractor in self.extractors.values() for key, value in extractor.metadata.items()}

    @property
    def identities(self) -> dict[str, str]:
        """Extractor -> its identity, for a network the SHA-256 of its weights."""
        return {name: extractor.identity for name, extractor in self.extractors.items()}

    def evaluate(self, batches: Iterable[Tensor]) -> EvaluationResult:
        """Evaluate batches of samples: uint8 images (N, C, H, W) or float32 points (N, D).

        Raises:
            ValueError: there are fewer samples than a measure takes.
        """
        pending = [_PendingMetric(bound, self.open_metric(bound), bound.n_fake) for bound in self.metrics]
        groups: dict[tuple[str, str], list[_PendingMetric]] = {}
        for metric in pending:
            groups.setdefault((metric.bound.measure.codec, metric.bound.options.extractor), []).append(metric)
        for images in batches:
            decoded: dict[str, Tensor] = {}
            extracted: dict[tuple[int, str], Features] = {}  # of a decoded batch by an extractor
            for (codec, extractor), members in groups.items():
                wanted = min(max(member.remaining for member in members), len(images))
                if not wanted:
                    continue
                if codec not in decoded:
                    decoded[codec] = apply_codec(images, codec)
                source = id(decoded[codec]), extractor  # a codec that changes nothing returns the batch itself
                if source not in extracted or len(extracted[source].features) < wanted:
                    extracted[source] = self.extractors[extractor](decoded[codec][:wanted])
                for member in members:
                    member.update(extracted[source])
        values = {key: value for metric in pending for key, value in metric.compute().items()}
        histograms = ((metric.bound.label, metric.metric.histogram()) for metric in pending)
        return EvaluationResult(values, {label: counts.tolist() for label, counts in histograms if counts is not None})

    def open_metric(self, bound: BoundMetric) -> SampleMetric:
        """An instance of a metric, for one evaluation."""
        assert issubclass(bound.metric, SampleMetric)
        reference, statistics = self.references.get(bound.label, (None, {}))
        return bound.metric(bound.options, reference, statistics | self.constants.get(bound.label, {}))


@dataclass
class _PendingMetric:
    """A measurement in progress, which takes `remaining` more samples."""

    bound: BoundMetric
    metric: SampleMetric
    remaining: int

    def update(self, features: Features) -> None:
        if n := min(self.remaining, len(features.features)):
            self.metric.update(features.head(n))
            self.remaining -= n

    def compute(self) -> dict[str, float]:
        if self.remaining:
            raise ValueError(f"{self.bound.label}: no samples left, {self.remaining:,} more are wanted")
        return {key + self.bound.suffix: value for key, value in self.metric.compute().items()}
