"""Real runs in processes of their own, for tests that stop, kill and watch them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.store.record_store import RecordStore
from benchmark.store.records import Measurement, TrialRecord
from tests.conftest import SMALL

ENDS = 240.0  # seconds: the machine of the tests may be a slow and busy one
PROTOCOL = {**SMALL["defaults"]["protocol"], "evaluations": 1}
LONG = {**SMALL["defaults"], "steps": 2000, "protocol": PROTOCOL}  # some seconds a trial


@contextmanager
def started(suite: Path, workspace: Path, *options: str) -> Iterator[subprocess.Popen]:
    """`run` in a session of its own, with what it says in WORKSPACE.log."""
    command = [sys.executable, "-m", "benchmark", "run", str(suite), "--workspace", str(workspace), *options]
    command += ["--report-dir", str(workspace.with_name(f"{workspace.name}-report"))]
    with workspace.with_suffix(".log").open("a") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def said(workspace: Path) -> str:
    """What the runs on this workspace have said."""
    return workspace.with_suffix(".log").read_text()


def begun(workspace: Path, trials: int = 1) -> Callable[[], bool]:
    """Whether so many trials have been taken up."""
    return lambda: said(workspace).count(": started") >= trials


def until(condition: Callable[[], object], seconds: float = ENDS) -> None:
    """Wait for something to happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def records_of(workspace: Path) -> dict[str, TrialRecord]:
    """All records of a workspace."""
    store = RecordStore(workspace / "results")
    return store.read_many(store.ids())


def numbers_of(workspace: Path) -> dict[str, tuple[list[Measurement], str]]:
    """What must be the same to the bit: every measurement, and the pictures."""
    return {one: (record.history, record.samples_png) for one, record in records_of(workspace).items()}


def undisturbed(suite: Path, workspace: Path) -> dict[str, tuple[list[Measurement], str]]:
    """The numbers of a run in one process that nothing happens to."""
    with started(suite, workspace, "--runner", "inprocess") as run:
        assert run.wait(ENDS) == 0, said(workspace)
    return numbers_of(workspace)
