"""What tests of trials share: prepared digits, and a checkpoint after every step."""

import pytest
import torch

from benchmark.data.datasets.stacked_digits import StackedDigits
from benchmark.evaluation.extractors.digits import DigitClassifier
from benchmark.evaluation.references import EvaluationAssets
from benchmark.trials import runner, stopwatch


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Digits, and an untrained classifier of them."""
    root = tmp_path_factory.mktemp("prepared")
    torch.manual_seed(0)
    torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, root / "c.pt")
    return StackedDigits.prepare(root, root / "data"), EvaluationAssets(
        extractors={"digits": root / "c.pt"}, references={}
    )


@pytest.fixture
def always(monkeypatch):
    """A checkpoint and a report after every step."""
    monkeypatch.setattr(stopwatch, "MIN_INTERVAL", 0.0)
    monkeypatch.setattr(stopwatch, "MAX_SHARE", float("inf"))
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)
