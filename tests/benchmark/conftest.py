"""What tests of trials share: prepared digits, and a checkpoint after every step."""

import pytest
import torch

from benchmark import pace, trial
from benchmark.data.stacked_digits import StackedDigits
from benchmark.extractors.digits import DigitClassifier
from benchmark.measuring import Instruments


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Digits, and an untrained classifier of them."""
    root = tmp_path_factory.mktemp("prepared")
    torch.manual_seed(0)
    torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, root / "c.pt")
    return StackedDigits.prepare(root, root / "data"), Instruments(extractors={"digits": root / "c.pt"}, references={})


@pytest.fixture
def always(monkeypatch):
    """A checkpoint and a report after every step."""
    monkeypatch.setattr(pace, "SECONDS", 0.0)
    monkeypatch.setattr(pace, "SHARE", float("inf"))
    monkeypatch.setattr(trial, "PROGRESS_SECONDS", 0.0)
