"""A suite of two published tables and an unpublished one, with synthetic records of every status."""

import base64
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.store.records import Cost, Measurement, TrialRecord

PAPER = """
title: A Paper
authors: Somebody
venue: NeurIPS
year: 2019
url: https://example.org
tables:
  checked:
    title: Table 1
    dataset: stacked_digits
    status: verified
    source: the PDF, page 7
    spread_kind: training_seeds
    n_seeds: 8
    protocol: {n_fake: 25600, codec: none, feature_extractor: digits}
    rows:
      GAN: {values: {modes: [640.0, 136.3], kl: [2.0, null]}}
      SSGAN: {values: {modes: [906.75, 26.15], kl: [0.9, 0.13]}}
      MSGAN: {values: {modes: [926.75, 32.65], kl: [0.78, 0.13]}, note: "the authors' own run"}
  remembered:
    title: Table 2
    dataset: stacked_digits
    status: unverified
    source: from memory
    spread_kind: not_stated
    note: Read it before use.
    protocol: {n_fake: 26000, feature_extractor: digits}
    rows:
      GAN: {values: {modes: [99.0, null]}}
"""

SUITE = """
title: A suite
about: |
  Three methods on digits.

  In two paragraphs.
seeds: [0, 1, 2]
tolerance: {modes: 0.05, kl: 0.25}
defaults:
  dataset: stacked_digits
  network: mlp
  latent: {dim: 64, distribution: normal}
  steps: 1000
  batch_size: 64
  optimizer: {lr: 2e-4, betas: [0.5, 0.9]}
  protocol: {measures: {modes: {n_fake: 25600}}, evaluations: 5}
tables:
  - title: Checked
    published: paper/checked
    note: With small discriminators.
    rows:
      GAN: {method: gan}
      SSGAN: {method: ssgan}
      MSGAN: {method: msgan}
  - title: Remembered
    published: paper/remembered
    defaults: {steps: 500}
    rows:
      GAN: {method: gan}
      Hinge GAN: {method: gan, options: {game: hinge}, published: none, note: ours}
  - title: Own
    defaults: {steps: 200}
    rows:
      MSGAN: {method: msgan}
      GAN: {method: gan}
scales:
  paper: {}
  quick: {about: a tenth, cell: {steps: 100}}
"""

HOSTILE_ERROR = "ValueError: a | b\n\n# c `d` <script> $x$ *e* ![f](g) (at x.py:1 h)"
FINAL_METRICS = {"gan": (640.0, 2.0), "ssgan": (905.0, 0.9), "msgan": (930.0, 0.4)}  # modes, KL in nats


def write_suite(folder, text=SUITE):
    (folder / "papers").mkdir()
    (folder / "papers" / "paper.yaml").write_text(PAPER)
    path = folder / "a_suite.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def suite_file(tmp_path_factory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suites"))


@pytest.fixture(scope="session")
def suite(suite_file):
    return load_suite(suite_file, "paper")


@pytest.fixture(scope="session")
def quick(suite_file):
    return load_suite(suite_file, "quick")


@pytest.fixture(scope="session")
def derived_suite(tmp_path_factory):
    """The suite with a method in its last table that is implemented from an abstract."""
    text = SUITE.replace(
        "      MSGAN: {method: msgan}\n      GAN:", "      Selfish: {method: self_labelling}\n      GAN:"
    )
    return load_suite(write_suite(tmp_path_factory.mktemp("derived"), text))


@pytest.fixture(scope="session")
def small_suite(tmp_path_factory):
    """Loads a suite of one table with one seed and these rows."""

    def load(*labels, title="T"):
        head = SUITE[: SUITE.index("tables:")]
        lines = [
            f"      {json.dumps(label, ensure_ascii=False)}: {{method: gan, steps: {5 + n}}}"
            for n, label in enumerate(labels)
        ]
        table = [f"  - title: {json.dumps(title, ensure_ascii=False)}", "    rows:", *lines]
        text = "\n".join([head, "tables:", *table, "scales: {paper: {}}", ""])
        return load_suite(write_suite(tmp_path_factory.mktemp("suite"), text), seeds=1)

    return load


def noise_grid(seed, side=8):
    """A PNG of 64 noise images of side x side pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8 * side, 8 * side, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()


@pytest.fixture(scope="session")
def real():
    return {"stacked_digits": noise_grid(99)}


def synthetic_record(spec, status="finished", error="", metrics=None, **changes):
    """A record as a trial would leave it; `metrics` is its last evaluation."""
    rng = random.Random(spec.trial_id)
    modes, kl = FINAL_METRICS.get(spec.method, (500.0, 3.0))
    modes, kl = modes + rng.gauss(0, 8), kl * (1 + rng.gauss(0, 0.05))
    parts = [(index + 1) / spec.protocol.evaluations for index in range(spec.protocol.evaluations)]
    history = [
        Measurement(step=round(spec.steps * part), metrics={"modes": modes * part, "kl": kl / part}) for part in parts
    ]
    if metrics is not None:
        history[-1] = Measurement(step=spec.steps, metrics=metrics)
    kept = {"finished": history, "diverged": history[:2], "failed": []}[status]
    cost = {"train_seconds": 9.5, "evaluation_seconds": 0.5, "images_per_second": 6700.0}
    fields = {
        "history": kept,
        "facts": {"classifier_accuracy": 0.98218},
        "cost": Cost(**cost, peak_memory_mib=512.0, cpus=1, gpus=0.0),
        "environment": {
            "cpu": "A CPU",
            "device": "cpu",
            "gpu": "",
            "packages": {"torch": "2.15.0", "ray": "missing"},
            "source": "79c7567aaaaa",
        },
        "data": {
            "dataset": spec.dataset,
            "train": [1348, 1, 8, 8],
            "sources": {"digits": "0123456789abcdef"},
        },
        "samples_png": base64.b64encode(noise_grid(spec.seed)).decode() if kept else "",
    }
    return TrialRecord(
        trial_id=spec.trial_id,
        spec=spec,
        status=status,
        error=error,
        started="2026-11-02T10:00:00+00:00",
        finished="2026-11-02T10:00:10+00:00",
        **(fields | changes),
    )


@pytest.fixture(scope="session")
def make_record():
    return synthetic_record


@pytest.fixture(scope="session")
def all_finished():
    """Records of a suite whose trials all finished."""
    return lambda suite: {trial_id: synthetic_record(spec) for trial_id, spec in suite.specs.items()}


def trials_of(suite, table, label):
    return next(cell.specs for cell in suite.cells if (cell.table, cell.row) == (table, label))


@pytest.fixture(scope="session")
def specs_of():
    return trials_of


@pytest.fixture(scope="session")
def row_of():
    def find(suite, records, table, label):
        return next(row for row in leaderboard_rows(suite, records) if (row.table, row.label) == (table, label))

    return find


@pytest.fixture(scope="session")
def mixed(suite):
    """Records of a suite of which one seed failed, one diverged, one cell failed completely, and one was not run."""
    records = {trial_id: synthetic_record(spec) for trial_id, spec in suite.specs.items()}
    endings = [
        (trials_of(suite, "Checked", "GAN")[1], "failed", HOSTILE_ERROR),
        (trials_of(suite, "Checked", "SSGAN")[2], "diverged", "the generator's loss is nan at step 400"),
        *((spec, "failed", "RuntimeError: out of memory") for spec in trials_of(suite, "Remembered", "GAN")),
    ]
    for spec, status, error in endings:
        records[spec.trial_id] = synthetic_record(spec, status, error)
    for spec in trials_of(suite, "Own", "GAN"):
        del records[spec.trial_id]
    return records
