"""Runs that are stopped, as a user or a cluster does it: real processes, real signals, real Ray."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from benchmark.store import Store
from tests.conftest import SMALL

pytestmark = pytest.mark.long
STEPS = 2500
LONG = {**SMALL["defaults"], "steps": STEPS, "protocol": {**SMALL["defaults"]["protocol"], "evaluations": 1}}
ENDS = 90.0  # seconds: the machine of the tests may be a slow one


@contextmanager
def started(suite: Path, workspace: Path, *options: str) -> Iterator[subprocess.Popen]:
    """`run` in a process group of its own, as a shell starts it."""
    command = [sys.executable, "-m", "benchmark", "run", str(suite), "--workspace", str(workspace), *options]
    command += ["--report-dir", str(workspace.with_name("report"))]
    with workspace.with_suffix(".log").open("a") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def until(condition, seconds: float = ENDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def of_session(run: subprocess.Popen) -> list[psutil.Process]:
    """All processes of a run that still live: whatever their parents, they are of its session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == run.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def histories(workspace: Path) -> dict[str, object]:
    store = Store(workspace / "results")
    return {trial_id: store.get(trial_id).history for trial_id in store.ids()}


def training(workspace: Path) -> bool:
    """Whether a trial says that it trains."""
    return "steps/s" in workspace.with_suffix(".log").read_text()


@pytest.fixture
def suite(small_suite) -> Path:
    return small_suite(defaults=LONG, seeds=[0], resources={"retries": 0})


@pytest.fixture
def undisturbed(suite, tmp_path) -> dict[str, object]:
    with started(suite, tmp_path / "calm", "--runner", "inprocess") as run:
        assert run.wait(300) == 0
    return histories(tmp_path / "calm")


@pytest.mark.parametrize("runner", ["ray", "inprocess"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_keeps_all_work(suite, tmp_path, undisturbed, runner, number):
    place = tmp_path / "ws"
    with started(suite, place, "--runner", runner) as run:
        until(lambda: training(place), 180)
        run.send_signal(number)
        assert run.wait(ENDS) == 130
        until(lambda: not of_session(run), 20)
    said = place.with_suffix(".log").read_text()
    assert "running trials write a checkpoint" in said
    assert "the same command continues" in said
    assert "Traceback" not in said
    assert list((place / "checkpoints").glob("*/*.ckpt"))
    with started(suite, place, "--runner", runner) as run:
        assert run.wait(300) == 0
    assert histories(place) == undisturbed
    records = [Store(place / "results").get(trial_id) for trial_id in undisturbed]
    assert any(event.what == "went on from a checkpoint" for record in records for event in record.events)


@pytest.mark.parametrize("way", ["twice", "killed"])
def test_no_process_is_left(suite, tmp_path, way):
    place = tmp_path / "ws"
    with started(suite, place) as run:
        until(lambda: training(place), 180)
        assert len(of_session(run)) > 5
        if way == "twice":
            run.send_signal(signal.SIGINT)
            time.sleep(0.2)
            run.send_signal(signal.SIGINT)
            assert run.wait(ENDS) == 130
        else:
            run.kill()
            run.wait()
        until(lambda: not of_session(run), 30)
