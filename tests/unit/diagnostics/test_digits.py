"""Real digits through the harness' classifiers score what is known of them."""

import shutil

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.data.prepared import open_prepared
from benchmark.diagnostics import digits as digits_module
from benchmark.diagnostics.digits import check_real_digits, expected_kl
from benchmark.evaluation import sample_evaluator
from benchmark.evaluation.extractors import digits
from benchmark.evaluation.extractors.digits import Digits
from benchmark.evaluation.metrics.modes import kl_floor, mode_statistics
from benchmark.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    """With prepared digits, and no classifier."""
    place = Workspace.at(tmp_path)
    registry.datasets["stacked_digits"].prepare(tmp_path, place.data)
    place.instruments.mkdir(parents=True)
    return place


def test_without_a_trained_classifier_nothing_is_checked_and_nothing_is_written(workspace):
    assert check_real_digits(workspace) == []
    assert list(workspace.instruments.iterdir()) == []


@pytest.mark.parametrize("right", [True, False])
def test_a_trained_classifier_passes_and_an_untrained_one_fails(workspace, monkeypatch, trained_classifier, right):
    monkeypatch.setattr(sample_evaluator, "apply_codec", lambda images, codec: images)  # JPEG takes long
    dataset = registry.datasets["stacked_digits"]
    prepared = open_prepared(dataset.prepared_dir(workspace.data))
    file = digits.classifier_path(prepared, workspace.instruments, Digits.seed)
    if right:
        shutil.copy(trained_classifier, file)
    else:  # one that was never trained
        model = digits.DigitClassifier(8)
        torch.save({"state": model.state_dict(), "accuracy": 0.1, "size": 8}, file)
    plain, after_jpeg = check_real_digits(workspace)
    assert plain.ok is right, plain
    assert after_jpeg.ok is None
    assert "JPEG" in after_jpeg.what


def test_the_expected_kl_is_the_mean_over_random_triples():
    counts = np.array([90, 110, 95, 105, 100, 85, 115, 100, 98, 102])
    rng = np.random.default_rng(0)
    shares = counts / counts.sum()
    joint = np.einsum("a,b,c->abc", shares, shares, shares).ravel()
    found = [mode_statistics(rng.multinomial(digits_module.SAMPLES, joint))["kl"] for _ in range(200)]
    assert expected_kl(counts, digits_module.SAMPLES) == pytest.approx(np.mean(found), abs=3e-4)
    assert np.std(found) < digits_module.TOLERANCE / 3
    assert expected_kl(np.full(10, 7), 1000) == pytest.approx(kl_floor(1000))
