"""Writes runs to MLflow, and finds them again by their tags instead of writing them twice.

A trial's run has the tag `trial_id`. Its tag `mirrored`, a digest of everything that can be written only once, is set
last: a run without it was interrupted, and one with another digest is out of date; both are replaced. Tags that have
changed since, such as a verdict after more seeds, are updated.
"""

import hashlib
import logging
import os
import platform
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from benchmark.config.cells import Cell
from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.spec import canonical_json, content_hash
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord, without_samples
from benchmark.store.sample_grids import THUMBNAIL_COLUMNS, side_by_side
from benchmark.store.workspace import Workspace, sample_grid_path
from benchmark.tracking.fields import (
    MAX_VALUE,
    STEP_SIDE,
    metric_points,
    milliseconds,
    published_of,
    sample_grids_page,
    trial_artifacts,
    trial_params,
    trial_tags,
    upscale,
)
from benchmark.tracking.report_run import judgement_tags, report_artifacts, report_metrics, report_tags

REPORT = "report"  # in place of a trial id
GIVE_UP_AFTER = 3  # consecutive failures; the rest of the batch would only wait for an unreachable server
TITLE = "suite_title"  # a tag of experiments
MAX_NAME = 500  # characters of an experiment's name
PAGE = 1000  # runs per page of a search
METRICS, PARAMS = 900, 100  # per batch; MLflow's limits are 1,000 and 100
DATABASE = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:")
SAMPLES_KEY = "samples/by step"  # MLflow shows images of one key with a slider over steps

# Defaults that the user may override: no usage statistics, seconds instead of minutes for an unreachable server, and no
# two printed lines per run.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def sqlite_uri(path: Path) -> str:
    """The URI of a SQLite file. MLflow and SQLAlchemy give these three characters of a path a meaning."""
    return f"sqlite:///{str(path).translate({ord(c): quote(c) for c in '%?#'})}"


def is_folder(uri: str) -> bool:
    """Whether a tracking URI means MLflow's old store of files: a path, or `file:`."""
    return ":" not in uri or uri.startswith("file:")


class MLflowWriter:
    """Writes records and reports through MLflow's client API; the fluent API's global state belongs to the user."""

    def __init__(self, suite: Suite, workspace: Workspace, uri: str | None) -> None:
        self.suite = suite
        self.folder = workspace.mlflow
        self.samples = workspace.samples
        self.own_uri = sqlite_uri(workspace.mlflow / "mlflow.db")
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or self.own_uri
        self.origin = f"{platform.node()}:{workspace.mlflow.parent}"
        self.experiment_name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")  # found by `_find_experiment` if empty
        self.experiment = ""
        self.written: list[str] = []  # trial ids, and REPORT, whose runs were created
        self._client: Any = None
        self._store = RecordStore(workspace.results)
        self._known: dict[str, TrialRecord] = {}  # without their sample grids
        self._unreachable: Exception | None = None  # the error that ended the last batch early
        self._cells: dict[str, list[Cell]] = defaultdict(list)
        for cell in suite.cells:
            for spec in cell.specs:
                self._cells[spec.trial_id].append(cell)

    def write(self, records: Sequence[TrialRecord]) -> Iterator[tuple[str, Exception | None]]:
        """Write records and yield every trial id with None, or with the error that prevented its run.

        The records of the other seeds of a record's cells are updated too, as their verdict may have changed.
        """
        with self._only_writer():
            yield from self._write_all(records)

    def _write_all(self, records: Sequence[TrialRecord]) -> Iterator[tuple[str, Exception | None]]:
        failures, error = 0, None
        runs: dict[str, list[Any]] = {}
        judgements: Mapping[str, Mapping[str, str]] = {}
        self._known |= {record.trial_id: without_samples(record) for record in records}
        try:
            self._connect()
            runs = self._runs("trial_id")
            judgements = judgement_tags(self.suite, self._known)
        except Exception as caught:
            failures, error = GIVE_UP_AFTER, caught
        for record in self._with_siblings(records):
            if failures < GIVE_UP_AFTER:
                try:
                    self._write(record, runs.get(record.trial_id, []), judgements.get(record.trial_id, {}))
                    failures, error = 0, None
                except Exception as caught:
                    failures, error = failures + 1, caught
            yield record.trial_id, error
        self._unreachable = error if failures >= GIVE_UP_AFTER else None

    def write_report(self, folder: Path) -> Exception | None:
        """Write the report as the one run of this suite and scale; returns the error that prevented it, if any.

        Does not try a server again that was unreachable for the last batch.
        """
        if self._unreachable is not None:
            return self._unreachable
        with self._only_writer():
            return self._write_report(folder)

    def _write_report(self, folder: Path) -> Exception | None:
        try:
            self._connect()
            tags, files = report_tags(self.suite, self._known), report_artifacts(folder)
            metrics = report_metrics(self.suite, self._known)
            digest = content_hash({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})[:16]
            end = max((milliseconds(record.finished) for record in self._known.values()), default=0)
            same_part = self._runs("report").get(tags["report"], [])  # of every suite in this experiment
            if (
                self._keep_one([run for run in same_part if run.data.tags["suite"] == self.suite.name], digest, end)
                is None
            ):
                run_id = self._create_run(end + 1, tags)  # sorts before all trials
                self._log_metrics(run_id, [(key, value, end + 1, 0) for key, value in metrics.items()])
                self._log_files(run_id, files)
                self._complete(run_id, "FINISHED", end + 1, digest)
                self.written.append(REPORT)
        except Exception as caught:
            return caught
        return None

    def _with_siblings(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        """The records, and those of the other seeds of their cells."""
        given = {record.trial_id: record for record in records}
        ids = dict.fromkeys(spec.trial_id for i in given for cell in self._cells[i] for spec in cell.specs)
        return list((given | {i: self._known[i] for i in ids if i in self._known and i not in given}).values())

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Wait for other processes that mirror this workspace: each would create the runs that are missing."""
        with ExitStack() as stack:
            with suppress(OSError, NotImplementedError):  # a read-only workspace, or a file system without locks
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(self.folder / "mirror.lock"))
            yield

    def _connect(self) -> None:
        """Import MLflow, create the client, and look up the experiment."""
        if self._client is None:
            for name, value in SETTINGS.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            if "MLFLOW_LOGGING_LEVEL" not in os.environ:  # MLflow logs every table that it creates
                for name in ("mlflow", "alembic", "urllib3.connectionpool"):
                    logging.getLogger(name).setLevel(logging.ERROR)
            if is_folder(self.uri) and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() != "true":
                raise UserError(
                    f"MLflow no longer stores runs in a folder, as {self.uri} asks for; set MLFLOW_TRACKING_URI to"
                    " sqlite:///PATH/mlflow.db, or unset it to use the workspace's own database"
                )
            if self.uri == self.own_uri:
                self.folder.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(self.uri, self.uri)
        self.experiment = self._find_experiment()

    def _find_experiment(self) -> str:
        """The id of the suite's experiment; replaces one that was deleted, or moved with its workspace."""
        location = (self.folder / "artifacts").as_uri() if DATABASE.match(self.uri) else None
        self.experiment_name = self.experiment_name or self._suite_experiment()
        existing = self._client.get_experiment_by_name(self.experiment_name)
        if existing is not None:
            moved = self.uri == self.own_uri and existing.artifact_location != location
            if existing.lifecycle_stage == "active" and not moved:
                return str(existing.experiment_id)
            if existing.lifecycle_stage != "active":  # only active experiments can be renamed
                self._client.restore_experiment(existing.experiment_id)
            replaced = f"{self.experiment_name} (replaced, {existing.experiment_id})"
            self._client.rename_experiment(existing.experiment_id, replaced)
            self._client.delete_experiment(existing.experiment_id)
        tags = {
            "mlflow.note.content": f"{self.suite.title}. {self.suite.about}"[:MAX_VALUE],
            "mlflow.experimentKind": "custom_model_development",
            TITLE: self.suite.title[:MAX_VALUE],
        }
        return str(self._client.create_experiment(self.experiment_name, location, tags))

    def _suite_experiment(self) -> str:
        """The name of the suite's file, with its title if another suite of that name has an experiment."""
        existing = self._client.get_experiment_by_name(self.suite.name)
        title = self.suite.title[:MAX_VALUE]
        is_ours = existing is None or existing.tags.get(TITLE, title) == title
        return self.suite.name if is_ours else f"{self.suite.name}: {title}"[:MAX_NAME]

    def _runs(self, tag: str) -> dict[str, list[Any]]:
        """Value of a tag -> the runs that have it, by one paged search."""
        runs, token, condition = defaultdict(list), None, f"tags.{tag} LIKE '%'"
        while True:
            page = self._client.search_runs([self.experiment], condition, max_results=PAGE, page_token=token)
            for run in page:
                runs[run.data.tags[tag]].append(run)
            if not (token := page.token):
                return runs

    def _write(self, record: TrialRecord, old: Sequence[Any], judgements: Mapping[str, str]) -> None:
        """Leave exactly one run of this trial: the newest complete one."""
        cells = self._cells[record.trial_id]
        published = {key: value.value for key, value in published_of(record.spec, cells).items()}
        numbers = record.model_dump_json(exclude={"samples_png", "points_npy", "histograms"})  # of the same training
        digest = hashlib.sha256((numbers + canonical_json(published)).encode()).hexdigest()[:16]
        tags = trial_tags(record, self.suite, cells, judgements)
        end = milliseconds(record.finished)
        kept = self._keep_one(old, digest, end)
        if kept is not None:
            if kept.data.tags["mirrored"] == digest:
                self._set_tags(kept, tags)
            return
        run_id = self._create_run(milliseconds(record.started), tags)
        complete = record if record.samples_png else self._store.read(record.trial_id) or record
        self._log(run_id, tags["mlflow.runName"], complete, published)
        self._complete(run_id, "FINISHED" if record.status == "finished" else "FAILED", end, digest)
        self.written.append(record.trial_id)

    def _create_run(self, start: int, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self.experiment, start, {**tags, "workspace": self.origin})
        return str(run.info.run_id)

    def _complete(self, run_id: str, status: str, end: int, digest: str) -> None:
        self._client.set_terminated(run_id, status, end)
        self._client.set_tag(run_id, "mirrored", digest)

    def _keep_one(self, old: Sequence[Any], digest: str, end: int) -> Any:
        """Delete all runs but one that is up to date or newer, and return that one, or None.

        A newer run of another workspace is another user's result of the same trial on a shared server. Runs of this
        workspace are replaced even if they seem newer, because the clock may have been set back.
        """
        complete = [run for run in old if run.data.tags.get("mirrored")]
        kept = [run for run in complete if run.data.tags["mirrored"] == digest or self._is_newer(run, end)][:1]
        for run in old:
            if run not in kept:
                self._client.delete_run(run.info.run_id)
        return kept[0] if kept else None

    def _is_newer(self, run: Any, end: int) -> bool:
        """Whether another workspace wrote the run, and later."""
        is_foreign = self.uri != self.own_uri and run.data.tags.get("workspace") != self.origin
        return bool(is_foreign and run.info.end_time > end + 1)

    def _set_tags(self, run: Any, tags: Mapping[str, str]) -> None:
        """Update our tags that have changed, except for name and note, which the user may have edited."""
        from mlflow.entities import RunTag

        ours = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
        changed = [RunTag(key, value) for key, value in ours.items() if run.data.tags.get(key) != value]
        if changed:
            self._client.log_batch(run.info.run_id, tags=changed)

    def _log(self, run_id: str, name: str, record: TrialRecord, published: Mapping[str, float]) -> None:
        from mlflow.entities import Dataset, DatasetInput, Param

        params = [Param(key, value) for key, value in trial_params(record).items()]
        for start in range(0, len(params), PARAMS):
            self._client.log_batch(run_id, params=params[start : start + PARAMS])
        self._log_metrics(run_id, list(metric_points(record, published)))
        if record.data:
            data = Dataset(record.spec.dataset, content_hash(record.data)[:8], "local", canonical_json(record.data))
            self._client.log_inputs(run_id, [DatasetInput(data, [])])
        grids = self._sample_grids(record)
        page = {"samples_by_step.html": sample_grids_page(name, grids)} if grids else {}
        self._log_files(run_id, trial_artifacts(record) | page)
        for step, png in grids.items():
            self._client.log_image(run_id, upscale(png, STEP_SIDE), key=SAMPLES_KEY, step=step, synchronous=True)

    def _log_metrics(self, run_id: str, points: Sequence[tuple[str, float, int, int]]) -> None:
        """Log points of (key, value, milliseconds since 1970, step)."""
        from mlflow.entities import Metric

        metrics = [Metric(*point) for point in points]
        for start in range(0, len(metrics), METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS])

    def _sample_grids(self, record: TrialRecord) -> dict[int, bytes]:
        """Step -> sample grid, for the evaluations of the record; other files are of an earlier attempt."""
        paths = {entry.step: sample_grid_path(self.samples, record.trial_id, entry.step) for entry in record.history}
        stacked = registry.datasets[record.spec.dataset].stacked
        return {
            step: side_by_side(path.read_bytes(), stacked, THUMBNAIL_COLUMNS)
            for step, path in paths.items()
            if path.is_file()
        }

    def _log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix="mlflow-mirror-") as scratch:
            for name, content in files.items():
                path = Path(scratch) / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            self._client.log_artifacts(run_id, scratch)
