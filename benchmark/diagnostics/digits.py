"""`doctor --metrics`: modes and KL of real triples of digits, whose expectation is known.

25,600 triples of real digits, as many as the published tables count, stand in for a generator of real digits with
independent channels. Their score is the best that a generator can reach: the floor of the KL, plus the KL of the
dataset's own digit frequencies.
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
from benchmark.evaluation.extractors.digits import (
    Digits,
    DigitsSecondSeed,
    DigitsThirdSeed,
    classifier_path,
    is_trained,
)
from benchmark.evaluation.metrics.modes import MODES, kl_floor
from benchmark.evaluation.references import EvaluationAssets
from benchmark.evaluation.sample_evaluator import SampleEvaluator
from benchmark.store.workspace import Workspace

SAMPLES = 25_600
# In nats, chosen by us: more than three standard deviations of the KL of so many samples (0.001 to 0.0014), and the
# change from a classifier that misreads one digit in a hundred.
TOLERANCE = 0.005
CODECS = {"none": "", "jpeg": " after JPEG"}  # codec -> how a check names it; the expected KL after JPEG is unknown


def check_real_digits(workspace: Workspace) -> list[Check]:
    """Check every prepared dataset of digit triples with every classifier trained for it. Writes nothing."""
    datasets = [registry.datasets[name] for name in registry.datasets]
    triples = [dataset for dataset in datasets if dataset.has_digits and dataset.stacked == 3]
    prepared = [dataset for dataset in triples if dataset.is_prepared(workspace.data)]
    return [check for dataset in prepared for check in _check_dataset(dataset, workspace)]


def _check_dataset(dataset: type[Dataset], workspace: Workspace) -> Iterator[Check]:
    prepared = open_prepared(dataset.prepared_dir(workspace.data))
    classifiers: tuple[type[Digits], ...] = (Digits, DigitsSecondSeed, DigitsThirdSeed)
    paths = {kind: classifier_path(prepared, workspace.instruments, kind.seed) for kind in classifiers}
    trained = {kind: path for kind, path in paths.items() if is_trained(path)}
    if not trained:
        return
    cases = {f"modes_{kind.name}_{codec}": (kind, codec) for kind in trained for codec in CODECS}
    measures = {label: _measure(kind, codec) for label, (kind, codec) in cases.items()}
    assets = EvaluationAssets(extractors={kind.name: path for kind, path in trained.items()}, references={})
    evaluator = SampleEvaluator(Protocol.model_validate({"measures": measures}), assets, torch.device("cpu"))
    values = evaluator.evaluate(reference_images(prepared.train, dataset, SAMPLES)).values
    expected = expected_kl(np.bincount(prepared.train.labels, minlength=10), SAMPLES)
    for label, (kind, codec) in cases.items():
        modes, kl = (values[label.replace("modes", output, 1)] for output in ("modes", "kl"))
        known = codec == "none"
        yield Check(
            f"Modes and KL, {SAMPLES:,} real triples of {dataset.name}{CODECS[codec]}, {kind.title}",
            f"{modes:.0f}, {kl:.4f}",
            f"{MODES}, {expected:.4f} ± {TOLERANCE}" if known else "nothing",
            (modes == MODES and abs(kl - expected) <= TOLERANCE) if known else None,
        )


def _measure(kind: type[Digits], codec: str) -> dict[str, Any]:
    return {"metric": "modes", "n_fake": SAMPLES, "codec": codec, "options": {"extractor": kind.name}}


def expected_kl(digits: np.ndarray, samples: int) -> float:
    """The expected KL in nats of random triples from the uniform distribution: that of their digits, and the floor.

    Args:
        digits: (10,) how often each digit occurs in the dataset.
        samples: number of triples.
    """
    shares = digits / digits.sum()
    return 3 * float(rel_entr(shares, 0.1).sum()) + kl_floor(samples)
