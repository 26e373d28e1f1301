"""Two runs on one workspace: each trial is trained once, dead runs are taken over, and no clocks are compared."""

import json
import logging
import os
import signal
import time
from dataclasses import asdict, replace

import pytest

from benchmark.execution import work_sharing
from benchmark.store import trial_claims
from benchmark.store.trial_claims import STALE_SECONDS, RunIdentity, TrialClaims
from benchmark.trials import runner
from tests.support.runs import suite_run

A, B = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "claims"


def elsewhere(folder, **fields):
    """The claims of a run on another machine."""
    made = TrialClaims(folder)
    made.run = replace(made.run, place="another boot", host="node7", **fields)
    return made


def test_the_first_run_to_claim_a_trial_holds_it(folder):
    one, other = TrialClaims(folder), TrialClaims(folder)
    assert one.acquire(A)
    assert not other.acquire(A)
    assert other.acquire(B)
    assert other.owner(A) == one.run
    assert one.owner(A) is None
    assert one.acquire(A), "again, for another attempt"
    one.release(A)
    assert other.acquire(A)


def test_a_run_releases_only_its_own_claims(folder):
    one, other = TrialClaims(folder), TrialClaims(folder)
    one.acquire(A)
    other.release(A)
    assert not other.acquire(A)


def test_a_finished_run_leaves_no_files(folder):
    with TrialClaims(folder).heartbeating() as made:
        made.acquire(A)
        made.acquire(B)
        assert len(list(folder.glob("*.claim"))) == 2
    assert not folder.exists()


def test_a_dead_process_of_this_machine_loses_its_claims(folder):
    child = os.fork()
    if child == 0:
        TrialClaims(folder).acquire(A)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # and it stays a zombie
    assert list(folder.glob("*.claim"))
    assert TrialClaims(folder).acquire(A), "a zombie is dead too"
    os.waitpid(child, 0)


def test_a_process_id_that_is_used_again_is_another_process(folder):
    one = TrialClaims(folder)
    one.run = replace(one.run, name="before", born="1")
    one.acquire(A)
    assert TrialClaims(folder).acquire(A)


def test_claims_of_dead_runs_are_removed(folder):
    dead = TrialClaims(folder)
    dead.run = replace(dead.run, name="dead", born="1")
    dead.acquire(A)
    with TrialClaims(folder).heartbeating():
        assert not list(folder.glob("*.claim"))


def test_pulses_of_dead_processes_of_this_machine_are_removed(folder):
    child = os.fork()
    if child == 0:
        with TrialClaims(folder).heartbeating():
            while not list(folder.glob("*.pulse")):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (dead,) = folder.glob("*.pulse")
    there, broken = folder / f"{elsewhere(folder).run.name}.pulse", folder / "broken.pulse"
    there.write_bytes(dead.read_bytes().replace(json.dumps(TrialClaims(folder).run.place).encode(), b'"another boot"'))
    broken.write_text('{"name": "br')
    with TrialClaims(folder).heartbeating() as living:
        own = folder / f"{living.run.name}.pulse"
        while not own.exists():
            time.sleep(0.01)
        TrialClaims(folder).remove_dead()
        assert set(folder.iterdir()) == {own, there, broken}
    there.unlink()
    broken.unlink()
    TrialClaims(folder).remove_dead()
    assert not folder.exists()


@pytest.fixture
def clock(monkeypatch):
    now = [1e6]
    monkeypatch.setattr(trial_claims, "monotonic", lambda: now[0])
    return now


def test_a_remote_run_is_alive_while_its_pulse_changes(folder, clock):
    there, here = elsewhere(folder), TrialClaims(folder)
    there.acquire(A)
    pulse = folder / f"{there.run.name}.pulse"
    for beat in range(10):
        pulse.write_text(str(beat))
        os.utime(pulse, (beat * 1e9 % 7e8,) * 2)  # their clock says anything
        assert not here.acquire(A)
        clock[0] += STALE_SECONDS - 1
    assert not here.acquire(A)
    clock[0] += 2
    assert here.acquire(A)
    assert not there.acquire(A)


def test_a_remote_run_without_a_pulse_is_dead_after_a_wait(folder, clock):
    elsewhere(folder).acquire(A)
    here = TrialClaims(folder)
    assert not here.acquire(A)
    clock[0] += STALE_SECONDS
    assert here.acquire(A)


def test_a_damaged_claim_holds_until_it_is_stale(folder, clock):
    folder.mkdir()
    (folder / f"{A}.claim").write_bytes(json.dumps(asdict(RunIdentity.this())).encode()[:20])
    here = TrialClaims(folder)
    assert not here.acquire(A)
    clock[0] += STALE_SECONDS
    assert here.acquire(A)


def test_only_one_of_two_runs_takes_over_a_dead_claim(folder, clock):
    elsewhere(folder).acquire(A)
    one, other = TrialClaims(folder), TrialClaims(folder)
    dead = trial_claims._read_identity(folder / f"{A}.claim")
    assert not one.acquire(A)
    clock[0] += STALE_SECONDS
    assert one.acquire(A)
    other._remove_claim(A, dead)  # it had looked before the first one took over
    assert other.owner(A) == one.run
    assert not other.acquire(A)


def test_a_run_that_cannot_write_claims_trains_without(tmp_path):
    (tmp_path / "claims").write_text("a file")
    made = TrialClaims(tmp_path / "claims")
    with made.heartbeating():
        assert made.acquire(A)
    assert made.write_error in ("Not a directory", "File exists")


# --- two real runs -------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path, small_suite, monkeypatch, untrained_digits):
    """Starts a run of the small suite in a process of its own, which begins when `ready` of them have planned."""
    monkeypatch.setattr(work_sharing, "POLL_SECONDS", 0.1)
    real = runner.run_trial

    def noted(job, report):
        with (tmp_path / "trained").open("a") as file:
            file.write(f"{job.spec.trial_id}\n")
        time.sleep(0.2)  # so that the other one gets some too
        return real(job, report)

    monkeypatch.setattr(runner, "run_trial", noted)
    path = small_suite()

    def begin(name, ready):
        child = os.fork()
        if child:
            return child
        try:
            logger = logging.getLogger("benchmark")
            logger.setLevel(logging.INFO)
            logger.addHandler(logging.FileHandler(tmp_path / f"{name}.txt"))
            run = suite_run(path, tmp_path)
            plan = run.plan()
            (tmp_path / f"{name}.ready").touch()
            while len(list(tmp_path.glob("*.ready"))) < ready:
                time.sleep(0.01)
            records = run.run("inprocess", plan)
            os._exit(0 if [record.status for record in records.values()] == ["finished"] * 4 else 1)
        finally:
            os._exit(2)

    return begin


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def trained(tmp_path):
    return (tmp_path / "trained").read_text().split() if (tmp_path / "trained").exists() else []


def test_two_concurrent_runs_train_every_trial_once_and_both_report_all(tmp_path, start):
    assert list(map(ended, [start("one", 2), start("other", 2)])) == [0, 0]
    assert len(trained(tmp_path)) == len(set(trained(tmp_path))) == 4
    told = [(tmp_path / f"{name}.txt").read_text() for name in ("one", "other")]
    assert any("another run is at work here (pid" in text for text in told)
    assert not (tmp_path / "ws" / "claims").exists()


def test_trials_of_a_killed_run_are_taken_over(tmp_path, start):
    one = start("one", 1)
    while not trained(tmp_path):
        time.sleep(0.01)
    os.kill(one, signal.SIGSTOP)  # it has a trial, and lives
    other = start("other", 1)
    while "waiting for" not in said(tmp_path, "other"):
        time.sleep(0.05)
    assert len(trained(tmp_path)) == 4
    os.kill(one, signal.SIGKILL)
    os.waitpid(one, 0)
    assert ended(other) == 0
    assert "taking over from a run that has ended: gan-mlp-seed0" in said(tmp_path, "other")
    assert len(trained(tmp_path)) == 5
    assert len(set(trained(tmp_path))) == 4


def said(tmp_path, name):
    path = tmp_path / f"{name}.txt"
    return path.read_text() if path.exists() else ""
