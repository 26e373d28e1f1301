"""Number of modes covered, and KL(generated || uniform), on stacked digits.

Source: Metz et al., "Unrolled Generative Adversarial Networks", ICLR 2017; MSGAN modules/eval.py:13-87. A digit
classifier reads every channel; the three digits of an image are its mode, one of 1,000. The KL of N samples of a
perfect generator is still about 999 / 2N nats (X-04); the report prints this floor.
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
    """The classifier of the published tables is not available; ours reports its own accuracy."""

    extractor: Literal["digits", "digits_again", "digits_third"] = Field(
        default="digits", description="ours: a classifier that the harness trains"
    )


class Modes(SampleMetric):
    """How many of the 1,000 digit triples the generator produces, and how uniformly."""

    name = "modes"
    about = "how many of the 1,000 digit triples are generated, and KL(generated ‖ uniform) in nats"
    Options: ClassVar[type[MetricOptions]] = ModesOptions
    needs_reference = False
    needs_logits = True

    @classmethod
    def outputs(cls, options: Any) -> tuple[Output, ...]:
        """The number of modes and the KL."""
        del options
        return (
            Output(
                key="modes", title="modes covered (of 1,000)", better="higher", decimals=1, minimum=1, maximum=MODES
            ),
            Output(
                key="kl",
                title="KL(generated ‖ uniform), nats",
                better="lower",
                decimals=3,
                minimum=0,
                maximum=math.log(MODES),
            ),
        )

    @classmethod
    def reference_lines(cls, options: Any, n_fake: int) -> dict[str, ReferenceLine]:
        """All modes, and the expected KL of a perfect generator's samples."""
        del options
        floor = kl_floor(n_fake)
        return {"modes": ReferenceLine(MODES, f"all {MODES:,}"), "kl": ReferenceLine(floor, f"floor {floor:.3f}")}

    @classmethod
    def notes(cls, options: Any, n_fake: int) -> dict[str, str]:
        """The floor of the KL."""
        del options
        return {
            "Floor of the KL": f"over {n_fake:,} samples, even a perfect uniform generator has a KL of"
            f" about {MODES - 1}/(2 × {n_fake:,}) = {kl_floor(n_fake):.4f} nats."
        }

    @classmethod
    def histogram_spec(cls, options: Any) -> HistogramSpec | None:
        """Mode 100 a + 10 b + c is a red digit a, a green b and a blue c."""
        del options
        return HistogramSpec(tuple((channel, DIGITS) for channel in CHANNELS), "digit")

    @classmethod
    def check_config(cls, options: Any, dataset: type[Dataset], n_fake: int) -> str | None:
        """Only stacks of three digits have these modes."""
        if dataset.stacked != len(CHANNELS) or not dataset.has_digits:
            return f"'{cls.name}' counts triples of digits, and {dataset.name} is no stack of three"
        return super().check_config(options, dataset, n_fake)

    def __init__(self, options: Any, reference: ReferenceFeatures | None, statistics: Mapping[str, np.ndarray]) -> None:
        del options, reference, statistics
        self.counts = np.zeros(MODES, dtype=np.int64)

    def update(self, features: Features) -> None:
        """Count the most likely mode of every image."""
        self.counts += np.bincount(features.logits.argmax(1).cpu().numpy(), minlength=MODES)

    def compute(self) -> dict[str, float]:
        """Modes and KL over all images so far."""
        return mode_statistics(self.counts)

    def histogram(self) -> np.ndarray | None:
        """The number of images of every mode."""
        return self.counts


def mode_statistics(counts: np.ndarray) -> dict[str, float]:
    """The number of non-empty bins, and the KL divergence in nats of the counts from the uniform distribution.

    Raises:
        ValueError: all counts are 0.
    """
    from scipy.special import rel_entr  # imported here: it takes a third of a second, which `plan` need not spend

    total = counts.sum()
    if total == 0:
        raise ValueError("no samples to count modes of")
    kl = rel_entr(counts / total, 1 / len(counts)).sum()
    return {"modes": float((counts > 0).sum()), "kl": float(kl)}


def kl_floor(n_fake: int, modes: int = MODES) -> float:
    """The expected KL in nats of `n_fake` samples of a perfectly uniform generator, to first order (X-04)."""
    return (modes - 1) / (2 * n_fake)
