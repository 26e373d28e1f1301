"""`doctor --metrics`: modes and KL of real triples of digits, whose expectation is known.

As many of them as the published tables count stand in for a generator that makes nothing but real digits, each channel
drawn by itself. What they score is the best that a generator can: the floor of the KL, and what the digits of the
dataset are unevenly distributed by.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.special import rel_entr

from benchmark import plugins
from benchmark.checks import Check
from benchmark.codecs import encoded
from benchmark.data.base import Dataset, Prepared, open_prepared
from benchmark.data.chosen import real_images
from benchmark.extractors.digits import Digits, classifier_file, is_trained
from benchmark.extractors.digits_again import DigitsAgain
from benchmark.metrics.modes import MODES, Modes, ModesOptions, floor
from benchmark.workspace import Workspace

SAMPLES = 25_600
# ours, in nats: more than three standard deviations of the KL of so many samples (0.001 to 0.0014), and what a
# classifier that misreads a digit in a hundred changes
TOLERANCE = 0.005
CODECS = ("none", "jpeg")


def on_real_digits(workspace: Workspace) -> list[Check]:
    """For each prepared dataset of three digits and each classifier that a run has trained for it. Writes nothing."""
    return [check for dataset in _of_digits(workspace) for check in _checks(dataset, workspace)]


def _of_digits(workspace: Workspace) -> Iterator[type[Dataset]]:
    for name in plugins.datasets:
        dataset = plugins.datasets[name]
        if dataset.digits and dataset.stacked == 3 and dataset.is_prepared(workspace.data):
            yield dataset


def _checks(dataset: type[Dataset], workspace: Workspace) -> Iterator[Check]:
    prepared = open_prepared(dataset.folder(workspace.data))
    for kind in (Digits, DigitsAgain):
        file = classifier_file(prepared, workspace.instruments, kind.seed)
        if is_trained(file):
            for codec in CODECS:
                yield _check(dataset, prepared, kind(file, torch.device("cpu")), codec)


def _check(dataset: type[Dataset], prepared: Prepared, classifier: Digits, codec: str) -> Check:
    counter = Modes(ModesOptions(extractor=classifier.name), None, {})
    for images in real_images(prepared.train, dataset, SAMPLES):
        counter.add(classifier(encoded(images, codec)))
    found = counter.value()
    expected = expected_kl(np.bincount(prepared.train.labels, minlength=10), SAMPLES)
    known = codec == "none"
    through = "" if known else f" after {codec.upper()}"
    return Check(
        f"Modes and KL, {SAMPLES:,} real triples of {dataset.name}{through}, {classifier.title}",
        f"{found['modes']:.0f}, {found['kl']:.4f}",
        f"{MODES}, {expected:.4f} ± {TOLERANCE}" if known else "nothing",
        (found["modes"] == MODES and abs(found["kl"] - expected) <= TOLERANCE) if known else None,
    )


def expected_kl(digits: np.ndarray, samples: int) -> float:
    """Of triples from the uniform distribution, in nats: of three digits drawn by these (10,) counts, and the floor."""
    shares = digits / digits.sum()
    return 3 * float(rel_entr(shares, 0.1).sum()) + floor(samples)
