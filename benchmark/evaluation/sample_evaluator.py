"""Takes all measures of a protocol that look at samples, in one pass over the samples of a checkpoint.

A batch of samples goes once through every codec and extractor that a measure asks for; each measure takes as many as
it wants. What is known of the real images is computed once, in the driver, and read by all trials.
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
    """What a gauge says of a generator: the numbers, in the order of the protocol, and by their labels the histograms
    of the measures that give one."""

    numbers: dict[str, float]
    histograms: dict[str, list[int]]


class SampleEvaluator:
    """Takes all measures of a protocol that look at samples, of one generator after the other."""

    def __init__(self, protocol: Protocol, instruments: EvaluationAssets, device: torch.device) -> None:
        self.named = [one for one in bind_metrics(protocol) if one.metric.draws]
        self.extractors = {
            name: registry.extractors[name](path, device) for name, path in instruments.extractors.items()
        }
        self.references = {}
        for label, (folder, summary) in instruments.references.items():
            with np.load(summary) as saved:
                self.references[label] = open_reference_features(folder), dict(saved)

    @property
    def facts(self) -> dict[str, float]:
        """What a reader must know of the instruments."""
        return {key: value for extractor in self.extractors.values() for key, value in extractor.facts.items()}

    @property
    def identities(self) -> dict[str, str]:
        """Extractor -> SHA-256 of its weights."""
        return {name: extractor.identity for name, extractor in self.extractors.items()}

    def measure(self, batches: Iterable[Tensor]) -> EvaluationResult:
        """All that they give, over uint8 (N, C, H, W) samples. Each batch is looked at once."""
        measurements = [_Under(one, self._fresh(one), one.n_fake) for one in self.named]
        groups: dict[tuple[str, str], list[_Under]] = {}
        for under in measurements:
            groups.setdefault((under.named.measure.codec, under.named.options.extractor), []).append(under)
        for images in batches:
            through: dict[str, Tensor] = {}
            for (codec, extractor), members in groups.items():
                wanted = min(max(under.wanted for under in members), len(images))
                if not wanted:
                    continue
                if codec not in through:
                    through[codec] = apply_codec(images, codec)
                found = self.extractors[extractor](through[codec][:wanted])
                for under in members:
                    under.add(found)
        numbers = {key: value for under in measurements for key, value in under.value().items()}
        counted = ((under.named.label, under.metric.histogram()) for under in measurements)
        return EvaluationResult(numbers, {label: counts.tolist() for label, counts in counted if counts is not None})

    def _fresh(self, one: BoundMetric) -> SampleMetric:
        real, summary = self.references.get(one.label, (None, {}))
        metric: SampleMetric = one.metric(one.options, real, summary)  # type: ignore[call-arg, assignment]
        return metric


@dataclass
class _Under:
    """A measurement under way: `wanted` samples are still to come."""

    named: BoundMetric
    metric: SampleMetric
    wanted: int

    def add(self, found: Features) -> None:
        if taken := min(self.wanted, len(found.features)):
            self.metric.add(found.first(taken))
            self.wanted -= taken

    def value(self) -> dict[str, float]:
        if self.wanted:
            raise ValueError(f"{self.named.label}: no samples left, {self.wanted:,} more are wanted")
        return {key + self.named.suffix: value for key, value in self.metric.value().items()}
