"""`doctor --metrics`."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.cli import app
from benchmark.core.errors import UserError
from benchmark.diagnostics import metrics
from benchmark.diagnostics.metrics import (
    MetricCheckReport,
    closed_form_checks,
    real_image_checks,
    whiten,
)
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics import fid, inception_score, kid, precision_recall
from tests.support.measures import CPU, uint8

IMAGES = uint8(300).numpy()


def checked(checks, ok):
    return [check.what for check in checks if check.ok is ok]


def test_the_arithmetic_is_right():
    checks = closed_form_checks()
    assert len(checks) == 9
    assert all(check.ok is True for check in checks), checks


def test_whitened_rows_have_mean_0_and_covariance_1():
    rows = whiten(np.random.default_rng(0).normal(3, 2, (50, 4)))
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(4), atol=1e-12)


@pytest.mark.parametrize(
    "module, name, wrong, found",
    [
        (fid, "frechet_distance", lambda *_: 0.5, "FID"),
        (kid, "kernel", lambda x, y: x @ y.T + 1, "KID"),
        (inception_score, "score", lambda logits: 2.0, "Inception Score"),
        (precision_recall, "precision_and_recall", lambda *_: (0.5, 0.5), "Precision"),
    ],
)
def test_a_wrong_metric_is_found(module, name, wrong, found, monkeypatch):
    monkeypatch.setattr(module, name, wrong)
    for checks in (closed_form_checks(), real_image_checks(RandomConv(None, CPU), IMAGES)):
        failed = checked(checks, ok=False)
        if found == "Inception Score" and len(checks) < 9:
            continue  # of other images than all of CIFAR-10 nothing is published
        assert failed
        assert all(what.startswith((found, "Recall")) for what in failed)


def test_real_images_are_compared_with_themselves_and_the_published_score_only_if_complete(monkeypatch):
    checks = real_image_checks(RandomConv(None, CPU), IMAGES)
    assert checked(checks, ok=False) == []
    assert checked(checks, ok=None) == ["Inception Score, 300 images of CIFAR-10"]
    monkeypatch.setattr(metrics, "IMAGES", 300)
    assert checked(real_image_checks(RandomConv(None, CPU), IMAGES), ok=False) == [
        "Inception Score, 300 images of CIFAR-10"
    ]


class Scores(RandomConv):
    """Its ten classes are as sure as it takes for a score."""

    def __call__(self, images):
        seen = super().__call__(images)
        return Features(seen.features, 100 * torch.eye(10).repeat(30, 1))


@pytest.mark.parametrize("published, ok", [(9.97, True), (9.9, False)])
def test_the_published_score_has_a_tolerance_of_a_thousandth(published, ok, monkeypatch):
    monkeypatch.setattr(metrics, "IMAGES", 300)
    first = real_image_checks(Scores(None, CPU), IMAGES)[0]
    monkeypatch.setattr(metrics, "SCORE", float(first.found.split()[0]) * (published / 9.97))
    assert real_image_checks(Scores(None, CPU), IMAGES)[0].ok is ok


def test_extracting_in_batches_misses_no_image(monkeypatch):
    whole = metrics.extract_features(RandomConv(None, CPU), IMAGES)
    monkeypatch.setattr(metrics, "BATCH", 7)
    parts = metrics.extract_features(RandomConv(None, CPU), IMAGES)
    np.testing.assert_allclose(parts.features, whole.features, rtol=1e-6, atol=1e-7)
    assert len(parts.logits) == 300


# --- the command ---------------------------------------------------------------------------------------


@pytest.fixture
def doctor(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def run(*arguments):
        here = ["--workspace", str(tmp_path / "ws"), "--data-dir", str(tmp_path / "data")]
        monkeypatch.setattr(sys, "argv", ["benchmark", "doctor", *map(str, arguments), *here])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_without_files_only_the_arithmetic_is_checked(doctor, tmp_path):
    code, output, error = doctor("--metrics")
    assert code == 2
    assert "KID, zeros and ones" in output
    assert "the arithmetic is right; the extractor was not checked" in error
    assert "datasets fetch inception" in error
    assert "datasets fetch cifar10" in error
    assert list(tmp_path.iterdir()) == []
    code, output, _ = doctor("--metrics", "--json")
    assert code == 2
    assert all(check["ok"] for check in json.loads(output)["checks"])


def test_a_failed_check_is_exit_code_1_also_without_files(doctor, monkeypatch):
    monkeypatch.setattr(fid, "frechet_distance", lambda *_: 0.5)
    code, output, error = doctor("--metrics")
    assert code == 1
    assert "wrong" in output
    assert "2 of 9 checks failed" in error


class Here(RandomConv):
    """Stands in for Inception where all files are here."""

    weights = type("Weights", (), {"prepare": staticmethod(lambda data_dir: data_dir)})


@pytest.mark.parametrize("samples, used", [(None, 300), (150, 150)])
def test_with_files_all_images_are_used_or_as_many_as_requested(samples, used, doctor, monkeypatch):
    monkeypatch.setattr(metrics, "Inception", Here)
    monkeypatch.setattr(metrics, "training_images", lambda *_: IMAGES)
    monkeypatch.setattr(metrics, "missing_inputs", lambda *_: "")
    code, output, error = doctor("--metrics", *(["--samples", samples] if samples else []))
    assert code == 0, error
    assert f"Inception Score, {used} images" in output
    assert "what could be checked is right" in output


def test_images_are_in_the_order_of_the_files_prepared_or_not(tmp_path, monkeypatch):
    from benchmark.store.workspace import Workspace
    from tests.support.examples import example_files

    example_files(metrics.CIFAR10, tmp_path, monkeypatch)
    place = Workspace.at(tmp_path / "ws")
    raw = metrics.training_images(place, tmp_path)
    metrics.CIFAR10.prepare(tmp_path, place.data)
    np.testing.assert_array_equal(metrics.training_images(place, tmp_path / "nowhere"), raw)
    assert metrics.missing_inputs(place, tmp_path).count("datasets fetch") == 1, "only Inception is"


def test_samples_without_metrics_are_refused(doctor):
    code, _, error = doctor("--samples", 200)
    assert code == 2
    assert "--metrics" in error


def test_the_summary():
    right = closed_form_checks()
    assert MetricCheckReport(right, "").summary() == "all is right"
    with pytest.raises(UserError, match="not checked:\nno weights"):
        MetricCheckReport(right, "no weights").summary()
    wrong = [replace(right[0], ok=False), *right[1:]]
    assert "1 of 9 checks failed" in MetricCheckReport(wrong, "no weights").summary()
