"""The measurement of evaluation runs, compares like with like, and tells what it found."""

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
def test_it_measures_both_sides_which_agree(monkeypatch):
    """Images of 75x75 where 299x299 are: as little as the network can look at."""
    monkeypatch.setattr(FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 75)
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda weights, **_: weights)  # they are replaced anyway
    monkeypatch.setattr(Weights, "checked", lambda _, path: path)
    monkeypatch.setattr(evaluation, "BATCH", 5)
    monkeypatch.setattr(Inception, "batch_sizes", {"cpu": 5})
    weights, threads = Inception.weights, torch.get_num_threads()
    quick = ["--images", "20", "--repeats", "1", "--width", "12", "--metrics", "isc"]
    result = evaluation.main(quick)
    assert result["numbers"][OURS] == pytest.approx(result["numbers"][THEIRS], rel=1e-4, abs=1e-6)
    assert result["numbers"][OURS]["isc"] > 1.01, "otherwise the comparison says nothing"
    for part in ("cold", "cached"):
        assert {side: len(values) for side, values in result["seconds"][part].items()} == {OURS: 1, THEIRS: 1}
    assert Inception.weights is weights, "the published weights are back"
    assert torch.get_num_threads() == threads


def test_it_prints_a_table_and_writes_all_numbers(tmp_path, monkeypatch, capsys):
    """The networks are left out: the test above opens them. The end of a FID is real."""
    looked = {"look": {OURS: [1.0, 2.0], THEIRS: [3.0, 3.0]}}
    numbers = {OURS: {"fid": 1.25}, THEIRS: {"fid": 1.5}}
    monkeypatch.setattr(evaluation, "whole_measurements", lambda *_: (dict(looked), numbers))
    result = evaluation.main(["--width", "12", "--repeats", "2", "--json", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(json.dumps(result))
    assert {side: len(values) for side, values in result["seconds"]["end of a FID"].items()} == {
        OURS: 2,
        THEIRS: 2,
        PYTORCH_FID: 2,
    }
    assert result["settings"]["images"] == 256
    assert {"cpu", "packages", "scipy", "torch-fidelity"} <= set(result["environment"])
    said = capsys.readouterr().out
    assert "fid: 1.25, by torch-fidelity 1.5" in said
    assert "2.25 times (1.50 to 3.00)" in said


def test_numbers_that_do_not_agree_are_no_measurement():
    evaluation.must_agree({"fid": 3.0001, "kid": 1e-7}, {"fid": 3.0, "kid": 2e-7})
    for other in ({"fid": 3.1}, {"fid": float("nan")}, {"kid": 3.0}):
        with pytest.raises(AssertionError, match="do not measure the same"):
            evaluation.must_agree({"fid": 3.0}, other)


def test_the_ways_take_turns_and_a_ratio_is_within_a_turn():
    order = []
    ways = {OURS: lambda: order.append("a"), THEIRS: lambda: order.append("b")}
    seconds = evaluation.in_turn(ways, 3)
    assert order == ["a", "b"] * 3
    assert all(len(values) == 3 and min(values) > 0 for values in seconds.values())
    found = evaluation.summary({"cold": {OURS: [1.0, 3.0, 0.5], THEIRS: [2.0, 3.0, 5.0]}})
    assert found["cold"][THEIRS] == {"seconds": [2, 3, 5], "times": [1, 2, 10]}


def test_both_sides_are_shown_the_same_images(tmp_path):
    fake, real = evaluation.pictures(12, 1), evaluation.pictures(12, 2)
    ours = evaluation.Ours(["kid"], fake, real, tmp_path)
    theirs = evaluation.Theirs(["kid"], fake, real, tmp_path)
    assert not np.array_equal(fake, real)
    assert torch.equal(ours.fake, torch.stack([theirs.options["input1"][i] for i in range(12)]))
    assert np.array_equal(ours.prepared.train.images, torch.stack([theirs.options["input2"][i] for i in range(12)]))
    assert ours.protocol.measures["kid"].options["subset_size"] == theirs.options["kid_subset_size"] == 12
