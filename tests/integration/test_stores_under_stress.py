"""Disks that are full, read-only or gone, at any write of a run: every result is kept, and what to do is told."""

import ctypes
import errno
import logging
import os
import sys
import traceback
from pathlib import Path

import pytest
import torch
from rich.console import Console

from baselines.methods.gan import GAN
from benchmark.cli import app
from benchmark.config.suite import load_suite
from benchmark.core.errors import ResultsNotStored
from benchmark.core.files import write_atomically
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.extractors.digits import DigitClassifier, Digits
from benchmark.evaluation.references import write_features
from benchmark.execution import result_sink
from benchmark.execution.suite_run import SuiteRun
from benchmark.store import record_store
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace
from benchmark.training import checkpoint
from benchmark.trials import runner
from benchmark.trials.job import Progress

OF_ITS_OWN_TIME = {"started", "finished", "cost", "environment", "events"}


@pytest.fixture
def session(tmp_path, small_suite, monkeypatch):
    torch.manual_seed(0)
    torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, tmp_path / "c.pt")
    monkeypatch.setattr(Digits, "prepare", classmethod(lambda *_: tmp_path / "c.pt"))
    path = small_suite()

    def make(place="ws") -> SuiteRun:
        return SuiteRun(
            suite=load_suite(path),
            workspace=Workspace.at(tmp_path / place),
            data_dir=tmp_path,
            report_dir=tmp_path / "report",
            console=Console(quiet=True),
        )

    return make


def go(session):
    return session.run("inprocess", session.plan())


def told(records):
    return {trial_id: record.model_dump(exclude=OF_ITS_OWN_TIME) for trial_id, record in records.items()}


def refuse(monkeypatch, wanted, number=errno.ENOSPC):
    """Every file for whose path `wanted` is true is refused, wherever it is written."""
    real = write_atomically

    def write(path, *parts):
        if wanted(path):
            raise OSError(number, os.strerror(number), str(path))
        real(path, *parts)

    for module in (record_store, checkpoint, runner):
        monkeypatch.setattr(module, "write_atomically", write)


def test_results_that_cannot_be_stored_are_tried_again_and_then_stored(session, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "benchmark")
    refusals = iter(range(3))
    monkeypatch.setattr(result_sink, "RETRY_SECONDS", 1e9)
    refuse(monkeypatch, lambda path: path.parent.name == "results" and next(refusals, None) is not None)
    made = session()
    assert {record.status for record in go(made).values()} == {"finished"}
    assert len(made.records()) == 4
    said = caplog.text
    assert said.count("a result cannot be stored") == 1
    assert "No space left on device" in said
    assert "all results that the disk had refused are stored now" in said
    assert not [path for path in made.workspace.checkpoints.iterdir() if path.is_dir()]


def test_while_a_long_trial_trains_it_is_tried_again_too(session, monkeypatch):
    monkeypatch.setattr(result_sink, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)
    made, stored = session(), []
    refusals = iter(range(2))
    refuse(monkeypatch, lambda path: path.parent.name == "results" and next(refusals, None) is not None)
    handle = result_sink.ResultSink.handle

    def count_stored(self, event):
        handle(self, event)
        if isinstance(event, Progress):
            stored.append(len(made.records()))

    monkeypatch.setattr(result_sink.ResultSink, "handle", count_stored)
    go(made)
    assert 1 in stored[: stored.index(2)] if 2 in stored else 1 in stored, "before the second one had ended"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_could_not_be_stored_is_there_in_moments_the_next_time(session, monkeypatch, number):
    undisturbed = go(session("other"))
    made = session()
    with monkeypatch.context() as patch:
        refuse(patch, lambda path: path.parent.name == "results", number)
        with pytest.raises(
            ResultsNotStored, match=rf"4 results could not be stored in .*results: {os.strerror(number)}"
        ):
            go(made)
    assert not made.records()
    plan = made.plan()
    assert {plan.state(trial_id) for trial_id in plan.todo} == {"begun"}
    monkeypatch.setattr(GAN, "loss", None)  # nothing is trained
    assert told(go(made)) == told(undisturbed)


def main(monkeypatch, capsys, *arguments: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0), " ".join(capsys.readouterr().err.split())


@pytest.fixture
def command(session, monkeypatch, capsys, tmp_path):
    def run(name):
        options = ["--runner", "inprocess"] if name == "run" else []
        places = ("--workspace", tmp_path / "ws", "--report-dir", tmp_path / "report", "--data-dir", tmp_path)
        return main(monkeypatch, capsys, name, tmp_path / "small.yaml", *places, *options)

    session()
    return run


def test_a_result_that_is_not_stored_makes_the_exit_code_1_and_the_report_shows_it(command, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        refuse(patch, lambda path: path.parent.name == "results")
        code, said = command("run")
    assert code == 1
    assert "4 results could not be stored" in said
    assert "run the same command again" in said
    assert "| GAN |" in (tmp_path / "report" / "leaderboard.md").read_text()
    code, said = command("run")
    assert code == 0
    assert "could not be stored" not in said


def test_a_report_that_cannot_be_written_is_told_and_costs_no_result(command, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.report.render.write_atomically", refused)
        code, said = command("run")
    assert code == 1
    assert f"the report could not be written to {tmp_path / 'report'}: No space left on device" in said
    assert len(RecordStore(tmp_path / "ws" / "results").ids()) == 4
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.report.render.write_atomically", refused)
        code, said = command("report")
    assert code == 2
    assert "No space left on device; make room there" in said
    assert command("report") == (0, "")


def refused(path, *parts):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_what_a_killed_run_left_half_written_is_gone_when_its_trials_are_done(session):
    made = session()
    trial_id, place = next(iter(made.suite.specs)), made.workspace
    left = [
        place.results / f".{trial_id}.json-{'0' * 32}",
        place.checkpoints / f".{trial_id}.final.pt-{'1' * 32}",
        place.samples / trial_id / f".step-00000003.png-{'2' * 32}",
    ]
    of_another = place.results / f".{'f' * 16}.json-{'0' * 32}"  # which another run may be writing just now
    for path in (*left, of_another):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    go(made)
    assert [path for path in left if path.exists()] == []
    assert of_another.exists()


def test_the_error_names_the_file_that_was_wanted(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record_store.os, "fsync", full)
    with pytest.raises(OSError, match="No space") as error:
        write_atomically(tmp_path / "full", b"new")
    assert error.value.filename == str(tmp_path / "full")
    assert not list(tmp_path.iterdir())


# --- a real disk that is full --------------------------------------------------------------------------

CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 0x4000, 1 << 18


def tiny_disk(folder: Path, size: str) -> None:
    """A file system in memory of this size, which only this process and its children see. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()

    def done(code: int) -> None:
        if code:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    done(libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if uid else 0)))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    done(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    folder.mkdir()
    done(libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={size}".encode()))


NOT_POSSIBLE = 77


def on_tiny_disk(folder, size, what):
    """Does it in a process of its own, where `folder` is a small disk. Skips the test where none can be had."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                tiny_disk(folder, size)
            except OSError:
                code = NOT_POSSIBLE
            else:
                what()
                code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == NOT_POSSIBLE:
        pytest.skip("this process may not mount a file system")
    assert code == 0


def test_features_that_do_not_fit_are_an_error_and_no_signal(tmp_path):
    batches = (Features(torch.ones(100, 64), torch.ones(100, 0)) for _ in range(100))

    def measure():
        with pytest.raises(OSError, match="No space left on device"):
            write_features(tmp_path / "disk" / "real", batches, 10_000)
        assert not list((tmp_path / "disk").iterdir())

    on_tiny_disk(tmp_path / "disk", "1m", measure)


def test_on_a_disk_that_is_full_nothing_is_lost(session, tmp_path):
    undisturbed = told(go(session("other")))
    on_tiny_disk(tmp_path / "ws", "8m", lambda: run_while_it_is_full(session, tmp_path, undisturbed))


def run_while_it_is_full(session, tmp_path, undisturbed):
    """The disk is filled up to some kilobytes, and later freed."""
    made = session()
    made.prepare_jobs([])
    plan = made.plan()
    assert len(made.prepare_jobs(plan.todo.values())) == 4  # data is prepared
    filler = (tmp_path / "ws" / "filler").open("wb", buffering=0)
    left = os.statvfs(tmp_path / "ws")
    filler.write(bytes(left.f_bavail * left.f_frsize - 40_000))  # a record or so
    with pytest.raises(ResultsNotStored, match="No space left on device"):
        made.run("inprocess", plan)
    whole = made.records()  # each is whole, or is not there
    assert len(whole) < 4
    assert told(whole).items() <= undisturbed.items()
    filler.truncate(0)
    assert told(go(made)) == undisturbed
