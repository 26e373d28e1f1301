"""Full and read-only disks: every result is kept, and the message says what to do."""

import ctypes
import errno
import logging
import os
import sys
import traceback
from pathlib import Path

import pytest
import torch

from baselines.methods.gan import GAN
from benchmark.cli import app
from benchmark.core.errors import ResultsNotStored
from benchmark.core.files import write_atomically
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.references import write_features
from benchmark.execution import result_sink
from benchmark.store import record_store
from benchmark.store.record_store import RecordStore
from benchmark.training import checkpoint
from benchmark.trials import runner, samples
from benchmark.trials.job import Progress
from tests.support.runs import suite_run

NOT_REPRODUCIBLE = {"started", "finished", "cost", "environment", "events"}


pytestmark = pytest.mark.usefixtures("untrained_digits")


@pytest.fixture
def make_run(tmp_path, small_suite):
    path = small_suite()
    return lambda workspace="ws": suite_run(path, tmp_path, workspace)


def train(run):
    return run.run("inprocess", run.plan())


def reproducible_parts(records):
    return {trial_id: record.model_dump(exclude=NOT_REPRODUCIBLE) for trial_id, record in records.items()}


def refuse(monkeypatch, wanted, number=errno.ENOSPC):
    """Every file for whose path `wanted` is true is refused, wherever it is written."""
    real = write_atomically

    def write(path, *parts):
        if wanted(path):
            raise OSError(number, os.strerror(number), str(path))
        real(path, *parts)

    for module in (record_store, checkpoint, samples):
        monkeypatch.setattr(module, "write_atomically", write)


def test_a_result_that_the_disk_refuses_is_stored_later(make_run, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "benchmark")
    refusals = iter(range(3))
    monkeypatch.setattr(result_sink, "RETRY_SECONDS", 1e9)
    refuse(monkeypatch, lambda path: path.parent.name == "results" and next(refusals, None) is not None)
    run = make_run()
    assert {record.status for record in train(run).values()} == {"finished"}
    assert len(run.records()) == 4
    output = caplog.text
    assert output.count("a result cannot be stored") == 1
    assert "No space left on device" in output
    assert "all results that the disk had refused are stored now" in output
    assert not [path for path in run.workspace.checkpoints.iterdir() if path.is_dir()]


def test_a_refused_result_is_tried_again_while_another_trial_trains(make_run, monkeypatch):
    monkeypatch.setattr(result_sink, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)
    run, stored = make_run(), []
    refusals = iter(range(2))
    refuse(monkeypatch, lambda path: path.parent.name == "results" and next(refusals, None) is not None)
    handle = result_sink.ResultSink.handle

    def count_stored(self, event):
        handle(self, event)
        if isinstance(event, Progress):
            stored.append(len(run.records()))

    monkeypatch.setattr(result_sink.ResultSink, "handle", count_stored)
    train(run)
    assert 1 in stored[: stored.index(2)] if 2 in stored else 1 in stored, "before the second one had ended"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_the_next_run_stores_a_refused_result_without_training(make_run, monkeypatch, number):
    reference = train(make_run("other"))
    run = make_run()
    with monkeypatch.context() as patch:
        refuse(patch, lambda path: path.parent.name == "results", number)
        with pytest.raises(
            ResultsNotStored, match=rf"4 results could not be stored in .*results: {os.strerror(number)}"
        ):
            train(run)
    assert not run.records()
    plan = run.plan()
    assert {plan.state(trial_id) for trial_id in plan.todo} == {"begun"}
    monkeypatch.setattr(GAN, "loss", None)  # nothing is trained
    assert reproducible_parts(train(run)) == reproducible_parts(reference)


def main(monkeypatch, capsys, *arguments: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0), " ".join(capsys.readouterr().err.split())


@pytest.fixture
def command(make_run, monkeypatch, capsys, tmp_path):
    def run(name):
        options = ["--runner", "inprocess"] if name == "run" else []
        places = ("--workspace", tmp_path / "ws", "--report-dir", tmp_path / "report", "--data-dir", tmp_path)
        return main(monkeypatch, capsys, name, tmp_path / "small.yaml", *places, *options)

    make_run()
    return run


def test_a_result_that_is_not_stored_makes_the_exit_code_1_and_the_report_shows_it(command, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        refuse(patch, lambda path: path.parent.name == "results")
        code, output = command("run")
    assert code == 1
    assert "4 results could not be stored" in output
    assert "run the same command again" in output
    assert "| GAN |" in (tmp_path / "report" / "leaderboard.md").read_text()
    code, output = command("run")
    assert code == 0
    assert "could not be stored" not in output


def test_a_report_that_cannot_be_written_is_an_error_and_the_results_are_kept(command, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.report.render.write_atomically", refused)
        code, output = command("run")
    assert code == 1
    assert f"the report could not be written to {tmp_path / 'report'}: No space left on device" in output
    assert len(RecordStore(tmp_path / "ws" / "results").ids()) == 4
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.report.render.write_atomically", refused)
        code, output = command("report")
    assert code == 2
    assert "No space left on device; make room there" in output
    assert command("report") == (0, "")


def refused(path, *parts):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_partial_files_of_a_killed_run_are_removed_when_its_trials_are_done(make_run):
    run = make_run()
    trial_id, place = next(iter(run.suite.specs)), run.workspace
    left = [
        place.results / f".{trial_id}.json-{'0' * 32}",
        place.checkpoints / f".{trial_id}.final.pt-{'1' * 32}",
        place.samples / trial_id / f".step-00000003.png-{'2' * 32}",
    ]
    of_another = place.results / f".{'f' * 16}.json-{'0' * 32}"  # which another run may be writing just now
    for path in (*left, of_another):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    train(run)
    assert [path for path in left if path.exists()] == []
    assert of_another.exists()


def test_the_error_names_the_final_file(tmp_path, monkeypatch):
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


NOT_PERMITTED = 77


def on_tiny_disk(folder, size, what):
    """Does it in a process of its own, where `folder` is a small disk. Skips the test where none can be had."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                tiny_disk(folder, size)
            except OSError:
                code = NOT_PERMITTED
            else:
                what()
                code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == NOT_PERMITTED:
        pytest.skip("this process may not mount a file system")
    assert code == 0


def test_features_that_do_not_fit_on_the_disk_raise_an_error(tmp_path):
    batches = (Features(torch.ones(100, 64), torch.ones(100, 0)) for _ in range(100))

    def measure():
        with pytest.raises(OSError, match="No space left on device"):
            write_features(tmp_path / "disk" / "real", batches, 10_000)
        assert not list((tmp_path / "disk").iterdir())

    on_tiny_disk(tmp_path / "disk", "1m", measure)


def test_nothing_is_lost_on_a_full_disk(make_run, tmp_path):
    reference = reproducible_parts(train(make_run("other")))
    on_tiny_disk(tmp_path / "ws", "8m", lambda: run_while_it_is_full(make_run, tmp_path, reference))


def run_while_it_is_full(make_run, tmp_path, reference):
    """The disk is filled up to some kilobytes, and later freed."""
    run = make_run()
    run.prepare_jobs([])
    plan = run.plan()
    assert len(run.prepare_jobs(plan.todo.values())) == 4  # data is prepared
    filler = (tmp_path / "ws" / "filler").open("wb", buffering=0)
    left = os.statvfs(tmp_path / "ws")
    filler.write(bytes(left.f_bavail * left.f_frsize - 40_000))  # a record or so
    with pytest.raises(ResultsNotStored, match="No space left on device"):
        run.run("inprocess", plan)
    whole = run.records()  # each is whole, or is not there
    assert len(whole) < 4
    assert reproducible_parts(whole).items() <= reference.items()
    filler.truncate(0)
    assert reproducible_parts(train(run)) == reference
