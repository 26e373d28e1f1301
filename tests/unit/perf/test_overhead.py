"""The measurement of a run's overhead: every second is in exactly one part, and the bare loop does the same updates."""

import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from benchmark.config.suite import load_suite
from benchmark.report import render
from benchmark.training.trainer import Trainer
from perf import overhead
from tests.support.examples import trainer_of

pytestmark = pytest.mark.usefixtures("untrained_digits")


def record(train, evaluation):
    cost = SimpleNamespace(train_seconds=train, evaluation_seconds=evaluation)
    return SimpleNamespace(status="finished", cost=cost)


def test_a_runners_time_is_split_into_trials_and_the_time_between_them():
    arrived = [(115.0, record(4, 1)), (122.0, record(5, 1))]
    parts = overhead.split_runner_time(arrived, start=100.0, end=125.0)
    assert parts == {"trials": 11, overhead.START: 10, overhead.BETWEEN: 1, overhead.STOP: 3}
    assert sum(parts.values()) == 25


def test_a_failed_trial_is_an_error():
    failed = SimpleNamespace(status="failed", error="out of memory", spec=SimpleNamespace(name="gan-1"))
    with pytest.raises(AssertionError, match="gan-1: out of memory"):
        overhead.own_seconds(failed)


def test_parts_add_up_to_the_wall_time_and_shares_are_relative_to_the_trials():
    parts = {"all": 30.0, "report": 2.0, "trials": 20.0, overhead.START: 3.0, overhead.STOP: 1.0}
    parts = overhead.complete_parts(parts, 35.0)
    assert parts["imports and process exit"] == 5
    assert parts["everything else"] == 4
    assert sum(seconds for part, seconds in parts.items() if part != "total") == parts["total"] == 35
    assert overhead.overhead_shares(parts) == {"overhead": 15 / 20, "overhead without the runner": 11 / 20}


def test_a_run_is_measured_from_the_plan_to_the_report(small_suite, tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    rendered = []
    monkeypatch.setattr(render, "render", lambda _, records, folder, *__: rendered.append(records) or folder / "page")
    parts = overhead.time_run("inprocess", small_suite(seeds=[0]), root)
    inner = sum(seconds for part, seconds in parts.items() if part != "all")
    assert {"suite and plan", "data and evaluation networks", "trials", "report", overhead.START} <= set(parts)
    assert "waiting for MLflow" not in parts, "the run is not mirrored"
    assert 0 < inner <= parts["all"]
    assert [len(records) for records in rendered] == [2]
    assert overhead.suite_run.make_runner.__name__ != "<lambda>", "nothing stays patched"


def test_the_bare_loop_computes_the_same_losses_and_updates(small_suite):
    """With the same random numbers, and without a schedule, both reach the same weights."""
    spec = next(iter(load_suite(small_suite()).specs.values()))
    ours, other = trainer_of(spec), trainer_of(spec)
    before = {name: value.clone() for name, value in other.method.state_dict().items()}
    loop = overhead.bare_loop(other, copy_generators(ours))
    for _ in range(3):
        next(loop)
    for _ in ours.train_until(3):
        pass
    after = other.method.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in after)
    for name, value in ours.method.state_dict().items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-6)


def copy_generators(trainer: Trainer):
    return tuple(torch.Generator().set_state(rng.get_state()) for rng in (trainer.rng, trainer.data_rng))


def test_main_prints_tables_and_writes_all_numbers(small_suite, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(overhead, "write_suite", lambda path, *_: small_suite().rename(path))
    monkeypatch.setattr(
        overhead,
        "time_run_in_child",
        lambda *_: {"trials": 10.0, overhead.START: 1.0, overhead.STOP: 0.5, "total": 13.0},
    )
    threads = torch.get_num_threads()
    result = overhead.main(["--block", "1", "--repeats", "2", "--json", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(json.dumps(result))
    assert set(result["step_ratios"]) == {"gan", "ssgan"}
    spreads = [*result["step_ratios"].values(), *result["single_parts"].values()]
    assert all(0 < low <= high for spread in spreads for low, high in pairwise(spread))
    assert result["shares"]["ray"]["overhead"] == pytest.approx(0.3)
    output = capsys.readouterr().out
    assert "30.0" in output
    assert "compared with a bare loop" in output
    assert torch.get_num_threads() == threads


def test_the_suite_holds_the_quickstarts_digits_with_other_steps_and_seeds(tmp_path):
    overhead.write_suite(tmp_path / "suite.yaml", 7, 2)
    suite, quickstart = load_suite(tmp_path / "suite.yaml"), load_suite(overhead.QUICKSTART)
    assert {spec.steps for spec in suite.specs.values()} == {7}
    digits = [cell for cell in quickstart.cells if cell.specs[0].dataset == "stacked_digits"]
    assert [cell.specs[0].method for cell in suite.cells] == [cell.specs[0].method for cell in digits]
    assert len(suite.specs) == 2 * len(digits)
