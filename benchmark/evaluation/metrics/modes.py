"""Modes covered and KL(generated || uniform) for stacked digits.

Every channel is named by a digit classifier; the three digits of an image are its mode, 1,000 in all
(Metz et al. 2017; MSGAN modules/eval.py:13-87). From N samples of a perfect generator the KL is still about
999 / 2N nats (X-04): the floor that the report prints.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import (
    HistogramSpec,
    MetricOptions,
    Output,
    ReferenceFeatures,
    ReferenceLine,
    SampleMetric,
    SampleOptions,
)

CHANNELS = ("red", "green", "blue")
DIGITS = 10
MODES = DIGITS ** len(CHANNELS)


class ModesOptions(SampleOptions):
    """The classifier that the published tables used is not available; ours reports its own accuracy."""

    extractor: Literal["digits", "digits_again"] = Field(
        default="digits", description="ours: a classifier that the harness trains"
    )


class Modes(SampleMetric):
    """Counts how many of the 1,000 digit triples were generated, and how evenly."""

    name = "modes"
    about = "how many of 1,000 are generated, and KL(generated ‖ uniform) in nats"
    Options: ClassVar[type[MetricOptions]] = ModesOptions
    compares = False
    needs_logits = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """More modes, less divergence."""
        del options
        return (
            Output("modes", "modes covered (of 1,000)", "higher", 1, 1, MODES),
            Output("kl", "KL(generated ‖ uniform), nats", "lower", 3, 0, math.log(MODES)),
        )

    @classmethod
    def landmarks(cls, options: Any, n_fake: int) -> dict[str, ReferenceLine]:
        """All modes covered, and the KL of a perfect generator's samples."""
        del options
        least = floor(n_fake)
        return {"modes": ReferenceLine(MODES, f"all {MODES:,}"), "kl": ReferenceLine(least, f"floor {least:.3f}")}

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """The floor of the KL."""
        del options
        return {
            "Floor of the KL": f"counted over {n_fake:,} samples, even a perfect uniform generator shows a KL of"
            f" about {MODES - 1}/(2 × {n_fake:,}) = {floor(n_fake):.4f} nats."
        }

    @classmethod
    def bins(cls, options: Any) -> HistogramSpec | None:
        """Mode 100 a + 10 b + c is a red digit a, a green b and a blue c."""
        del options
        return HistogramSpec(tuple((channel, DIGITS) for channel in CHANNELS), "digit")

    @classmethod
    def problem(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Only stacks of three digits have these modes."""
        if dataset.stacked != 3 or not dataset.has_digits:
            return f"'{cls.name}' counts triples of digits, and {dataset.name} is no stack of three"
        return super().problem(options, dataset, n_fake)

    def __init__(self, options: Any, real: ReferenceFeatures | None, summary: Mapping[str, np.ndarray]) -> None:
        del options, real, summary
        self.counts = np.zeros(MODES, dtype=np.int64)

    def add(self, batch: Features) -> None:
        """The most likely reading of every image."""
        self.counts += np.bincount(batch.logits.argmax(1).cpu().numpy(), minlength=MODES)

    def value(self) -> dict[str, float]:
        """Modes and KL over all images."""
        return statistics(self.counts)

    def histogram(self) -> np.ndarray | None:
        """Images of every mode."""
        return self.counts


def statistics(counts: np.ndarray) -> dict[str, float]:
    """Number of non-empty bins, and the KL divergence in nats of the counts from the uniform distribution.

    Raises ValueError when nothing was counted.
    """
    from scipy.special import rel_entr  # a third of a second that a plan need not wait

    total = counts.sum()
    if total == 0:
        raise ValueError("no samples to count modes of")
    kl = rel_entr(counts / total, 1 / len(counts)).sum()
    return {"modes": float((counts > 0).sum()), "kl": float(kl)}


def floor(n_fake: int, modes: int = MODES) -> float:
    """Expected KL in nats of n_fake samples from a perfectly uniform generator, to first order (X-04)."""
    return (modes - 1) / (2 * n_fake)
