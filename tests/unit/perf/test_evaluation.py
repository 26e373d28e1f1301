"""The measurement of evaluations: both sides evaluate the same images and agree, and all figures are reported."""

import json

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from benchmark.evaluation.extractors.inception import Inception
from benchmark.evaluation.extractors.weights import Weights
from perf import evaluation
from perf.evaluation import OURS, PYTORCH_FID, THEIRS


@pytest.mark.long
def test_both_sides_are_measured_and_agree(monkeypatch):
    """With inputs of 75x75, the smallest that the network accepts, instead of 299x299."""
    monkeypatch.setattr(FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 75)
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda weights, **_: weights)  # slow, and replaced
    monkeypatch.setattr(Weights, "checked", lambda _, path: path)
    monkeypatch.setattr(evaluation, "BATCH", 5)
    monkeypatch.setattr(Inception, "batch_sizes", {"cpu": 5})
    weights, threads = Inception.weights, torch.get_num_threads()
    quick = ["--images", "20", "--repeats", "1", "--width", "12", "--metrics", "isc"]
    result = evaluation.main(quick)
    assert result["values"][OURS] == pytest.approx(result["values"][THEIRS], rel=1e-4, abs=1e-6)
    assert result["values"][OURS]["isc"] > 1.01, "otherwise the comparison says nothing"
    for part in ("cold", "cached"):
        assert {side: len(values) for side, values in result["seconds"][part].items()} == {OURS: 1, THEIRS: 1}
    assert Inception.weights is weights, "the published weights are back"
    assert torch.get_num_threads() == threads


def test_main_prints_a_table_and_writes_all_numbers(tmp_path, monkeypatch, capsys):
    """Without the networks, which the test above uses, but with real Fréchet distances."""
    seconds = {"feature pass": {OURS: [1.0, 2.0], THEIRS: [3.0, 3.0]}}
    values = {OURS: {"fid": 1.25}, THEIRS: {"fid": 1.5}}
    monkeypatch.setattr(evaluation, "time_evaluations", lambda *_: (dict(seconds), values))
    result = evaluation.main(["--width", "12", "--repeats", "2", "--json", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(json.dumps(result))
    assert {side: len(values) for side, values in result["seconds"]["end of a FID"].items()} == {
        OURS: 2,
        THEIRS: 2,
        PYTORCH_FID: 2,
    }
    assert result["settings"]["images"] == 256
    assert {"cpu", "packages", "scipy", "torch-fidelity"} <= set(result["environment"])
    output = capsys.readouterr().out
    assert "fid: 1.25, torch-fidelity 1.5" in output
    assert "2.25 times (1.50 to 3.00)" in output


def test_values_that_differ_are_an_error():
    evaluation.check_agreement({"fid": 3.0001, "kid": 1e-7}, {"fid": 3.0, "kid": 2e-7})
    for other in ({"fid": 3.1}, {"fid": float("nan")}, {"kid": 3.0}):
        with pytest.raises(AssertionError, match="measure different values"):
            evaluation.check_agreement({"fid": 3.0}, other)


def test_sides_alternate_and_speed_ups_are_taken_within_a_repeat():
    order = []
    sides = {OURS: lambda: order.append("a"), THEIRS: lambda: order.append("b")}
    seconds = evaluation.time_alternating(sides, 3)
    assert order == ["a", "b"] * 3
    assert all(len(values) == 3 and min(values) > 0 for values in seconds.values())
    summary = evaluation.summarise({"cold": {OURS: [1.0, 3.0, 0.5], THEIRS: [2.0, 3.0, 5.0]}})
    assert summary["cold"][THEIRS] == {"seconds": [2, 3, 5], "speed_up": [1, 2, 10]}


def test_both_sides_evaluate_the_same_images(tmp_path):
    fake, real = evaluation.synthetic_images(12, 1), evaluation.synthetic_images(12, 2)
    ours = evaluation.OurEvaluation(["kid"], fake, real, tmp_path)
    theirs = evaluation.TorchFidelity(["kid"], fake, real, tmp_path)
    assert not np.array_equal(fake, real)
    assert torch.equal(ours.fake, torch.stack([theirs.options["input1"][i] for i in range(12)]))
    assert np.array_equal(ours.prepared.train.images, torch.stack([theirs.options["input2"][i] for i in range(12)]))
    assert ours.protocol.measures["kid"].options["subset_size"] == theirs.options["kid_subset_size"] == 12
