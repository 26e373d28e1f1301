"""`doctor --metrics`: modes and KL of real triples of digits, whose expectation is known.

As many of them as the published tables count stand in for a generator that makes nothing but real digits, each channel
drawn by itself. What they score is the best that a generator can: the floor of the KL, and what the digits of the
dataset are unevenly distributed by.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.special import rel_entr

from benchmark.core import registry
from benchmark.core.spec import Protocol
from benchmark.data.base import Dataset
from benchmark.data.prepared import open_prepared
from benchmark.data.reference import reference_images
from benchmark.diagnostics.checks import Check
from benchmark.evaluation.extractors.digits import Digits, DigitsSecondSeed, classifier_file, is_trained
from benchmark.evaluation.metrics.modes import MODES, floor
from benchmark.evaluation.references import EvaluationAssets
from benchmark.evaluation.sample_evaluator import SampleEvaluator
from benchmark.store.workspace import Workspace

SAMPLES = 25_600
# ours, in nats: more than three standard deviations of the KL of so many samples (0.001 to 0.0014), and what a
# classifier that misreads a digit in a hundred changes
TOLERANCE = 0.005
CODECS = {"none": "", "jpeg": " after JPEG"}  # and what a check says of them; the KL after one is not known


def on_real_digits(workspace: Workspace) -> list[Check]:
    """For each prepared dataset of three digits and each classifier that a run has trained for it. Writes nothing."""
    return [check for dataset in _of_digits(workspace) for check in _checks(dataset, workspace)]


def _of_digits(workspace: Workspace) -> Iterator[type[Dataset]]:
    for name in registry.datasets:
        dataset = registry.datasets[name]
        if dataset.has_digits and dataset.stacked == 3 and dataset.is_prepared(workspace.data):
            yield dataset


def _checks(dataset: type[Dataset], workspace: Workspace) -> Iterator[Check]:
    prepared = open_prepared(dataset.prepared_dir(workspace.data))
    files = {kind: classifier_file(prepared, workspace.instruments, kind.seed) for kind in (Digits, DigitsSecondSeed)}
    trained = [kind for kind, file in files.items() if is_trained(file)]
    looks = {f"modes_{kind.name}_{codec}": (kind, codec) for kind in trained for codec in CODECS}
    if not looks:
        return
    measures = {label: _measure(kind, codec) for label, (kind, codec) in looks.items()}
    instruments = EvaluationAssets(extractors={kind.name: files[kind] for kind in trained}, references={})
    gauge = SampleEvaluator(Protocol.model_validate({"measures": measures}), instruments, torch.device("cpu"))
    found = gauge.measure(reference_images(prepared.train, dataset, SAMPLES)).numbers
    expected = expected_kl(np.bincount(prepared.train.labels, minlength=10), SAMPLES)
    for label, (kind, codec) in looks.items():
        modes, kl = (found[label.replace("modes", output, 1)] for output in ("modes", "kl"))
        yield _check(f"{dataset.name}{CODECS[codec]}, {kind.title}", modes, kl, None if CODECS[codec] else expected)


def _measure(kind: type[Digits], codec: str) -> dict[str, Any]:
    return {"metric": "modes", "n_fake": SAMPLES, "codec": codec, "options": {"extractor": kind.name}}


def _check(of: str, modes: float, kl: float, expected: float | None) -> Check:
    return Check(
        f"Modes and KL, {SAMPLES:,} real triples of {of}",
        f"{modes:.0f}, {kl:.4f}",
        "nothing" if expected is None else f"{MODES}, {expected:.4f} ± {TOLERANCE}",
        None if expected is None else modes == MODES and abs(kl - expected) <= TOLERANCE,
    )


def expected_kl(digits: np.ndarray, samples: int) -> float:
    """Of triples from the uniform distribution, in nats: of three digits drawn by these (10,) counts, and the floor."""
    shares = digits / digits.sum()
    return 3 * float(rel_entr(shares, 0.1).sum()) + floor(samples)
