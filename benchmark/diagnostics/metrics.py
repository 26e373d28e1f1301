"""`doctor --metrics`: metrics held against what is known, by hand and on real images.

Without Inception's weights or CIFAR-10 only the arithmetic can be checked, on features made up on the spot.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.data.datasets.cifar import CIFAR10
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.fetch import acquisition_hint
from benchmark.diagnostics.checks import Check
from benchmark.diagnostics.digits import on_real_digits
from benchmark.evaluation.extractors.base import Extractor, Features
from benchmark.evaluation.extractors.inception import Inception
from benchmark.evaluation.metrics.base import ReferenceFeatures, SampleMetric
from benchmark.evaluation.metrics.fid import FID
from benchmark.evaluation.metrics.inception_score import InceptionScore, InceptionScoreOptions, over_splits
from benchmark.evaluation.metrics.kid import KID
from benchmark.evaluation.metrics.precision_recall import PrecisionRecall
from benchmark.store.workspace import Workspace, as_options

# the Inception Score of CIFAR-10's 50,000 training images in their order: torch-fidelity's README
IMAGES, SCORE, SCORE_STD = 50_000, 11.23678, 0.09514
SCORE_TOLERANCE = 1e-3  # ours, relative: what another device may make of float32
CLOSE = 1e-6  # ours, relative to the size of what is subtracted
BATCH = 512
COVERED = 5_000  # images whose neighbours are looked for

Told = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class MetricCheckReport:
    """All checks, and what was missing for those on real images (nothing: they were made)."""

    checks: list[Check]
    missing: str

    @property
    def failed(self) -> list[Check]:
        """Those that a metric did not pass."""
        return [check for check in self.checks if check.ok is False]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {"checks": [asdict(check) for check in self.checks], "missing": self.missing}

    def table(self) -> Table:
        """For people."""
        table = Table("metric, on what", "", "found", "known", box=None, pad_edge=False)
        signs = {True: "[green]ok[/]", False: "[red]wrong[/]", None: ""}
        for check in self.checks:
            table.add_row(check.what, signs[check.ok], check.found, check.expected)
        return table


def check_metrics(
    workspace: Workspace, data_dir: Path, samples: int | None = None, told: Told | None = None
) -> MetricCheckReport:
    """The arithmetic, digit classifiers that were trained here on real triples, and, where files allow it, Inception on
    the first `samples` images of CIFAR-10, or on all.

    Writes nothing. `told` hears how many images were looked at. Raises UserError when a file is damaged.
    """
    checks, missing = closed_form_checks() + on_real_digits(workspace), missing_inputs(workspace, data_dir)
    if not missing:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        extractor = Inception(Inception.weights.prepare(data_dir), device)
        checks += on_real_images(extractor, training_images(workspace, data_dir)[:samples], told)
    return MetricCheckReport(checks, missing)


def missing_inputs(workspace: Workspace, data_dir: Path) -> str:
    """Which files are missing, and how to get them."""
    images = None if CIFAR10.is_prepared(workspace.data) else CIFAR10.missing_files(data_dir)
    how = acquisition_hint(CIFAR10, as_options(workspace, data_dir))
    return "\n".join(filter(None, (Inception.missing(data_dir), images and images + how)))


def training_images(workspace: Workspace, data_dir: Path) -> np.ndarray:
    """CIFAR-10's, uint8 (50000, 3, 32, 32) in the order of the official files, prepared or read now."""
    if CIFAR10.is_prepared(workspace.data):
        return open_prepared(CIFAR10.prepared_dir(workspace.data)).train.images
    return CIFAR10.read(data_dir)[0].images


# --- without images ------------------------------------------------------------------------------------


def closed_form_checks() -> list[Check]:
    """Closed forms, on features and logits that are made up here."""
    rng = np.random.default_rng(0)
    whitened, turn = gaussian_checks(rng.normal(size=(500, 8))), np.linalg.qr(rng.normal(size=(8, 8)))[0]
    shift, stds, others = rng.normal(size=8), *rng.uniform(0.5, 2, (2, 8))
    expected = float(np.square(shift).sum() + np.square(stds - others).sum())
    flat, other_flat = np.eye(8)[0], np.eye(8)[1]
    rows, classes = torch.from_numpy(rng.normal(size=(100, 8))), torch.eye(10).repeat(20, 1)
    return [
        _near(
            "FID, rotated Gaussians", _distance((whitened * stds + shift) @ turn, whitened * others @ turn), expected
        ),
        _near("FID, singular Gaussians", _distance(whitened * flat, whitened * other_flat), 2.0),
        _near("KID, zeros and ones", _first(KID, torch.ones(9, 8), torch.zeros(9, 8), subset_size=9), 7.0),
        _near("Inception Score, nothing is told apart", _first(InceptionScore, torch.zeros(200, 10)), 1.0),
        _near("Inception Score, ten classes, balanced and sure", _first(InceptionScore, 100 * classes, splits=1), 10.0),
        *_shares("one image for all", measured(PrecisionRecall, rows[:1].expand(100, 8), rows), (1.0, 0.01)),
        *_shares("the same set twice", measured(PrecisionRecall, rows, rows), (1.0, 1.0)),
    ]


def gaussian_checks(rows: np.ndarray) -> np.ndarray:
    """(N, D) moved and stretched to mean 0 and covariance 1."""
    centred = rows - rows.mean(0)
    whitened: np.ndarray = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T))).T
    return whitened


def _distance(fake: np.ndarray, real: np.ndarray) -> float:
    return _first(FID, torch.from_numpy(fake), torch.from_numpy(real))


# --- on images -----------------------------------------------------------------------------------------


def on_real_images(extractor: Extractor, images: np.ndarray, told: Told | None = None) -> list[Check]:
    """What is known of a set of images, uint8 (N, C, H, W), and itself or its halves; and of all CIFAR-10's."""
    seen, name = look(extractor, images, told), extractor.name
    features, half = seen.features, len(images) // 2
    subset = min(1000, half)
    spread = float(features.double().var(0).sum())
    apart = _first(FID, features, features, extractor=name)
    halves = _first(KID, features[:half], features[half:], extractor=name, subset_size=subset)
    few = features[:COVERED]
    return [
        _score(over_splits(seen.logits, InceptionScoreOptions().splits), len(images)),
        Check("FID, the same set twice", f"{apart:.3g}", f"0 ± {CLOSE * spread:.1g}", apart <= CLOSE * spread),
        Check("KID, two halves", f"{halves:.2g}", f"0 ± {2 / subset:.2g}", abs(halves) <= 2 / subset),
        *_shares("the same set twice", measured(PrecisionRecall, few, few, extractor=name), (1.0, 1.0)),
    ]


def look(extractor: Extractor, images: np.ndarray, told: Told | None = None) -> Features:
    """Features and logits of all images."""
    parts = []
    for start in range(0, len(images), BATCH):
        parts.append(extractor(torch.from_numpy(np.array(images[start : start + BATCH]))))
        if told:
            told(f"images through {extractor.name}", min(start + BATCH, len(images)), len(images))
    features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
    return Features(features, logits)


def _score(found: tuple[float, float], n: int) -> Check:
    mean, std = found
    what, said = f"Inception Score, {n:,} images of CIFAR-10", f"{mean:.5f} ± {std:.5f}"
    if n != IMAGES:
        return Check(what, said, f"nothing: the published value is of {IMAGES:,}", None)
    ok = abs(mean - SCORE) <= SCORE_TOLERANCE * SCORE
    return Check(what, said, f"{SCORE} ± {SCORE_STD} (torch-fidelity)", ok)


# --- both ----------------------------------------------------------------------------------------------


def measured(
    metric: type[SampleMetric], fake: Tensor, real: Tensor | None = None, extractor: str = "random_conv", **options: Any
) -> dict[str, float]:
    """The value of a metric over features (N, D), or over logits (N, K) for one that counts classes."""
    chosen = metric.Options.model_validate({"extractor": extractor, **options})
    kept = None
    if real is not None:
        kept = ReferenceFeatures(real.float().cpu().numpy(), np.zeros((len(real), 0), np.float32))
    opened = metric(chosen, kept, metric.summary(chosen, kept, torch.device("cpu")) if kept else {})
    opened.add(Features(fake, fake))
    return opened.value()


def _first(metric: type[SampleMetric], fake: Tensor, real: Tensor | None = None, **options: Any) -> float:
    return next(iter(measured(metric, fake, real, **options).values()))


def _near(what: str, found: float, expected: float) -> Check:
    return Check(what, f"{found:.6f}", f"{expected:.6f}", abs(found - expected) <= CLOSE * max(1.0, abs(expected)))


def _shares(what: str, found: dict[str, float], expected: tuple[float, float]) -> list[Check]:
    pairs = zip(("Precision", "Recall"), found.values(), expected, strict=True)
    return [Check(f"{name}, {what}", f"{share:.4f}", f"{known:.4f}", share == known) for name, share, known in pairs]


def summary(verdict: MetricCheckReport) -> str:
    """What a person takes away. Raises UserError when the checks on real images could not be made."""
    if verdict.failed:
        return f"{len(verdict.failed)} of {len(verdict.checks)} checks failed: do not trust the numbers of this machine"
    if verdict.missing:
        raise UserError(f"the arithmetic is right; the extractor was not checked:\n{verdict.missing}")
    if any(check.ok is None for check in verdict.checks):
        return "what could be checked is right; without --samples the published Inception Score is checked too"
    return "all is right"
