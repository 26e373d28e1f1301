"""`track sync` with real SQLite stores: runs, output and exit codes."""

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import app
from benchmark.report.render import render
from benchmark.store.record_store import RecordStore
from benchmark.tracking.mirror import MLflowMirror
from tests.unit.tracking.test_mirror import Room, _own_environment  # noqa: F401

Track = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    room = Room(tmp_path_factory.mktemp("track"))
    for record in room.records:
        RecordStore(room.workspace.results).write(record)
    return room


@pytest.fixture
def track(room: Room, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Track:
    """Runs `track sync`: exit code, and standard output and error together."""

    def run(*options: str, suite: Path = room.suite.path) -> tuple[int, str]:
        words = ["benchmark", "track", "sync", str(suite), "--workspace", str(room.workspace.root), *options]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.chdir(room.suite.path.parent)
        with pytest.raises(SystemExit) as ended:
            app.main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return run


def test_sync_writes_what_is_missing_and_then_nothing(room: Room, track: Track) -> None:
    room.sync(room.records[0])
    code, output = track()
    assert code == 0
    assert "3 of 4 trials written" in output
    assert "report not rendered yet" in output
    assert "mlflow ui --host 127.0.0.1" in output
    assert set(room.runs()) == set(room.suite.specs)
    render(room.suite, {record.trial_id: record for record in room.records}, Path("reports/digits"), {})
    code, output = track()
    assert (code, "0 of 4 trials written" in output, "report written" in output) == (0, True, True)
    code, output = track()
    assert (code, "0 of 4 trials written" in output, "report already there" in output) == (0, True, True)
    code, output = track("--scale", "paper")  # the report is of another scale
    assert (code, "report not rendered yet" in output) == (0, True)


def test_without_records_there_is_nothing_to_mirror(room: Room, track: Track, tmp_path: Path) -> None:
    code, output = track("--workspace", str(tmp_path))
    assert code == 0
    assert "nothing to write to MLflow" in output
    assert not list(tmp_path.iterdir())


def test_an_unreachable_server_exits_with_code_1(track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    code, output = track()
    assert code == 1
    assert "0 of 4 trials written; " in output
    assert "runs missing at http://127.0.0.1:9" in output
    assert "secret" not in output
    assert "Traceback" not in output


def test_a_suite_that_does_not_exist_is_bad_input(track: Track) -> None:
    code, output = track(suite=Path("none.yaml"))
    assert code == 2
    assert "none.yaml: no such file" in output


@pytest.fixture
def full() -> Iterator[Callable[[int], None]]:
    """Limits the size of files to so many bytes, as on a full disk; 0 removes the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size or soft, hard))

    yield limit
    limit(0)


def test_a_full_disk_loses_nothing(room: Room, full: Callable[[int], None], tmp_path: Path) -> None:
    suite = room.suite.path.with_name("full.yaml")
    suite.write_text(room.suite.path.read_text())
    from benchmark.config.suite import load_suite

    loaded = load_suite(suite)
    room.sync(room.records[0], suite=loaded)  # the store itself is there
    database = room.workspace.mlflow / "mlflow.db"
    mirror = MLflowMirror(loaded, room.workspace)
    full(database.stat().st_size + 4096)
    try:
        mirror.sync(room.records)
        mirror.close()
    finally:
        full(0)
    assert mirror.last_error is not None
    assert "missing" in mirror.last_error
    room.sync(*room.records, suite=loaded)
    whole: dict[str, Any] = room.runs("full")
    assert set(whole) == set(loaded.specs)
    assert all(run.data.tags["mirrored"] for run in whole.values())
