"""The parts of the chaos test, without chaos; and the chaos test itself, which takes an hour."""

import os
import re
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
from benchmark.execution.ray.board import MessageBoard
from benchmark.execution.ray.worker import TrialWorker
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace, sample_grid_path
from benchmark.training import checkpoint
from benchmark.trials.job import Progress
from benchmark.trials.runner import RESUMED
from perf.chaos.__main__ import main
from perf.chaos.chaos_run import ChaosReport, ChaosRun
from perf.chaos.comparison import bit_identical, compare_workspaces
from perf.chaos.kills import SHARES, SIGNALS, draw_kills
from perf.chaos.processes import MARK, ROLES, command_line, marked_processes, wait_until_gone, with_role
from perf.chaos.suite import write_suite
from perf.plan import synthetic_record


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_suite(write_suite(tmp_path_factory.mktemp("suite") / "chaos.yaml", seeds=1))


def test_a_schedule_depends_only_on_its_seed_and_covers_all_targets_and_signals():
    kills = list(draw_kills("ray", 30, 0))
    assert kills == list(draw_kills("ray", 30, 0)) != list(draw_kills("ray", 30, 1))
    assert {kill.target for kill in kills} == set(SHARES["ray"])
    assert {kill.signals for kill in kills if kill.target == "driver"} == set(SIGNALS["driver"])
    assert {kill.target for kill in draw_kills("inprocess", 5, 0)} == {"driver"}
    assert all(0 <= value < 1 for kill in kills for value in (kill.moment, kill.pause, kill.choice))


@pytest.fixture
def baseline(tmp_path, suite):
    """A workspace as a finished run leaves it, with synthetic numbers."""
    place, rng = Workspace.at(tmp_path / "baseline"), np.random.default_rng(0)
    for index, spec in enumerate(suite.specs.values()):
        RecordStore(place.results).write(synthetic_record(spec, rng, "", {}))
        state = {"method": {"weight": torch.full((3,), 0.1 + index)}, "average": None}
        checkpoint.save_weights(place.checkpoints / f"{spec.trial_id}.final.pt", state)
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
    state = checkpoint.load_weights(path, torch.device("cpu"))
    state["method"]["weight"][1] = torch.nextafter(state["method"]["weight"][1], torch.tensor(9.0))
    checkpoint.save_weights(path, state)


DAMAGE = {
    "result lost": lambda place, one: RecordStore(place.results).path(one).unlink(),
    "history differs": change_a_loss,
    "final weights": change_a_weight,
    "missing or damaged": lambda place, one: (place.checkpoints / f"{one}.final.pt").write_bytes(b"half"),
    "other bytes": lambda place, one: sample_grid_path(place.samples, one, 100).write_bytes(b"other"),
    "missing: samples": lambda place, one: sample_grid_path(place.samples, one, 100).unlink(),
    "left behind: checkpoints": lambda place, one: (place.checkpoints / one).mkdir(),
    "left behind: results/.": lambda place, one: (place.results / f".{one}.json-0a").touch(),
    "left behind: ray/": lambda place, one: (place.root / "ray" / "20260101-000000").mkdir(parents=True),
}


@pytest.fixture
def copy(baseline, tmp_path):
    """A copy of the baseline, which a test may change."""
    shutil.copytree(baseline.root, tmp_path / "copy")
    return Workspace.at(tmp_path / "copy")


@pytest.mark.parametrize("fault", DAMAGE)
def test_the_comparison_finds(fault, baseline, copy, suite):
    assert not list(compare_workspaces(suite, baseline, copy))
    DAMAGE[fault](copy, next(iter(suite.specs)))
    faults = list(compare_workspaces(suite, baseline, copy))
    assert any(fault in line for line in faults), faults


def test_interruptions_that_a_record_mentions_are_no_difference(baseline, copy, suite):
    store = RecordStore(copy.results)
    record = store.read(next(iter(suite.specs)))
    late = {"started": "2027-01-01T00:00:00+00:00", "attempts": ["the worker died"], "cost": None}
    store.write(record.model_copy(update=late))
    assert not list(compare_workspaces(suite, baseline, copy))


def test_equal_states_are_bit_identical():
    zero = torch.zeros(2)
    assert bit_identical({"a": [1, zero]}, {"a": [1, zero.clone()]})
    assert not bit_identical({"a": [1, zero]}, {"a": [2, zero]})
    assert not bit_identical({"a": zero}, {"a": -zero})
    assert not bit_identical({"a": zero}, {"a": zero.double()})
    assert bit_identical({"a": torch.tensor(float("nan"))}, {"a": torch.tensor(float("nan"))})


def test_a_process_is_found_by_its_mark_although_its_parent_has_ended():
    mark = f"test-{os.getpid()}"
    code = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, MARK: mark}, check=True)
    processes = marked_processes(mark)
    try:
        assert [command_line(process) for process in processes.values()] == ["sleep 60"]
        assert not with_role("raylet", processes.values())
        assert not wait_until_gone(processes, 0.2)
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
    assert wait_until_gone(processes, 10)


@pytest.mark.parametrize(("role", "actor"), [("worker", TrialWorker), ("board", MessageBoard)])
def test_a_role_matches_the_process_name_of_our_actor_only(role, actor):
    """Ray calls the process of an idle actor `ray::Class`, and that of a busy one `ray::Class.method`."""
    for title in (f"ray::{actor.__name__}", f"ray::{actor.__name__}.step"):
        assert [name for name, pattern in ROLES.items() if re.search(pattern, title)] == [role]


@pytest.fixture
def chaos(tmp_path, suite):
    run = ChaosRun(tmp_path / "chaos", suite, tmp_path / "chaos.yaml", "ray", ChaosReport(), None)
    yield run
    run.clear()


def test_the_live_view_shows_which_trials_a_kill_interrupts(chaos, suite):
    output = StringIO()
    view = LiveView(trial_lines(suite, suite.specs), Console(file=output, width=100))
    first, second, third = list(suite.specs)[:3]
    record = synthetic_record(suite.specs[second], np.random.default_rng(0), "", {})
    view.handle(TrialStarted(first))
    view.handle(TrialStarted(second))
    view.handle(Progress(first, 3, 1.0, {}, RESUMED))
    view.handle(TrialFinished(record))
    view.handle(TrialStarted(third))
    view.handle(AttemptFailed(third, "the worker died: started: it"))
    chaos.kill_time = time.time() + 2
    for line in output.getvalue().splitlines(keepends=True):
        chaos._read_line(line)
    assert set(chaos.running) == {first}
    assert (chaos.outcome.attempts, chaos.outcome.retries) == (3, 1)
    assert [trial_id for trial_id, _ in chaos.outcome.lost] == [third]
    checkpoint.Checkpoints(chaos.workspace.checkpoints, first).save({})
    chaos._add_lost_work(first)
    assert chaos.outcome.lost[-1][1] == pytest.approx(2, abs=1.5)
    chaos._read_line("Traceback (most recent call last):\n")
    assert "a traceback" in chaos.outcome.findings[0]


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_random_kills_lose_and_change_nothing(tmp_path):
    figures = main(["--kills", "30", "--inprocess-kills", "6", "--seeds", "1", "--folder", str(tmp_path)])
    assert not figures["findings"], figures["findings"]
    assert figures["kills_total"] >= 36 - sum(figures["missed"].values())
    assert figures["trials_resumed"] > 0
