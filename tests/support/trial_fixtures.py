"""Fixtures for tests that train: digit classifiers, prepared digits, a checkpoint after every step."""

from pathlib import Path

import pytest
import torch
from filelock import FileLock

from benchmark.data.datasets.stacked_digits import StackedDigits
from benchmark.data.prepared import open_prepared
from benchmark.evaluation.extractors.digits import DigitClassifier, Digits
from benchmark.evaluation.references import EvaluationAssets
from benchmark.trials import runner, stopwatch


@pytest.fixture(scope="session")
def untrained_classifier(tmp_path_factory):
    """The weights file of an untrained digit classifier, for tests that do not depend on its accuracy."""
    path = tmp_path_factory.mktemp("classifier") / "classifier.pt"
    torch.manual_seed(0)
    torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, path)
    return path


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder of this run of pytest, the same for all workers of xdist."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def trained_classifier(shared_folder):
    """The weights file of the digit classifier, trained as the harness trains it, once for all workers."""
    digits = open_prepared(StackedDigits.prepare(shared_folder, shared_folder / "data"))
    with FileLock(shared_folder / "classifier.lock"):
        return Digits.prepare(digits, shared_folder / "instruments", Path())


@pytest.fixture
def untrained_digits(monkeypatch, untrained_classifier):
    """The extractor `digits` uses the untrained classifier instead of training one."""
    monkeypatch.setattr(Digits, "prepare", classmethod(lambda *_: untrained_classifier))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, untrained_classifier):
    """The folder of the prepared digits, and evaluation assets with an untrained classifier."""
    root = tmp_path_factory.mktemp("prepared")
    assets = EvaluationAssets(extractors={"digits": untrained_classifier}, references={})
    return StackedDigits.prepare(root, root / "data"), assets


@pytest.fixture
def always(monkeypatch):
    """A checkpoint and a report after every step."""
    monkeypatch.setattr(stopwatch, "MIN_INTERVAL", 0.0)
    monkeypatch.setattr(stopwatch, "MAX_SHARE", float("inf"))
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)
