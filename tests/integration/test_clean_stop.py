"""Runs that a user or a cluster stops, with real processes, real signals and real Ray."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmark.execution.ray.failures import PREEMPTED
from tests.support.runs import (
    LONG,
    numbers_of,
    output_of,
    records_of,
    started,
    trials_started,
    undisturbed_numbers,
    wait_until,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


def processes_of(run: subprocess.Popen) -> list[psutil.Process]:
    """All living processes of a run: those of its session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == run.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def trainer_of(run: subprocess.Popen) -> psutil.Process:
    """A worker that trains."""
    return next(process for process in processes_of(run) if ".train" in " ".join(process.cmdline()))


@pytest.fixture
def suite(small_suite) -> Path:
    return small_suite(defaults=LONG, seeds=[0], resources={"retries": 0})


@pytest.mark.parametrize("runner", ["ray", "inprocess"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_after_one_signal_no_work_is_lost(suite, tmp_path, runner, number):
    workspace = tmp_path / "ws"
    with started(suite, workspace, "--runner", runner) as run:
        wait_until(trials_started(workspace))
        time.sleep(2)
        if number == signal.SIGTERM:  # schedulers signal all processes, `timeout` the command twice
            for process in processes_of(run):
                process.send_signal(number)
        os.killpg(run.pid, number)  # terminals signal the group in front of them
        assert run.wait(120) == 128 + number
        wait_until(lambda: not processes_of(run), 20)
    assert "running trials write a checkpoint" in output_of(workspace)
    assert "the same command continues" in output_of(workspace)
    assert "Traceback" not in output_of(workspace)
    assert list((workspace / "checkpoints").glob("*/*.ckpt"))
    with started(suite, workspace, "--runner", runner) as run:
        assert run.wait(600) == 0, output_of(workspace)
    assert numbers_of(workspace) == undisturbed_numbers(suite, tmp_path / "calm")
    events = [event.what for record in records_of(workspace).values() for event in record.events]
    assert "resumed from a checkpoint" in events


@pytest.mark.parametrize("runner", ["ray", "inprocess"])
def test_a_reader_that_goes_away_stops_the_run(suite, tmp_path, runner):
    workspace = tmp_path / "ws"
    command = [sys.executable, "-m", "benchmark", "run", str(suite), "--workspace", str(workspace), "--runner", runner]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    assert run.stdout
    assert any(": started" in line for line in run.stdout)
    run.stdout.close()  # as `head` does; the next line that the run prints finds no reader
    assert run.wait(240) == 128 + signal.SIGPIPE
    assert list((workspace / "checkpoints").glob("*/*.ckpt"))
    wait_until(lambda: not processes_of(run), 20)


@pytest.mark.parametrize("way", ["ended", "twice", "killed"])
def test_no_process_is_left(suite, tmp_path, way):
    workspace = tmp_path / "ws"
    with started(suite, workspace) as run:
        wait_until(trials_started(workspace))
        assert len(processes_of(run)) > 5
        if way == "killed":
            run.kill()
            run.wait()
        elif way == "twice":
            run.send_signal(signal.SIGINT)
            time.sleep(0.5)
            run.send_signal(signal.SIGINT)
            assert run.wait(60) == 130
        else:
            assert run.wait(600) == 0
        wait_until(lambda: not processes_of(run), 30)


def test_a_dead_worker_costs_an_attempt_and_changes_no_number(tmp_path, small_suite):
    suite, workspace = small_suite(defaults=LONG, seeds=[0]), tmp_path / "ws"
    with started(suite, workspace) as run:
        wait_until(trials_started(workspace))
        time.sleep(1)
        trainer_of(run).kill()
        assert run.wait(600) == 0, output_of(workspace)
    assert "failed, will be tried again from its checkpoint: the worker died" in output_of(workspace)
    assert sum(len(record.attempts) for record in records_of(workspace).values()) == 1
    assert numbers_of(workspace) == undisturbed_numbers(suite, tmp_path / "calm")


def test_a_preempted_worker_writes_a_checkpoint(suite, tmp_path):
    workspace = tmp_path / "ws"
    with started(suite, workspace) as run:  # `retries: 0`: being taken away is no failure
        wait_until(trials_started(workspace))
        time.sleep(1)
        trainer_of(run).terminate()
        assert run.wait(600) == 0, output_of(workspace)
    assert PREEMPTED in output_of(workspace)
    moved = [record for record in records_of(workspace).values() if record.attempts]
    assert [record.attempts for record in moved] == [[PREEMPTED]]
    assert "resumed from a checkpoint" in [event.what for event in moved[0].events]
    assert numbers_of(workspace) == undisturbed_numbers(suite, tmp_path / "calm")
