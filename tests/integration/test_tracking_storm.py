"""A real MLflow server is away, killed, restarted, slow, or refuses: nothing waits, nothing is lost or doubled."""

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

MOODS = ("slow", "500", "429", "403", "lost", "cut", "silent")
PROMPT = 0.5  # seconds that handing over a record may take, whatever the server does


class Ground:
    """A suite of so many trials, a server, and a proxy before it."""

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

    def hand_over(self, mirror: MLflowMirror, records: list[TrialRecord]) -> None:
        """As the driver does, one after the other; it is never made to wait."""
        for record in records:
            begun = time.monotonic()
            mirror.submit(record)
            assert time.monotonic() - begun < PROMPT

    def check(self) -> None:
        """One whole run of every record, by a client that asks the server itself."""
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
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 6)
    try:
        yield made
    finally:
        made.server.kill()
        made.proxy.close()


def caught_up(ground: Ground) -> None:
    """The next run's mirror brings everything."""
    ground.proxy.mood = "pass"
    mirror = ground.mirror()
    mirror.sync(ground.records)
    mirror.close(timeout=300)
    assert mirror.last_error is None
    ground.check()


def test_a_server_that_is_away_at_the_start_gets_everything_later(ground: Ground) -> None:
    mirror = ground.mirror()
    ground.hand_over(mirror, ground.records)
    mirror.close(timeout=120)
    assert mirror.last_error is not None
    assert "missing" in mirror.last_error
    ground.server.start()
    caught_up(ground)


def test_every_kind_of_refusal_is_survived(ground: Ground) -> None:
    ground.server.start()
    for mood in MOODS:
        ground.proxy.mood = mood
        mirror = ground.mirror()
        ground.hand_over(mirror, ground.records)
        mirror.close(timeout=20)
        ground.proxy.mood = "pass"
        mirror.close(timeout=300)
        if mood != "silent":  # its second try may come when the server answers again
            assert (mirror.last_error is None) == (mood == "slow"), (mood, mirror.last_error)
    caught_up(ground)


def test_a_server_killed_midway_and_restarted_has_one_run_of_each(ground: Ground) -> None:
    rng = random.Random(0)
    ground.server.start()
    for _ in range(6):
        mirror = ground.mirror()
        killer = threading.Timer(rng.uniform(0.2, 4.0), ground.server.kill)
        killer.start()
        ground.hand_over(mirror, ground.records)
        mirror.close(timeout=120)
        killer.join()
        ground.server.start()
    caught_up(ground)


def test_moods_that_change_all_the_time_double_nothing(ground: Ground) -> None:
    rng = random.Random(1)
    ground.server.start()
    over = threading.Event()

    def weather() -> None:
        while not over.wait(rng.uniform(0.05, 1.0)):
            ground.proxy.mood = rng.choice(("pass", "pass", "pass", *MOODS[:-1]))

    changing = threading.Thread(target=weather)
    changing.start()
    for _ in range(4):
        mirror = ground.mirror()
        ground.hand_over(mirror, rng.sample(ground.records, len(ground.records)))
        mirror.close(timeout=120)
    over.set()
    changing.join()
    caught_up(ground)
