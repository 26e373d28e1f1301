"""The storm's own parts, without weather; and the storm itself, which takes an hour."""

import os
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmark.config.suite import load_suite
from benchmark.execution.events import AttemptFailed, TrialFinished, TrialStarted
from benchmark.execution.live_view import LiveView, trial_lines
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace, sample_grid_path
from benchmark.training import checkpoint
from benchmark.trials.job import Progress
from perf.plan import made_up
from perf.storm.__main__ import main
from perf.storm.comparison import differences, same
from perf.storm.kills import SHARES, WAYS, schedule
from perf.storm.processes import MARK, gone, marked, named, of_role
from perf.storm.suite import write_suite
from perf.storm.weather import Storm, Told


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_suite(write_suite(tmp_path_factory.mktemp("suite") / "storm.yaml", seeds=1))


def test_a_schedule_is_of_its_seed_alone_and_hits_everything_in_every_way():
    kills = list(schedule("ray", 30, 0))
    assert kills == list(schedule("ray", 30, 0)) != list(schedule("ray", 30, 1))
    assert {kill.target for kill in kills} == set(SHARES["ray"])
    assert {kill.signals for kill in kills if kill.target == "driver"} == set(WAYS["driver"])
    assert {kill.target for kill in schedule("inprocess", 5, 0)} == {"driver"}
    assert all(0 <= value < 1 for kill in kills for value in (kill.moment, kill.later, kill.choice))


@pytest.fixture
def calm(tmp_path, suite):
    """A workspace as a finished run leaves it, with made-up numbers."""
    place, rng = Workspace.at(tmp_path / "calm"), np.random.default_rng(0)
    for index, spec in enumerate(suite.specs.values()):
        RecordStore(place.results).write(made_up(spec, rng, "", {}))
        state = {"method": {"weight": torch.full((3,), 0.1 + index)}, "average": None}
        checkpoint.save(place.checkpoints / f"{spec.trial_id}.final.pt", state)
        sample_grid_path(place.samples, spec.trial_id, 100).parent.mkdir(parents=True)
        sample_grid_path(place.samples, spec.trial_id, 100).write_bytes(b"png")
    return place


def change_a_loss(place, trial_id):
    record = RecordStore(place.results).read(trial_id)
    last = record.history[-1]
    losses = last.losses | {"generator/task": float(np.nextafter(last.losses["generator/task"], 9))}
    history = [*record.history[:-1], last.model_copy(update={"losses": losses})]
    RecordStore(place.results).write(record.model_copy(update={"history": history}))


def change_a_weight(place, trial_id):
    path = place.checkpoints / f"{trial_id}.final.pt"
    state = checkpoint.load(path, torch.device("cpu"))
    state["method"]["weight"][1] = torch.nextafter(state["method"]["weight"][1], torch.tensor(9.0))
    checkpoint.save(path, state)


DAMAGE = {
    "result lost": lambda place, one: RecordStore(place.results).path(one).unlink(),
    "history differs": change_a_loss,
    "final weights": change_a_weight,
    "missing or damaged": lambda place, one: (place.checkpoints / f"{one}.final.pt").write_bytes(b"half"),
    "other bytes": lambda place, one: sample_grid_path(place.samples, one, 100).write_bytes(b"other"),
    "not there": lambda place, one: sample_grid_path(place.samples, one, 100).unlink(),
    "left behind: checkpoints": lambda place, one: (place.checkpoints / one).mkdir(),
    "left behind: results/.": lambda place, one: (place.results / f".{one}.json-0a").touch(),
    "left behind: ray/": lambda place, one: (place.root / "ray" / "20260101-000000").mkdir(parents=True),
}


@pytest.mark.parametrize("told", DAMAGE)
def test_the_comparison_sees(told, calm, suite, tmp_path):
    shutil.copytree(calm.root, tmp_path / "storm")
    storm = Workspace.at(tmp_path / "storm")
    assert not list(differences(suite, calm, storm))
    DAMAGE[told](storm, next(iter(suite.specs)))
    found = list(differences(suite, calm, storm))
    assert any(told in line for line in found), found


def test_how_a_result_came_about_makes_no_difference(calm, suite, tmp_path):
    shutil.copytree(calm.root, tmp_path / "storm")
    storm, one = Workspace.at(tmp_path / "storm"), next(iter(suite.specs))
    record = RecordStore(storm.results).read(one)
    late = {"started": "2027-01-01T00:00:00+00:00", "attempts": ["the worker died"], "cost": None}
    RecordStore(storm.results).write(record.model_copy(update=late))
    assert not list(differences(suite, calm, storm))


def test_states_are_the_same_only_to_the_bit():
    zero = torch.zeros(2)
    assert same({"a": [1, zero]}, {"a": [1, zero.clone()]})
    assert not same({"a": [1, zero]}, {"a": [2, zero]})
    assert not same({"a": zero}, {"a": -zero})
    assert not same({"a": zero}, {"a": zero.double()})
    assert same({"a": torch.tensor(float("nan"))}, {"a": torch.tensor(float("nan"))})


def test_a_process_is_known_by_its_mark_whoever_its_parent_is():
    mark = f"test-{os.getpid()}"
    code = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, MARK: mark}, check=True)
    found = marked(mark)
    try:
        assert [named(one) for one in found.values()] == ["sleep 60"]
        assert not of_role("raylet", found.values())
        assert not gone(found, 0.2)
    finally:
        for pid in found:
            os.kill(pid, signal.SIGKILL)
    assert gone(found, 10)


@pytest.fixture
def storm(tmp_path, suite):
    made = Storm(tmp_path / "storm", suite, tmp_path / "storm.yaml", "ray", Told(), None)
    yield made
    made.clear()


def test_the_view_of_a_run_tells_which_trials_a_kill_interrupts(storm, suite):
    said = StringIO()
    view = LiveView(trial_lines(suite, suite.specs), Console(file=said, width=100))
    first, second, third = list(suite.specs)[:3]
    records = {one: made_up(suite.specs[one], np.random.default_rng(0), "", {}) for one in (second, third)}
    view.handle(TrialStarted(first))
    view.handle(TrialStarted(second))
    view.handle(Progress(first, 3, 1.0, {}, "went on from a checkpoint"))
    view.handle(TrialFinished(records[second]))
    view.handle(TrialStarted(third))
    view.handle(AttemptFailed(third, "the worker died: started: it"))
    storm.struck = time.time() + 2
    for line in said.getvalue().splitlines(keepends=True):
        storm._heard(line)
    assert set(storm.running) == {first}
    assert (storm.told.attempts, storm.told.tried_again) == (3, 1)
    assert [one for one, _ in storm.told.lost] == [third]
    checkpoint.Checkpoints(storm.workspace.checkpoints, first).save({})
    storm._lost(first)
    assert storm.told.lost[-1][1] == pytest.approx(2, abs=1.5)
    storm._heard("Traceback (most recent call last):\n")
    assert "a traceback" in storm.told.findings[0]


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_nothing_is_lost_in_a_storm(tmp_path):
    found = main(["--kills", "30", "--inprocess-kills", "6", "--seeds", "1", "--folder", str(tmp_path)])
    assert not found["findings"], found["findings"]
    assert found["kills_in_all"] >= 36 - sum(found["missed"].values())
    assert found["trials_resumed"] > 0
