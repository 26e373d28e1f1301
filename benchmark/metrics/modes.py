"""Modes covered and KL(generated || uniform) for stacked digits.

Every channel is named by a digit classifier; the three digits of an image are its mode, 1,000 in all
(Metz et al. 2017; MSGAN modules/eval.py:13-87). From N samples of a perfect generator the KL is still about
999 / 2N nats (X-04): the floor that the report prints.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from scipy.special import rel_entr
from torch import Tensor

from benchmark.data.base import Dataset, Prepared
from benchmark.metrics.base import Landmark, Metric, Output
from benchmark.metrics.digits import as_float, load_classifier, prepare_classifier

DIGITS = 10
MODES = DIGITS**3


class Modes(Metric):
    """Counts how many of the 1,000 digit triples were generated, and how evenly."""

    name = "modes"
    about = "modes covered of 1,000 and KL(generated || uniform) in nats, by a digit classifier of the harness"
    extractor = "harness digit classifier"
    outputs = (
        Output("modes", "modes covered (of 1,000)", "higher", 1),
        Output("kl", "KL(generated ‖ uniform), nats", "lower", 3),
    )

    fact_titles: ClassVar[dict[str, str]] = {"classifier_accuracy": "digit classifier's accuracy on held-out digits"}

    @classmethod
    def landmarks(cls, n_fake: int) -> dict[str, Landmark]:
        """All modes covered, and the KL of a perfect generator's samples."""
        least = floor(n_fake)
        return {"modes": Landmark(MODES, f"all {MODES:,}"), "kl": Landmark(least, f"floor {least:.3f}")}

    @classmethod
    def notes(cls, n_fake: int) -> dict[str, str]:
        """The floor of the KL."""
        return {
            "Floor of the KL": f"counted over {n_fake:,} samples, even a perfect uniform generator shows a KL of"
            f" about {MODES - 1}/(2 × {n_fake:,}) = {floor(n_fake):.4f} nats."
        }

    @classmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Only stacks of three digits have these modes."""
        return dataset.stacked == 3

    @classmethod
    def prepare(cls, dataset: Prepared, cache: Path) -> Path:
        """Train the digit classifier once."""
        return prepare_classifier(dataset, cache)

    def __init__(self, prepared: Path, device: torch.device) -> None:
        self.device = device
        self.classifier, self.accuracy = load_classifier(prepared, device)

    @property
    def facts(self) -> dict[str, float]:
        """The classifier's accuracy on held-out digits."""
        return {"classifier_accuracy": self.accuracy}

    def measure(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """Modes and KL over all images of the batches."""
        counts = np.zeros(MODES, dtype=np.int64)
        for images in batches:
            counts += np.bincount(self.labels(images), minlength=len(counts))
        return statistics(counts)

    def labels(self, images: Tensor) -> np.ndarray:
        """uint8 (N, 3, S, S) -> the mode of each image, 100 a + 10 b + c, in 0..999."""
        single = images.reshape(-1, 1, *images.shape[2:]).to(self.device)
        with torch.no_grad():
            digits = self.classifier(as_float(single)).argmax(1).view(-1, 3)
        place = torch.tensor([DIGITS**2, DIGITS, 1], device=self.device)
        labels: np.ndarray = (digits * place).sum(1).cpu().numpy()
        return labels


def statistics(counts: np.ndarray) -> dict[str, float]:
    """Number of non-empty bins, and the KL divergence in nats of the counts from the uniform distribution.

    Raises ValueError when nothing was counted.
    """
    total = counts.sum()
    if total == 0:
        raise ValueError("no samples to count modes of")
    kl = rel_entr(counts / total, 1 / len(counts)).sum()
    return {"modes": float((counts > 0).sum()), "kl": float(kl)}


def floor(n_fake: int, modes: int = MODES) -> float:
    """Expected KL in nats of n_fake samples from a perfectly uniform generator, to first order (X-04)."""
    return (modes - 1) / (2 * n_fake)
