"""A real MLflow server is unreachable, killed, slow or refuses: nothing waits, and no run is lost or duplicated."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.config.suite import Suite, load_suite
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.tracking.mirror import MLflowMirror
from tests.support.servers import Proxy, Server
from tests.unit.tracking.test_mirror import _own_environment, make_record  # noqa: F401

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

FAILURES = ("slow", "500", "429", "403", "lost", "cut", "silent")
SUBMIT_SECONDS = 0.5  # upper bound on submitting a record, whatever the server does


class MLflowSetup:
    """A suite, an MLflow server, and a proxy in front of it."""

    def __init__(self, folder: Path, seeds: int) -> None:
        from tests.unit.tracking.test_mirror import SUITE

        path = folder / "digits.yaml"
        path.write_text(SUITE.replace("seeds: [0, 1]", f"seeds: {list(range(seeds))}"))
        self.suite: Suite = load_suite(path)
        self.workspace = Workspace.at(folder / "work")
        self.workspace.create()
        self.records = [make_record(spec) for spec in self.suite.specs.values()]
        (folder / "server").mkdir()
        store = f"--backend-store-uri sqlite:///{folder}/server.db --artifacts-destination {folder}/artifacts"
        self.server = Server(f"mlflow server --host 127.0.0.1 --workers 1 {store}", folder / "server")
        self.proxy = Proxy(self.server.port)

    def mirror(self) -> MLflowMirror:
        return MLflowMirror(self.suite, self.workspace, self.proxy.address)

    def submit_all(self, mirror: MLflowMirror, records: list[TrialRecord]) -> None:
        """Submit records one by one, as the driver does; no call waits for the server."""
        for record in records:
            begun = time.monotonic()
            mirror.sync([record])
            assert time.monotonic() - begun < SUBMIT_SECONDS

    def check(self) -> None:
        """Assert that the server has one complete run of every record."""
        from mlflow import MlflowClient

        client = MlflowClient(self.server.address)
        experiment = client.get_experiment_by_name(self.suite.name)
        runs: list[Any] = client.search_runs([experiment.experiment_id], max_results=5000)
        assert sorted(run.data.tags["trial_id"] for run in runs) == sorted(self.suite.specs)
        by_id = {record.trial_id: record for record in self.records}
        for run in runs:
            record = by_id[run.data.tags["trial_id"]]
            assert run.data.tags["mirrored"]
            assert run.info.status == "FINISHED"
            points = client.get_metric_history(run.info.run_id, "evaluation/modes")
            assert [(p.step, p.value) for p in points] == [(e.step, e.metrics["modes"]) for e in record.history]
            assert {item.path for item in client.list_artifacts(run.info.run_id)} >= {"record.json", "samples.png"}


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[MLflowSetup]:
    setup = MLflowSetup(tmp_path, 6)
    try:
        yield setup
    finally:
        setup.server.kill()
        setup.proxy.close()


def assert_catches_up(setup: MLflowSetup) -> None:
    """The mirror of the next run writes everything that is missing."""
    setup.proxy.mode = "pass"
    mirror = setup.mirror()
    mirror.sync(setup.records)
    mirror.close(timeout=300)
    assert mirror.last_error is None
    setup.check()


def test_a_server_that_starts_late_gets_everything(setup: MLflowSetup) -> None:
    mirror = setup.mirror()
    setup.submit_all(mirror, setup.records)
    mirror.close(timeout=120)
    assert mirror.last_error is not None
    assert "missing" in mirror.last_error
    setup.server.start()
    assert_catches_up(setup)


def test_every_kind_of_refusal_is_survived(setup: MLflowSetup) -> None:
    setup.server.start()
    for mode in FAILURES:
        setup.proxy.mode = mode
        mirror = setup.mirror()
        setup.submit_all(mirror, setup.records)
        mirror.close(timeout=20)
        setup.proxy.mode = "pass"
        mirror.close(timeout=300)
        if mode != "silent":  # its retry may reach the recovered server
            assert (mirror.last_error is None) == (mode == "slow"), (mode, mirror.last_error)
    assert_catches_up(setup)


def test_a_killed_and_restarted_server_has_one_run_of_each(setup: MLflowSetup) -> None:
    rng = random.Random(0)
    setup.server.start()
    for _ in range(6):
        mirror = setup.mirror()
        killer = threading.Timer(rng.uniform(0.2, 4.0), setup.server.kill)
        killer.start()
        setup.submit_all(mirror, setup.records)
        mirror.close(timeout=120)
        killer.join()
        setup.server.start()
    assert_catches_up(setup)


def test_changing_failures_duplicate_no_run(setup: MLflowSetup) -> None:
    rng = random.Random(1)
    setup.server.start()
    over = threading.Event()

    def inject_failures() -> None:
        while not over.wait(rng.uniform(0.05, 1.0)):
            setup.proxy.mode = rng.choice(("pass", "pass", "pass", *FAILURES[:-1]))

    changing = threading.Thread(target=inject_failures)
    changing.start()
    for _ in range(4):
        mirror = setup.mirror()
        setup.submit_all(mirror, rng.sample(setup.records, len(setup.records)))
        mirror.close(timeout=120)
    over.set()
    changing.join()
    assert_catches_up(setup)
