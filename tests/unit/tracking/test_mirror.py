"""The mirror in MLflow, with real SQLite stores."""

import base64
import dataclasses
import io
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmark.config.suite import Suite, load_suite
from benchmark.core.files import write_atomically
from benchmark.core.spec import TrialSpec, content_hash
from benchmark.store.records import Cost, Measurement, TrialRecord
from benchmark.store.workspace import Workspace, sample_grid_path
from benchmark.tracking import writer
from benchmark.tracking.fields import (
    MAX_KEY,
    MAX_VALUE,
    metric_points,
    milliseconds,
    published_of,
    trial_params,
    trial_tags,
)
from benchmark.tracking.mirror import MLflowMirror
from benchmark.tracking.writer import sqlite_uri
from tests.support.claim_suite import DROP, load_claims, records_of

ROOT = Path(__file__).resolve().parents[3]
STEPS = 1000
NAN, INF = math.nan, math.inf
SUITE = """
title: Two tables
about: A description with *emphasis*.
seeds: [0, 1]
defaults:
  dataset: stacked_digits
  network: mlp
  latent: {dim: 64, distribution: normal}
  steps: 1000
  batch_size: 64
  optimizer: {lr: 2e-4, betas: [0.5, 0.9], player_lr: {discriminator: 1e-4}}
  protocol: {measures: {modes: {n_fake: 640}}, evaluations: 5}
tables:
  - title: First
    rows:
      GAN: {method: gan, note: plain}
      SSGAN: {method: ssgan}
  - title: Second
    rows:
      the same GAN: {method: gan}
scales:
  quick: {}
  paper: {}
"""


def make_suite(folder: Path, name: str = "digits", scale: str | None = None) -> Suite:
    path = folder / f"{name}.yaml"
    path.write_text(SUITE)
    return load_suite(path, scale)


def make_record(spec: TrialSpec, **changed: Any) -> TrialRecord:
    """The record of a finished trial with five evaluations, from 12:00:00 to 12:01:40."""
    picture = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(picture, format="PNG")
    better = {"gan": 100, "ssgan": 160}[spec.method] + 5 * spec.seed
    history = [
        Measurement(
            step=step,
            metrics={"modes": better * step / 200, "kl": 200 / step},
            losses={"discriminator/game": 1.3 - step / 2000, "generator/game": 0.7 + step / 3000},
        )
        for step in range(200, STEPS + 1, 200)
    ]
    fields: dict[str, Any] = {
        "trial_id": spec.trial_id,
        "spec": spec,
        "status": "finished",
        "history": history,
        "facts": {"classifier_accuracy": 0.98},
        "cost": Cost(
            train_seconds=80.0,
            evaluation_seconds=20.0,
            images_per_second=800.0,
            peak_memory_mib=321.5,
            cpus=1,
            gpus=0.0,
        ),
        "environment": {"python": "3.11", "device": "cpu", "source": "0123456789ab+changes"},
        "data": {"dataset": "stacked_digits", "sources": {"digits.csv": "0a1b"}},
        "started": "2026-11-22T12:00:00+00:00",
        "finished": "2026-11-22T12:01:40+00:00",
        "samples_png": base64.b64encode(picture.getvalue()).decode(),
    }
    return TrialRecord(**fields | changed)


class Room:
    """A workspace with a suite and records; writes with the mirror and reads with MLflow's client."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace.at(folder / "work room #1, 100%25? [x]")
        self.workspace.create()
        self.suite = make_suite(folder)
        self.records = [make_record(spec) for spec in self.suite.specs.values()]

    def sync(self, *records: TrialRecord, suite: Suite | None = None) -> MLflowMirror:
        mirror = MLflowMirror(suite or self.suite, self.workspace)
        mirror.sync(records)
        mirror.close(timeout=None)  # no timeout on a busy machine
        assert mirror.last_error is None
        return mirror

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(sqlite_uri(self.workspace.mlflow / "mlflow.db"))

    def runs(self, name: str = "digits") -> dict[str, Any]:
        """Trial id -> run; asserts that there is one run per trial."""
        experiment = self.client.get_experiment_by_name(name)
        runs = self.client.search_runs([experiment.experiment_id])
        runs_by_trial = {run.data.tags["trial_id"]: run for run in runs}
        assert len(runs_by_trial) == len(runs)
        return runs_by_trial


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the developer's MLflow settings, and remove ours afterwards."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    yield
    monkeypatch.undo()
    for name in set(os.environ) - set(before):
        del os.environ[name]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """One database for all tests, as creating it takes seconds."""
    return Room(tmp_path_factory.mktemp("mirror"))


def test_importing_it_does_not_import_mlflow() -> None:
    code = "import sys, benchmark.tracking; print(sorted({'mlflow', 'torch', 'ray'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_run_holds_everything_of_its_record(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    record = room.records[0]
    room.sync(*room.records)
    assert capfd.readouterr() == ("", "")
    run = room.runs()[record.trial_id]
    assert run.info.run_name == "GAN; the same GAN · seed 0 (First; Second, quick)"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 100_000
    assert {key: value for key, value in run.data.tags.items() if "." not in key and key != "mirrored"} == {
        "trial_id": record.trial_id,
        "status": "finished",
        "table": "First; Second",
        "row": "GAN; the same GAN",
        "method": "gan",
        "spec": "official-code",
        "dataset": "stacked_digits",
        "network": "mlp",
        "seed": "0",
        "scale": "quick",
        "source": "0123456789ab+changes",
        "workspace": f"{platform.node()}:{room.workspace.root}",
    }
    assert run.data.tags["mlflow.note.content"] == "**finished** modes 500, kl 0.2\n\nplain"
    assert run.data.params["optimizer.lr"] == "0.0002"
    assert run.data.params["optimizer.betas"] == "[0.5, 0.9]"
    assert run.data.params["optimizer.player_lr.discriminator"] == "0.0001"
    assert run.data.params["protocol.measures.modes.metric"] == "modes"
    assert run.data.metrics["evaluation/modes"] == 500
    assert run.data.params["instrument.classifier_accuracy"] == "0.98"
    assert run.data.params["resources.cpus"] == "1"
    assert run.data.metrics["usage/train_seconds"] == 80
    assert [(used.dataset.name, used.dataset.digest) for used in run.inputs.dataset_inputs] == [
        ("stacked_digits", content_hash(record.data)[:8])
    ]
    curve = room.client.get_metric_history(run.info.run_id, "loss/generator/game")
    assert [point.step for point in curve] == [200, 400, 600, 800, 1000]
    assert [point.timestamp - run.info.start_time for point in curve] == [
        20_000,
        40_000,
        60_000,
        80_000,
        100_000,
    ]


def test_artifacts_are_in_the_workspace(room: Room) -> None:
    record = room.records[1]
    room.sync(record)
    folder = room.workspace.mlflow / "artifacts" / room.runs()[record.trial_id].info.run_id / "artifacts"
    assert sorted(path.name for path in folder.iterdir()) == [
        "environment.json",
        "record.json",
        "samples.png",
    ]
    with Image.open(folder / "samples.png") as shown, Image.open(io.BytesIO(record.samples)) as drawn:
        assert shown.size == (3 * 512, 512)  # stacks of three digits; 64 pixels would be tiny on MLflow's page
        assert shown.resize(drawn.size, Image.Resampling.NEAREST).tobytes() == drawn.tobytes()
    kept = TrialRecord.model_validate_json((folder / "record.json").read_text())
    assert kept == record.model_copy(update={"samples_png": ""})


def test_a_second_sync_changes_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.sync(*room.records)
    before = {trial_id: run.info.run_id for trial_id, run in room.runs().items()}
    monkeypatch.setattr(writer, "PAGE", 1)  # several pages of search results
    room.sync(*(record.model_copy(update={"histograms": {"modes": [1]}}) for record in room.records))  # with counts too
    room.sync(room.records[0])
    assert {trial_id: run.info.run_id for trial_id, run in room.runs().items()} == before
    assert set(before) == set(room.suite.specs)


def test_a_retried_trial_replaces_its_failed_run(room: Room) -> None:
    suite = make_suite(room.suite.path.parent, "retried")
    later = make_record(next(iter(suite.specs.values())))
    earlier = later.model_copy(
        update={
            "status": "failed",
            "error": "OutOfMemory: no",
            "history": [],
            "cost": None,
            "samples_png": "",
        }
        | {"finished": "2026-11-22T11:59:59+00:00"}
    )
    room.sync(earlier, suite=suite)
    failed = room.runs("retried")[earlier.trial_id]
    assert (failed.info.status, failed.data.tags["status"]) == ("FAILED", "failed")
    assert "OutOfMemory: no" in failed.data.tags["mlflow.note.content"]
    room.sync(later, suite=suite)
    finished = room.runs("retried")[later.trial_id]
    assert (finished.info.status, finished.data.tags["status"]) == ("FINISHED", "finished")


def test_incomplete_runs_of_an_interrupted_driver_are_replaced(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    suite = make_suite(room.suite.path.parent, "interrupted")
    records = [make_record(spec) for spec in suite.specs.values()]

    def killed(*arguments: Any, **options: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_artifacts", killed)
        mirror = MLflowMirror(suite, room.workspace)
        mirror.sync(records)
        mirror.close()
    assert mirror.last_error is not None
    assert "4 runs missing" in mirror.last_error
    assert "OSError: disk full" in mirror.last_error
    half = room.runs("interrupted")
    assert len(half) == writer.GIVE_UP_AFTER
    room.sync(*records, suite=suite)
    whole = room.runs("interrupted")
    assert set(whole) == set(suite.specs)
    assert not {run.info.run_id for run in half.values()} & {run.info.run_id for run in whole.values()}
    mirror.sync(records)  # the same mirror recovers
    mirror.close()
    assert mirror.last_error is None


def test_one_refused_record_does_not_block_the_others(room: Room) -> None:
    suite = make_suite(room.suite.path.parent, "refused")
    records = [make_record(spec) for spec in suite.specs.values()]
    mirror = MLflowMirror(suite, room.workspace)
    mirror.sync([records[0].model_copy(update={"finished": "yesterday"}), *records[1:]])
    mirror.close()
    assert mirror.last_error is not None
    assert "1 run missing" in mirror.last_error
    assert "yesterday" in mirror.last_error
    assert set(room.runs("refused")) == {record.trial_id for record in records[1:]}


def test_a_deleted_experiment_or_a_moved_workspace_gets_a_new_experiment(room: Room) -> None:
    suite = make_suite(room.suite.path.parent, "deleted")
    record = make_record(next(iter(suite.specs.values())))
    room.sync(record, suite=suite)
    first = room.client.get_experiment_by_name("deleted")
    room.client.delete_experiment(first.experiment_id)
    room.sync(record, suite=suite)
    assert room.client.get_experiment_by_name("deleted").experiment_id != first.experiment_id
    assert set(room.runs("deleted")) == {record.trial_id}

    old = room.workspace
    room.workspace = Workspace.at(old.root.with_name("elsewhere"))
    try:
        old.root.rename(room.workspace.root)
        room.sync(record, suite=suite)
        assert str(room.workspace.root) in room.runs("deleted")[record.trial_id].info.artifact_uri
        assert not old.root.exists()
    finally:
        room.workspace.root.rename(old.root)
        room.workspace = old


def test_long_and_odd_values_and_many_points_are_accepted(room: Room) -> None:
    suite = make_suite(room.suite.path.parent, "odd")
    spec = next(iter(suite.specs.values()))
    odd = {"a": "x" * 9000, "k" * 300: 1, "what? (%)": None, "../up//": [1], "ключ": "ü\n", "": ""}
    spec = spec.model_copy(update={"options": odd | {f"option{index}": index for index in range(120)}})
    history = [
        Measurement(step=step, metrics={"modes": float(step), "modes?": NAN if step % 2 else 1.0, "../kl": INF})
        for step in range(1200)
    ]
    room.sync(make_record(spec, history=history, error="e" * 9000, facts={"f": -INF}), suite=suite)
    run = room.runs("odd")[spec.trial_id]
    assert len([key for key in run.data.params if key.startswith("options")]) == len(odd) + 120
    assert len(room.client.get_metric_history(run.info.run_id, "evaluation/modes")) == 1200
    odd_key = next(key for key in run.data.metrics if key.startswith("evaluation/modes_"))
    assert {point.value for point in room.client.get_metric_history(run.info.run_id, odd_key)} == {1.0}


def test_fields_are_finite_and_within_the_limits() -> None:
    spec = TrialSpec.model_validate(
        {
            "method": "m" * 9000,
            "options": {"x" * 400: {"y": "z" * 9000}},
            "network": "mlp",
            "dataset": "d",
            "latent": {"dim": 1, "distribution": "normal"},
            "steps": 1,
            "batch_size": 1,
            "optimizer": {"lr": 1.0, "betas": [0.0, 0.0]},
            "protocol": {"measures": {"modes": {"n_fake": 1}}},
            "seed": 3,
        }
    )
    now = "2026-11-22T12:00:00+00:00"
    history = [Measurement(step=0, metrics={"a": NAN, "b": 2.0}, losses={"c": INF, "d": -INF})]
    record = TrialRecord(
        trial_id=spec.trial_id, spec=spec, status="diverged", history=history, started=now, finished=now
    )
    assert [point[:2] for point in metric_points(record, {})] == [("evaluation/b", 2.0)]
    assert all(0 < len(key) <= MAX_KEY and len(value) <= MAX_VALUE for key, value in trial_params(record).items())


def test_a_record_without_a_cell_is_named_by_its_method(tmp_path: Path) -> None:
    suite = make_suite(tmp_path, scale="paper")
    record = make_record(next(iter(suite.specs.values())))
    assert trial_tags(record, suite, [])["mlflow.runName"] == "gan · seed 0"


def test_methods_derived_from_an_abstract_are_tagged(tmp_path: Path) -> None:
    suite = make_suite(tmp_path)
    record = make_record(next(iter(suite.specs.values())))
    derived = record.model_copy(update={"spec": record.spec.model_copy(update={"method": "self_labelling"})})
    assert trial_tags(record, suite, [])["spec"] == "official-code"
    assert trial_tags(derived, suite, [])["spec"] == "derived-from-abstract"


def test_an_unreachable_server_costs_seconds_and_leaves_an_error(
    room: Room, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    mirror = MLflowMirror(room.suite, room.workspace)
    begun = time.monotonic()
    mirror.sync(room.records)
    assert time.monotonic() - begun < 0.5
    mirror.close(timeout=30)
    assert time.monotonic() - begun < 15
    assert mirror.last_error is not None
    assert "4 runs missing at http://127.0.0.1:9" in mirror.last_error
    assert "secret" not in mirror.last_error
    assert "\n" not in mirror.last_error
    assert mirror.ui_command == "http://127.0.0.1:9"
    assert capfd.readouterr() == ("", "")


def test_a_tracking_uri_of_the_user_is_honoured(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    own = room.workspace.root / "my.db"
    monkeypatch.chdir(room.workspace.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_uri(own))
    mirror = room.sync(room.records[0])
    assert own.is_file()
    assert not (room.workspace.root / "mlruns").exists()
    assert sqlite_uri(own) in mirror.ui_command
    assert mirror.experiment_url == "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"


def test_the_command_shows_the_store_but_no_password(room: Room) -> None:
    mirror = MLflowMirror(room.suite, room.workspace)
    uri = sqlite_uri(room.workspace.mlflow / "mlflow.db")
    assert mirror.ui_command == f"mlflow ui --host 127.0.0.1 --workers 1 --backend-store-uri '{uri}'"
    secret = MLflowMirror(room.suite, room.workspace, "postgresql://me:secret@host/db")
    assert secret.ui_command == 'mlflow ui --host 127.0.0.1 --workers 1 --backend-store-uri "$MLFLOW_TRACKING_URI"'


def test_a_path_with_characters_that_a_uri_reads_is_quoted() -> None:
    assert sqlite_uri(Path("/a b/100%25/what?/#1 [x]/ü")) == "sqlite:////a b/100%2525/what%3F/%231 [x]/ü"


@pytest.mark.parametrize("uri", ["file:///runs", "file:runs", "runs", "./runs"])
def test_a_folder_of_runs_is_answered_with_what_to_set(room: Room, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mirror = MLflowMirror(room.suite, room.workspace)
    mirror.sync(room.records[:1])
    mirror.close()
    assert mirror.last_error is not None
    assert "set MLFLOW_TRACKING_URI to sqlite:///PATH/mlflow.db, or unset it" in mirror.last_error


def test_the_experiment_name_of_the_user_is_honoured(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "my thesis")
    first, second = make_suite(room.suite.path.parent, "one"), make_suite(room.suite.path.parent, "two", "paper")
    for suite in (first, second):
        room.sync(make_record(next(iter(suite.specs.values()))), suite=suite)
    assert len(room.runs("my thesis")) == len({next(iter(suite.specs)) for suite in (first, second)})
    assert room.client.get_experiment_by_name("one") is None


def test_another_suite_of_the_same_file_name_has_an_experiment_of_its_own(room: Room) -> None:
    first = make_suite(room.suite.path.parent, "namesake")
    second = dataclasses.replace(first, title="Other tables")
    record = make_record(next(iter(first.specs.values())))
    for suite in (first, second, first):
        room.sync(record, suite=suite)
    assert set(room.runs("namesake")) == set(room.runs("namesake: Other tables")) == {record.trial_id}


def test_a_record_from_before_replaces_the_run_of_its_own_workspace_only(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock may have been set back; but on a shared server a newer run is another user's result."""
    suite = make_suite(room.suite.path.parent, "clock")
    server = sqlite_uri(room.workspace.mlflow / "mlflow.db") + "?timeout=60"  # not the URI of the workspace's own store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    record = make_record(next(iter(suite.specs.values())))

    def years(year: int) -> TrialRecord:
        return record.model_copy(update=dict.fromkeys(("started", "finished"), f"{year}-01-01T00:00:00+00:00"))

    room.sync(record, suite=suite)
    room.sync(years(2001), suite=suite)
    shown = room.runs("clock")[record.trial_id].info
    assert shown.end_time == milliseconds(years(2001).finished)
    other = MLflowMirror(suite, room.workspace)
    other._writer.origin = "another machine"
    other.sync([years(2000)])
    other.close(timeout=None)
    assert room.runs("clock")[record.trial_id].info.run_id == shown.run_id


def test_two_processes_that_mirror_one_workspace_take_turns(room: Room) -> None:
    suite = make_suite(room.suite.path.parent, "race")
    records = [make_record(spec) for spec in suite.specs.values()]
    mirrors = [MLflowMirror(suite, room.workspace) for _ in range(4)]  # each has a thread and a lock of its own
    for mirror in mirrors:
        mirror.sync(records)
    for mirror in mirrors:
        mirror.close(timeout=None)
        assert mirror.last_error is None
    assert set(room.runs("race")) == set(suite.specs)


def test_texts_beyond_the_limits_of_an_experiment_are_cut(room: Room) -> None:
    suite = make_suite(room.suite.path.parent, "long")
    suite = dataclasses.replace(suite, about="word " * 10_000)
    room.sync(make_record(next(iter(suite.specs.values()))), suite=suite)
    assert len(room.client.get_experiment_by_name("long").tags["mlflow.note.content"]) == MAX_VALUE


def test_closing_ends_the_thread_and_respects_its_timeout(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = MLflowMirror(room.suite, room.workspace)
    idle.sync([])
    idle.close()
    assert idle.last_error is None
    mirror = MLflowMirror(room.suite, room.workspace)
    monkeypatch.setattr(mirror._writer, "write", lambda records: time.sleep(1) or iter([]))
    mirror.sync([room.records[0]])
    thread = mirror._thread
    begun = time.monotonic()
    mirror.close(timeout=0.1)
    assert time.monotonic() - begun < 0.5
    assert mirror.last_error is not None
    assert "not written in time" in mirror.last_error
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()


PAPER = """
title: A Paper
authors: Somebody
venue: NeurIPS
year: 2019
url: https://example.org
tables:
  one:
    title: Table 1
    dataset: stacked_digits
    status: verified
    source: the PDF, page 7
    spread_kind: training_seeds
    protocol: {n_fake: 640, codec: none, feature_extractor: digits}
    rows:
      GAN: {values: {modes: [VALUE, 20.5]}}
      SSGAN: {values: {modes: 900}, status: unverified, source: from memory}
"""


def make_published(folder: Path, name: str, value: float = 1000.0) -> tuple[Suite, list[TrialRecord]]:
    """A suite whose first table has published values, with three seeds at the paper's scale; the records of GAN."""
    (folder / "papers").mkdir(exist_ok=True)
    (folder / "papers" / "paper.yaml").write_text(PAPER.replace("VALUE", str(value)))
    path = folder / f"{name}.yaml"
    changed = SUITE.replace("seeds: [0, 1]", "seeds: [0, 1, 2]\ntolerance: {modes: 0.05}")
    path.write_text(changed.replace("- title: First\n", "- title: First\n    published: paper/one\n"))
    suite = load_suite(path, "paper")
    return suite, [make_record(spec) for spec in suite.specs.values() if spec.method == "gan"]


def test_published_values_are_metrics_and_tags(tmp_path: Path) -> None:
    suite, (record, *_) = make_published(tmp_path, "beside")
    published = published_of(record.spec, suite.cells[:1])
    points = {(key, step): value for key, value, _, step in metric_points(record, {"modes": 1000.0})}
    assert {at: value for at, value in points.items() if at[0].startswith("published")} == {
        ("published/modes", 200): 1000,
        ("published/modes", 1000): 1000,
        ("published/difference/modes", 1000): -500,
    }
    tags = trial_tags(record, suite, suite.cells[:1], {"verdict.modes": "inconclusive"})
    assert tags["published.modes"] == "1000 ± 20.5, verified (spread: training seeds): the PDF, page 7"
    assert tags["verdict.modes"] == "inconclusive"
    assert tags["mlflow.note.content"].startswith("**finished** modes 500 (published 1000), kl 0.2")
    assert set(published) == {"modes"}
    cell = suite.cells[1]
    unread = trial_tags(make_record(cell.specs[0]), suite, [cell], {})
    assert unread["published.modes"] == "900, unverified: from memory"
    assert "modes 800 (published 900, unverified)" in unread["mlflow.note.content"]
    assert "verdict.kl" not in unread


def test_a_trial_without_evaluations_still_shows_the_published_value(tmp_path: Path) -> None:
    _, (record, *_) = make_published(tmp_path, "nothing")
    failed = record.model_copy(update={"history": [], "cost": None})
    assert [(key, value, step) for key, value, _, step in metric_points(failed, {"modes": 9.0})] == [
        ("published/modes", 9.0, 0)
    ]


def test_a_changed_verdict_updates_a_tag_and_keeps_the_run(room: Room) -> None:
    suite, (first, second, third) = make_published(room.suite.path.parent, "judged")
    mirror = room.sync(first, second, suite=suite)
    before = room.runs("judged")
    assert {run.data.tags["verdict.modes"] for run in before.values()} == {"inconclusive"}
    assert before[first.trial_id].data.metrics["published/difference/modes"] == -500
    room.client.set_tag(before[first.trial_id].info.run_id, "mlflow.note.content", "mine")
    mirror.sync([third])  # a single record, as during a run
    mirror.close()
    after = room.runs("judged")
    assert {run.data.tags["verdict.modes"] for run in after.values()} == {"worse"}
    assert {run.data.tags["rule.modes"] for run in after.values()} == {"mean"}
    judged = statistics.mean(record.metrics["modes"] for record in (first, second, third))
    assert {run.data.tags["judged.modes"] for run in after.values()} == {f"{judged:.6g}"}
    assert {i: after[i].info.run_id for i in before} == {i: run.info.run_id for i, run in before.items()}
    assert after[first.trial_id].data.tags["mlflow.note.content"] == "mine"


def test_a_changed_published_value_replaces_the_run(room: Room) -> None:
    suite, (record, *_) = make_published(room.suite.path.parent, "corrected")
    room.sync(record, suite=suite)
    suite, _ = make_published(room.suite.path.parent, "corrected", 505.5)
    room.sync(record, suite=suite)
    assert room.runs("corrected")[record.trial_id].data.metrics["published/modes"] == 505.5


def test_sample_grids_are_images_by_step_without_those_of_earlier_attempts(room: Room) -> None:
    suite = make_suite(room.suite.path.parent, "sheets")
    record = make_record(next(iter(suite.specs.values())))
    for step in (200, 400, 700):
        write_atomically(sample_grid_path(room.workspace.samples, record.trial_id, step), record.samples)
    room.sync(record, suite=suite)
    run = room.runs("sheets")[record.trial_id]
    folder = Path(room.client.download_artifacts(run.info.run_id, ""))
    names = sorted(path.name.split("+timestamp")[0] for path in (folder / "images").glob("*.png"))
    assert names == ["samples~by step+step+200", "samples~by step+step+400"]
    for path in (folder / "images").glob("*.png"):
        with Image.open(path) as image:
            assert image.size == (3 * 256, 256)
    page = (folder / "samples_by_step.html").read_text()
    assert f"<h1>{run.info.run_name}</h1>" in page
    assert page.index("step 200<") < page.index("step 400<")
    assert "step 700" not in page


def test_the_report_is_one_run_with_the_newest_files(room: Room, tmp_path: Path) -> None:
    suite = make_suite(room.suite.path.parent, "reported")
    records = [make_record(spec) for spec in suite.specs.values()]

    def reports() -> list[Any]:
        experiment = room.client.get_experiment_by_name("reported").experiment_id
        return list(room.client.search_runs([experiment], "tags.report = 'quick'"))

    def publish() -> Any:
        mirror = MLflowMirror(suite, room.workspace)
        mirror.sync(records)
        mirror.submit_report(tmp_path)
        mirror.close()
        assert mirror.last_error is None
        (run,) = reports()
        return run

    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a b.png").write_bytes(records[0].samples)
    (tmp_path / "leaderboard.md").write_text("# A & B\n\n| x |\n| --: |\n| 1 |\n\n![f](<figures/a b.png>)\n\n<script>")
    (tmp_path / "results.csv").write_text("a\n1\n")
    first = publish()
    assert first.info.run_name == "leaderboard (quick)"
    assert first.info.start_time > max(milliseconds(record.finished) for record in records)  # the newest is on top
    folder = Path(room.client.download_artifacts(first.info.run_id, ""))
    assert sorted(path.name for path in folder.iterdir()) == [
        "figures",
        "leaderboard.html",
        "leaderboard.md",
        "results.csv",
    ]
    page = (folder / "leaderboard.html").read_text()
    assert "<td" in page
    assert 'src="data:image/png;base64,' in page
    assert "figures/" not in page
    assert "<script>" not in page
    assert publish().info.run_id == first.info.run_id
    (tmp_path / "results.csv").write_text("a\n2\n")
    (tmp_path / "figures" / "a b.png").unlink()
    second = publish()
    assert second.info.run_id != first.info.run_id
    assert not [item.path for item in room.client.list_artifacts(second.info.run_id, "figures")]


def test_the_run_of_the_report_holds_verdicts_and_p_values_of_claims(room: Room, tmp_path: Path) -> None:
    suite = load_claims(tmp_path, {"drops": DROP})
    records = records_of(suite, lambda row, seed, step: {"modes": 100.0 - 5 * (step > 100) + 0.001 * seed * step})
    for name in ("leaderboard.md", "results.csv", "claims.csv"):
        (tmp_path / name).write_text("x")
    mirror = MLflowMirror(suite, room.workspace)
    mirror.sync(list(records.values()))
    mirror.submit_report(tmp_path)
    mirror.close(timeout=None)
    experiment = room.client.get_experiment_by_name(suite.name).experiment_id
    (run,) = room.client.search_runs([experiment], "tags.report = 'paper'")
    assert run.data.tags["claim.drops"] == "supported"
    assert run.data.metrics["claim/drops/difference"] == pytest.approx(-4.8)
    assert run.data.metrics["claim/drops/p_for"] < 0.05
    assert "claims.csv" in {artifact.path for artifact in room.client.list_artifacts(run.info.run_id)}


def test_an_unreadable_report_is_an_error_of_the_mirror_only(room: Room, tmp_path: Path) -> None:
    mirror = MLflowMirror(room.suite, room.workspace)
    mirror.submit_report(tmp_path / "none")
    mirror.close()
    assert mirror.last_error is not None
    assert "1 run missing" in mirror.last_error
    assert "leaderboard.md" in mirror.last_error
