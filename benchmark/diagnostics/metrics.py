"""`doctor --metrics`: compares metrics with closed forms, and with published values on real images.

Without Inception's weights or CIFAR-10 only the arithmetic is checked, on synthetic features.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.data.acquire import acquisition_hint
from benchmark.data.datasets.cifar import CIFAR10
from benchmark.data.prepared import open_prepared
from benchmark.diagnostics.checks import Check
from benchmark.diagnostics.digits import check_real_digits
from benchmark.evaluation.extractors.base import Extractor, Features
from benchmark.evaluation.extractors.inception import Inception
from benchmark.evaluation.metrics.base import ReferenceFeatures, SampleMetric
from benchmark.evaluation.metrics.fid import FID
from benchmark.evaluation.metrics.inception_score import InceptionScore, InceptionScoreOptions, score_over_splits
from benchmark.evaluation.metrics.kid import KID
from benchmark.evaluation.metrics.precision_recall import PrecisionRecall
from benchmark.store.workspace import Workspace, as_options

# Inception Score of CIFAR-10's 50,000 training images in their order, from torch-fidelity's README.
IMAGES, SCORE, SCORE_STD = 50_000, 11.23678, 0.09514
SCORE_TOLERANCE = 1e-3  # relative, chosen by us: float32 rounding differs between devices
CLOSE = 1e-6  # chosen by us, relative to the magnitude of what is subtracted
BATCH = 512
MANIFOLD_IMAGES = 5_000  # images for precision and recall
LOG_EVERY = 20 * BATCH  # images

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MetricCheckReport:
    """The checks, and the files that those on real images lack ("" if they were made)."""

    checks: list[Check]
    missing: str

    @property
    def failed(self) -> list[Check]:
        """The checks that a metric did not pass."""
        return [check for check in self.checks if check.ok is False]

    def as_json(self) -> dict[str, Any]:
        """The report for scripts."""
        return {"checks": [asdict(check) for check in self.checks], "missing": self.missing}

    def table(self) -> Table:
        """The report for people."""
        table = Table("metric, on what", "", "found", "known", box=None, pad_edge=False)
        signs = {True: Text("ok", style="green"), False: Text("wrong", style="red"), None: Text()}
        for check in self.checks:
            table.add_row(check.what, signs[check.ok], check.found, check.expected)
        return table

    def summary(self) -> str:
        """The conclusion in one sentence.

        Raises:
            UserError: nothing failed, but files for the checks on real images are missing.
        """
        if self.failed:
            return f"{len(self.failed)} of {len(self.checks)} checks failed: do not trust the numbers of this machine"
        if self.missing:
            raise UserError(f"the arithmetic is right; the extractor was not checked:\n{self.missing}")
        if any(check.ok is None for check in self.checks):
            return "what could be checked is right; without --samples the published Inception Score is checked too"
        return "all is right"


def check_metrics(workspace: Workspace, data_dir: Path, samples: int | None = None) -> MetricCheckReport:
    """Check the arithmetic, the digit classifiers of the workspace, and Inception on CIFAR-10 if its files exist.

    Args:
        workspace: where prepared data and trained classifiers are looked up; nothing is written there.
        data_dir: the folder of downloaded files.
        samples: use only so many images of CIFAR-10.

    Raises:
        UserError: a file is damaged.
    """
    checks, missing = closed_form_checks() + check_real_digits(workspace), missing_inputs(workspace, data_dir)
    if not missing:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        extractor = Inception(Inception.weights.prepare(data_dir), device)
        checks += real_image_checks(extractor, training_images(workspace, data_dir)[:samples])
    return MetricCheckReport(checks, missing)


def missing_inputs(workspace: Workspace, data_dir: Path) -> str:
    """Which files are missing for the checks on real images, and how to get them; "" if none."""
    images = None if CIFAR10.is_prepared(workspace.data) else CIFAR10.missing_message(data_dir)
    hint = acquisition_hint(CIFAR10, as_options(workspace, data_dir))
    return "\n".join(filter(None, (Inception.missing_message(data_dir), images and images + hint)))


def training_images(workspace: Workspace, data_dir: Path) -> np.ndarray:
    """CIFAR-10's training images, uint8 (50000, 3, 32, 32), in the order of the official files."""
    if CIFAR10.is_prepared(workspace.data):
        return open_prepared(CIFAR10.prepared_dir(workspace.data)).train.images
    return CIFAR10.read(data_dir)[0].images


# --- on synthetic features -----------------------------------------------------------------------------


def closed_form_checks() -> list[Check]:
    """Compare metrics of synthetic features and logits with closed forms."""
    rng = np.random.default_rng(0)
    white, rotation = whiten(rng.normal(size=(500, 8))), np.linalg.qr(rng.normal(size=(8, 8)))[0]
    shift, stds, other_stds = rng.normal(size=8), *rng.uniform(0.5, 2, (2, 8))
    expected = float(np.square(shift).sum() + np.square(stds - other_stds).sum())
    one, other = torch.from_numpy((white * stds + shift) @ rotation), torch.from_numpy(white * other_stds @ rotation)
    flat, other_flat = (torch.from_numpy(white * np.eye(8)[axis]) for axis in (0, 1))
    rows, logits = torch.from_numpy(rng.normal(size=(100, 8))), 100 * torch.eye(10).repeat(20, 1)
    return [
        _close("FID, rotated Gaussians", _value(FID, one, other), expected),
        _close("FID, singular Gaussians", _value(FID, flat, other_flat), 2.0),
        _close("KID, zeros and ones", _value(KID, torch.ones(9, 8), torch.zeros(9, 8), subset_size=9), 7.0),
        _close("Inception Score, identical predictions", _value(InceptionScore, torch.zeros(200, 10)), 1.0),
        _close("Inception Score, ten balanced and certain classes", _value(InceptionScore, logits, splits=1), 10.0),
        *_equal("one image for all", measure(PrecisionRecall, rows[:1].expand(100, 8), rows), (1.0, 0.01)),
        *_equal("the same set twice", measure(PrecisionRecall, rows, rows), (1.0, 1.0)),
    ]


def whiten(rows: np.ndarray) -> np.ndarray:
    """Transform rows (N, D) to mean 0 and covariance 1."""
    centred = rows - rows.mean(0)
    white: np.ndarray = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T))).T
    return white


# --- on real images ------------------------------------------------------------------------------------


def real_image_checks(extractor: Extractor, images: np.ndarray) -> list[Check]:
    """Compare images, uint8 (N, C, H, W), with themselves, and all of CIFAR-10's with their published score."""
    features, logits = extract_features(extractor, images)
    half, subset = len(images) // 2, min(1000, len(images) // 2)
    tolerance = CLOSE * float(features.double().var(0).sum())
    itself = _value(FID, features, features, extractor=extractor.name)
    halves = _value(KID, features[:half], features[half:], extractor=extractor.name, subset_size=subset)
    few = features[:MANIFOLD_IMAGES]
    return [
        _check_score(*score_over_splits(logits, InceptionScoreOptions().splits), len(images)),
        Check("FID, the same set twice", f"{itself:.3g}", f"0 ± {tolerance:.1g}", itself <= tolerance),
        Check("KID, two halves", f"{halves:.2g}", f"0 ± {2 / subset:.2g}", abs(halves) <= 2 / subset),
        *_equal("the same set twice", measure(PrecisionRecall, few, few, extractor=extractor.name), (1.0, 1.0)),
    ]


def extract_features(extractor: Extractor, images: np.ndarray) -> Features:
    """Features and logits of all images."""
    batches = []
    for start in range(0, len(images), BATCH):
        if start % LOG_EVERY == 0:
            logger.info("%s: extracting features of image %s of %s", extractor.name, f"{start:,}", f"{len(images):,}")
        batches.append(extractor(torch.from_numpy(np.array(images[start : start + BATCH]))))
    features, logits = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return Features(features, logits)


def _check_score(mean: float, std: float, n: int) -> Check:
    what, found = f"Inception Score, {n:,} images of CIFAR-10", f"{mean:.5f} ± {std:.5f}"
    if n != IMAGES:
        return Check(what, found, f"nothing: the published value is of {IMAGES:,}", None)
    ok = abs(mean - SCORE) <= SCORE_TOLERANCE * SCORE
    return Check(what, found, f"{SCORE} ± {SCORE_STD} (torch-fidelity)", ok)


# --- both ----------------------------------------------------------------------------------------------


def measure(
    metric_class: type[SampleMetric],
    fake: Tensor,
    real: Tensor | None = None,
    extractor: str = "random_conv",
    **options: Any,
) -> dict[str, float]:
    """The value of a metric over features (N, D), or over logits (N, K) for a metric of class logits."""
    validated = metric_class.Options.model_validate({"extractor": extractor, **options})
    reference, statistics = None, {}
    if real is not None:
        reference = ReferenceFeatures(real.float().cpu().numpy(), np.zeros((len(real), 0), np.float32))
        statistics = metric_class.reference_statistics(validated, reference, torch.device("cpu"))
    metric = metric_class(validated, reference, statistics)
    metric.update(Features(fake, fake))
    return metric.compute()


def _value(metric: type[SampleMetric], fake: Tensor, real: Tensor | None = None, **options: Any) -> float:
    return next(iter(measure(metric, fake, real, **options).values()))


def _close(what: str, found: float, expected: float) -> Check:
    return Check(what, f"{found:.6f}", f"{expected:.6f}", abs(found - expected) <= CLOSE * max(1.0, abs(expected)))


def _equal(what: str, found: dict[str, float], expected: tuple[float, float]) -> list[Check]:
    pairs = zip(("Precision", "Recall"), found.values(), expected, strict=True)
    return [Check(f"{name}, {what}", f"{share:.4f}", f"{known:.4f}", share == known) for name, share, known in pairs]
