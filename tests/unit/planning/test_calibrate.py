"""Short timings: their keys, failures, storage and hardware."""

import json
import os
import signal

import pytest

from benchmark.cli import app
from benchmark.config.suite import load_suite
from benchmark.planning import calibrate as calibrating
from benchmark.planning.calibrate import calibrate, in_subprocess, seconds_per_call, time_training
from benchmark.planning.cost_keys import FeatureCostKey, feature_passes, training_cost_key
from benchmark.planning.plan import make_plan
from benchmark.planning.timings import Calibration, Timing
from benchmark.store.workspace import Workspace
from tests.conftest import SMALL

PROTOCOL = {"measures": {"modes": {"n_fake": 100}}, "evaluations": 2, "sample_batch": 64}
FEATURES = FeatureCostKey(extractor="digits", codec="none", shape=(3, 8, 8))


@pytest.fixture
def suite(small_suite):
    return load_suite(small_suite(defaults={**SMALL["defaults"], "protocol": PROTOCOL}))


@pytest.fixture
def workspace(tmp_path):
    return Workspace.at(tmp_path / "ws")


def main(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["benchmark", *map(str, arguments)])
    try:
        app.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_every_cost_key_is_timed_once_in_its_own_process(suite, workspace, tmp_path, caplog):
    plan = make_plan(suite, workspace, tmp_path)
    assert plan.estimate.wall_seconds is None
    assert len(plan.estimate.untimed_training) == 2  # methods; seeds share a kind
    assert [look.extractor for look, _ in plan.estimate.untimed_features] == ["digits"]
    with caplog.at_level("INFO", "benchmark"):
        calibrate(plan, tmp_path)
    assert [line[:5] for line in caplog.messages] == ["[1/3]", "[2/3]", "[3/3]"]
    again = make_plan(suite, workspace, tmp_path)
    assert not again.estimate.untimed_training
    assert not again.estimate.untimed_features
    assert again.estimate.wall_seconds > 0
    assert again.estimate.source == "calibration"
    assert (
        50 < again.estimate.peak_memory_mib < 5000
    )  # torch alone is more than the one, tiny networks less than the other
    caplog.clear()
    with caplog.at_level("INFO", "benchmark"):
        calibrate(again, tmp_path)
    assert not caplog.messages


def test_a_failed_timing_is_reported_and_tried_again(suite, workspace, tmp_path, monkeypatch, caplog):
    real = calibrating.in_subprocess

    def some(task, *arguments):
        if task is time_training and arguments[0].method == "gan":
            return real(os._exit, 3)
        return Timing(kind={}, seconds=0.01, sample_seconds=0.001, peak_memory_mib=100)

    monkeypatch.setattr(calibrating, "in_subprocess", some)
    with caplog.at_level("INFO", "benchmark"):
        calibrate(make_plan(suite, workspace, tmp_path), tmp_path)
    assert "gan on mlp, stacked_digits, batch 8: the process died (exit code 3)" in caplog.messages[0]
    assert len(caplog.messages) == 3
    plan = make_plan(suite, workspace, tmp_path)
    gan, ssgan = plan.estimate.cells
    assert (gan.trial.seconds, gan.trial.problem) == (None, "the process died (exit code 3)")
    assert ssgan.trial.seconds > 0
    assert plan.estimate.wall_seconds is None
    assert [spec.method for _, spec in plan.estimate.untimed_training] == ["gan"]


def test_a_killed_process_did_not_fit_into_memory():
    assert "did not fit into memory" in in_subprocess(signal.raise_signal, signal.SIGKILL).error


def test_an_exception_becomes_the_error_of_a_timing(suite):
    broken = next(iter(suite.specs.values())).model_copy(update={"network": "mpl"})
    assert "unknown network 'mpl'; did you mean 'mlp'" in in_subprocess(time_training, broken, "cpu", 1).error


def test_a_mean_excludes_warm_up_unless_the_first_call_is_slow(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("benchmark.planning.calibrate.time.perf_counter", lambda: now[0])
    durations = iter([9.0, 5.0, 0.5, 1.0, 0.6, 99.0])

    def play():
        now[0] += next(durations)

    assert seconds_per_call(play, lambda: None) == pytest.approx((0.5 + 1.0 + 0.6) / 3)
    assert seconds_per_call(play, lambda: None) == 99


def test_timings_of_other_machines_are_kept(tmp_path):
    path = tmp_path / "calibration.json"
    here, there = {"cpu": "a", "threads": 1}, {"cpu": "a", "threads": 2}
    Calibration.load(path, here).save(FEATURES, Timing(kind={}, seconds=1))
    assert Calibration.load(path, there).get(FEATURES) is None
    Calibration.load(path, there).save(FEATURES, Timing(kind={}, seconds=2))
    assert Calibration.load(path, here).get(FEATURES).seconds == 1
    assert Calibration.load(path, there).get(FEATURES).seconds == 2
    assert [machine["hardware"] for machine in json.loads(path.read_text())["machines"].values()] == [here, there]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 0, "machines": {}}', '{"version": 1, "machines": {"x": {"seconds": 1}}}']
)
def test_a_damaged_calibration_counts_as_empty(tmp_path, content):
    path = tmp_path / "calibration.json"
    path.write_text(content)
    calibration = Calibration.load(path, {"cpu": "a"})
    assert calibration.timings == {}
    calibration.save(FEATURES, Timing(kind={}, seconds=1))
    assert Calibration.load(path, {"cpu": "a"}).get(FEATURES).seconds == 1


def test_errors_read_from_a_calibration_are_printable():
    timing = Timing.model_validate_json('{"kind": {}, "error": "no\\u0000 \\u001b[2Jroom"}')
    assert timing.error == "no\\x00 \\x1b[2Jroom"


def test_a_cost_key_depends_only_on_what_costs_time(suite):
    spec = next(iter(suite.specs.values()))
    same = {"seed": 7, "steps": 999, "optimizer": spec.optimizer.model_copy(update={"lr": 1.0})}
    other = {"batch_size": 9, "discriminator_steps": 2, "method": "msgan", "network_options": {"generator_width": 1}}
    for key, value in same.items():
        assert training_cost_key(spec.model_copy(update={key: value})).key == training_cost_key(spec).key
    keys = {training_cost_key(spec.model_copy(update={key: value})).key for key, value in other.items()}
    assert len(keys | {training_cost_key(spec).key}) == 5
    assert feature_passes(spec) == {FEATURES: 100}


def test_measures_with_equal_codec_and_extractor_share_a_feature_pass(suite):
    spec = next(iter(suite.specs.values()))
    modes = spec.protocol.measures["modes"]
    measures = {"modes": modes, "modes_more": modes.model_copy(update={"n_fake": 300})}
    measures["modes_jpeg"] = modes.model_copy(update={"codec": "jpeg"})
    protocol = spec.protocol.model_copy(update={"measures": measures})
    passes = feature_passes(spec.model_copy(update={"protocol": protocol}))
    assert passes == {FEATURES: 300, FEATURES.model_copy(update={"codec": "jpeg"}): 100}


def test_ctrl_c_keeps_what_was_timed(suite, workspace, tmp_path, monkeypatch, capsys):
    answers = iter([Timing(kind={}, seconds=0.01, sample_seconds=0.001)])

    def some(task, *arguments):
        try:
            return next(answers)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(calibrating, "in_subprocess", some)
    code, _, errors = main(monkeypatch, capsys, "plan", suite.path, "--workspace", workspace.root, "--calibrate")
    assert code == 130
    assert "finished timings are kept" in errors
    assert len(make_plan(suite, workspace, tmp_path).estimate.untimed_training) == 1


def test_plan_asks_for_a_calibration_and_then_prints_hours_and_memory(suite, workspace, monkeypatch, capsys):
    places = ("--workspace", workspace.root)
    code, output, _ = main(monkeypatch, capsys, "plan", suite.path, *places)
    assert code == 0
    assert "estimated time: not known yet" in output
    assert "add --calibrate (about 25 s)" in output
    assert not workspace.root.exists()
    timing = Timing(kind={}, seconds=10, sample_seconds=0.01, peak_memory_mib=1000)
    monkeypatch.setattr(calibrating, "in_subprocess", lambda *_: timing)
    code, output, errors = main(monkeypatch, capsys, "plan", suite.path, *places, "--calibrate", "--json")
    plan = json.loads(output)
    assert (code, plan["todo"], plan["estimate"]["source"]) == (0, 4, "calibration")
    # 6 steps of 10 s, and twice: 128 samples generated in 0.01 s each, and 100 of them in feature passes of 10 s each
    trial_seconds = 6 * 10 + 2 * (128 * 0.01 + 100 * 10)
    assert plan["estimate"]["device_seconds"] == pytest.approx(4 * trial_seconds)
    assert plan["cell_states"][0]["each"]["seconds"] == pytest.approx(trial_seconds)
    assert "[3/3]" in errors
    code, output, _ = main(monkeypatch, capsys, "plan", suite.path, *places)
    assert "34:23" in output  # 2063 s each
    assert "\x1b[" not in output
    assert "from short timings" in output
