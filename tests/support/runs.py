"""Runs of suites: in this process, and in processes of their own for tests that stop, kill and watch them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmark.config.suite import load_suite
from benchmark.execution.suite_run import SuiteRun
from benchmark.store.record_store import RecordStore
from benchmark.store.records import Measurement, TrialRecord
from benchmark.store.workspace import Workspace
from tests.conftest import SMALL

RUN_TIMEOUT = 240.0  # seconds: the machine of the tests may be slow and busy
PROTOCOL = {**SMALL["defaults"]["protocol"], "evaluations": 1}
LONG = {**SMALL["defaults"], "steps": 2000, "protocol": PROTOCOL}  # some seconds a trial


def suite_run(path: Path, root: Path, workspace: str = "ws", **options: Any) -> SuiteRun:
    """A run of a suite file with all its folders under `root`. `options`: of `load_suite`."""
    return SuiteRun(
        suite=load_suite(path, **options),
        workspace=Workspace.at(root / workspace),
        data_dir=root,
        report_dir=root / "report",
        console=Console(quiet=True),
    )


@contextmanager
def started(suite: Path, workspace: Path, *options: str) -> Iterator[subprocess.Popen]:
    """`benchmark run` in a session of its own; its output goes to WORKSPACE.log."""
    command = [sys.executable, "-m", "benchmark", "run", str(suite), "--workspace", str(workspace), *options]
    command += ["--report-dir", str(workspace.with_name(f"{workspace.name}-report"))]
    with workspace.with_suffix(".log").open("a") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def output_of(workspace: Path) -> str:
    """The output of all runs on this workspace."""
    return workspace.with_suffix(".log").read_text()


def trials_started(workspace: Path, trials: int = 1) -> Callable[[], bool]:
    """A condition: at least so many trials have started."""
    return lambda: output_of(workspace).count(": started") >= trials


def wait_until(condition: Callable[[], object], seconds: float = RUN_TIMEOUT) -> None:
    """Wait until a condition holds. Raises AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.1)


def records_of(workspace: Path) -> dict[str, TrialRecord]:
    """All records of a workspace."""
    store = RecordStore(workspace / "results")
    return store.read_many(store.ids())


def numbers_of(workspace: Path) -> dict[str, tuple[list[Measurement], str]]:
    """The parts of all records that must be bit-identical: every measurement and the sample grid."""
    return {trial_id: (record.history, record.samples_png) for trial_id, record in records_of(workspace).items()}


def undisturbed_numbers(suite: Path, workspace: Path) -> dict[str, tuple[list[Measurement], str]]:
    """The numbers of an undisturbed run in one process."""
    with started(suite, workspace, "--runner", "inprocess") as run:
        assert run.wait(RUN_TIMEOUT) == 0, output_of(workspace)
    return numbers_of(workspace)
