"""The measurements of power iterations and of TensorFlow's Adam, on small settings."""

import json

import pytest
import torch
from torch import nn

from baselines.networks.layers.spectral_norm import spectral_norm_
from perf import adam, spectral_norm


def test_a_converged_estimate_has_no_lag_and_a_changed_weight_has():
    layer = spectral_norm_(nn.Linear(6, 4, bias=False))
    for _ in range(300):
        layer.train()(torch.ones(1, 6))
    torch.testing.assert_close(spectral_norm.sigma_ratios(layer), torch.ones(1))
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    assert spectral_norm.sigma_ratios(layer).item() < 0.95


def test_spectral_norm_measures_lag_and_time_of_every_way(tmp_path, capsys):
    small = ["--width", "2", "--batch", "4", "--lag-from", "2", "--lag-steps", "2", "--turns", "1", "--threads", "1"]
    result = spectral_norm.main([*small, "--json", str(tmp_path / "out.json")])
    assert set(result["lags"]) == set(result["seconds"]) == set(spectral_norm.WAYS)
    assert all(0.5 < lag["product"] < lag["mean"] <= 1 + 1e-6 for lag in result["lags"].values())
    assert json.loads((tmp_path / "out.json").read_text())["lags"] == result["lags"]
    assert spectral_norm.MIMICRY in capsys.readouterr().out


def test_adam_measures_both_rules(capsys):
    result = adam.main(["--turns", "2", "--steps", "1", "--threads", "1"])
    ratios = [o / t for o, t in zip(result["seconds"]["tensorflow"], result["seconds"]["pytorch"], strict=True)]
    assert result["ratios"][0] == pytest.approx(min(ratios))
    assert "time ratio" in capsys.readouterr().out
