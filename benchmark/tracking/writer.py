"""What the mirror writes to MLflow, run by run. Found again by tags, so that nothing piles up.

A trial's run has the tag `trial_id`. Its tag `mirrored`, the digest of what can only be written once, is set last: a
run without it was interrupted, one with another is out of date; both are replaced. Tags that have changed since,
such as a verdict after more seeds, are set anew.
"""

import hashlib
import logging
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config.cells import Cell
from benchmark.config.suite import Suite
from benchmark.core.spec import canonical_json, content_hash
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord, without_samples_png
from benchmark.store.workspace import Workspace, sample_grid_path
from benchmark.tracking.fields import (
    STEP_SIDE,
    metric_points,
    milliseconds,
    published_of,
    sheets_page,
    trial_artifacts,
    trial_params,
    trial_tags,
    upscale,
)
from benchmark.tracking.report_run import report_artifacts, report_tags, verdicts_by_trial

REPORT = "report"  # among the names of runs; no trial is called so
GIVE_UP_AFTER = 3  # failures in a row: the rest of the batch would only wait for a server that is away
PAGE = 1000  # runs in one answer of a search
METRICS, PARAMS = 900, 100  # in one batch; MLflow's limits are 1,000 and 100
DATABASE = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:")
SHEETS = "samples/by step"  # MLflow shows images of one key with a slider over steps

# Unless the user says otherwise: no usage statistics, seconds, not minutes, for a server that is away, and no two lines
# for every run that is written to one.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Writer:
    """Does the work of the mirror, with run ids and batches only: MLflow's fluent state is the user's."""

    def __init__(self, suite: Suite, workspace: Workspace, uri: str | None) -> None:
        self.suite = suite
        self.folder = workspace.mlflow
        self.samples = workspace.samples
        self.own = f"sqlite:///{workspace.mlflow / 'mlflow.db'}"
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or self.own
        self.experiment = ""
        self.written: list[str] = []  # trial ids, and REPORT, whose runs were made
        self._client: Any = None
        self._store = RecordStore(workspace.results)
        self._known: dict[str, TrialRecord] = {}  # without their pictures
        self._trouble: Exception | None = None  # why the last batch was given up
        self._cells: dict[str, list[Cell]] = defaultdict(list)
        for cell in suite.cells:
            for spec in cell.specs:
                self._cells[spec.trial_id].append(cell)

    def write(self, records: Sequence[TrialRecord]) -> Iterator[tuple[str, Exception | None]]:
        """Yields every trial id with None when its run is there, else with what was in the way.

        With a record come those of its cells' other seeds: it may have changed their verdict.
        """
        failures, trouble = 0, None
        runs: dict[str, list[Any]] = {}
        verdicts: Mapping[str, Mapping[str, str]] = {}
        self._known |= {record.trial_id: without_samples_png(record) for record in records}
        try:
            self._connect()
            self.experiment = self._experiment()
            runs = self._runs("trial_id")
            verdicts = verdicts_by_trial(self.suite, self._known)
        except Exception as problem:
            failures, trouble = GIVE_UP_AFTER, problem
        for record in self._with_siblings(records):
            if failures < GIVE_UP_AFTER:
                try:
                    self._write(record, runs.get(record.trial_id, []), verdicts.get(record.trial_id, {}))
                    failures, trouble = 0, None
                except Exception as problem:
                    failures, trouble = failures + 1, problem
            yield record.trial_id, trouble
        self._trouble = trouble if failures >= GIVE_UP_AFTER else None

    def write_report(self, folder: Path) -> Exception | None:
        """Leave exactly one run of the report of this suite and scale, and return what was in the way, if anything.

        A server that was away a moment ago is not asked again.
        """
        if self._trouble is not None:
            return self._trouble
        try:
            self._connect()
            self.experiment = self._experiment()
            self._write_report(folder)
        except Exception as problem:
            return problem
        return None

    def _with_siblings(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        wanted = {record.trial_id: record for record in records}
        for trial_id in list(wanted):
            for cell in self._cells[trial_id]:
                ids = [spec.trial_id for spec in cell.specs]
                wanted |= {one: self._known[one] for one in ids if one in self._known and one not in wanted}
        return list(wanted.values())

    def _connect(self) -> None:
        if self._client is not None:
            return
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        if "MLFLOW_LOGGING_LEVEL" not in os.environ:  # MLflow tells of every table that it creates
            for noisy in ("mlflow", "alembic", "urllib3.connectionpool"):
                logging.getLogger(noisy).setLevel(logging.ERROR)
        if self.uri == self.own:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(self.uri, self.uri)

    def _experiment(self) -> str:
        """The id of the suite's experiment. One deleted, or moved with its workspace, is left behind."""
        location = (self.folder / "artifacts").as_uri() if DATABASE.match(self.uri) else None
        found = self._client.get_experiment_by_name(self.suite.name)
        if found is not None:
            moved = self.uri == self.own and found.artifact_location != location
            if found.lifecycle_stage == "active" and not moved:
                return str(found.experiment_id)
            if found.lifecycle_stage != "active":  # its name can only be freed while it is active
                self._client.restore_experiment(found.experiment_id)
            old = f"{self.suite.name} (replaced, {found.experiment_id})"
            self._client.rename_experiment(found.experiment_id, old)
            self._client.delete_experiment(found.experiment_id)
        tags = {
            "mlflow.note.content": f"{self.suite.title}. {self.suite.about}",
            "mlflow.experimentKind": "custom_model_development",
        }
        return str(self._client.create_experiment(self.suite.name, location, tags))

    def _runs(self, tag: str) -> dict[str, list[Any]]:
        """Value of the tag -> the runs that have it, from one paged search."""
        runs, token = defaultdict(list), None
        while True:
            page = self._client.search_runs(
                [self.experiment], f"tags.{tag} LIKE '%'", max_results=PAGE, page_token=token
            )
            for run in page:
                runs[run.data.tags[tag]].append(run)
            token = page.token
            if not token:
                return runs

    def _write(self, record: TrialRecord, old: Sequence[Any], verdicts: Mapping[str, str]) -> None:
        """Leave exactly one run of this trial: the newest complete one."""
        cells = self._cells[record.trial_id]
        published = published_of(record.spec, cells)
        bare = record.model_dump_json(exclude={"samples_png", "histograms"})  # they are of the same training
        content = bare + canonical_json({key: one.value for key, one in published.items()})
        mark = hashlib.sha256(content.encode()).hexdigest()[:16]
        tags = trial_tags(record, self.suite, cells, verdicts)
        end = milliseconds(record.finished)
        kept = self._cleared(old, mark, end)
        if kept is not None:
            if kept.data.tags["mirrored"] == mark:
                self._set_tags(kept, tags)
            return
        run_id = self._client.create_run(self.experiment, milliseconds(record.started), tags).info.run_id
        whole = record if record.samples_png else self._store.read(record.trial_id) or record
        self._log(run_id, tags["mlflow.runName"], whole, {key: one.value for key, one in published.items()})
        self._client.set_terminated(run_id, "FINISHED" if record.status == "finished" else "FAILED", end)
        self._client.set_tag(run_id, "mirrored", mark)
        self.written.append(record.trial_id)

    def _write_report(self, folder: Path) -> None:
        tags = report_tags(self.suite, self._known)
        files = report_artifacts(folder)
        mark = content_hash({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})[:16]
        end = max((milliseconds(record.finished) for record in self._known.values()), default=0)
        kept = self._cleared(self._runs("report").get(tags["report"], []), mark, end)
        if kept is not None:
            return
        run_id = self._client.create_run(self.experiment, end + 1, tags).info.run_id  # sorts before all trials
        self._log_files(run_id, files)
        self._client.set_terminated(run_id, "FINISHED", end + 1)
        self._client.set_tag(run_id, "mirrored", mark)
        self.written.append(REPORT)

    def _cleared(self, old: Sequence[Any], mark: str, end: int) -> Any:
        """The run that may stay, or None; all others are deleted.

        A newer run is someone else's result of the same trial on a shared server. It stays.
        """
        done = [run for run in old if run.data.tags.get("mirrored")]
        kept = [run for run in done if run.data.tags["mirrored"] == mark or run.info.end_time > end + 1][:1]
        for run in old:
            if run not in kept:
                self._client.delete_run(run.info.run_id)
        return kept[0] if kept else None

    def _set_tags(self, run: Any, tags: Mapping[str, str]) -> None:
        """Set our tags that have changed. Name and note may be the user's by now."""
        from mlflow.entities import RunTag

        ours = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
        changed = [RunTag(key, value) for key, value in ours.items() if run.data.tags.get(key) != value]
        if changed:
            self._client.log_batch(run.info.run_id, tags=changed)

    def _log(self, run_id: str, name: str, record: TrialRecord, published: Mapping[str, float]) -> None:
        from mlflow.entities import Dataset, DatasetInput, Metric, Param

        params = [Param(key, value) for key, value in trial_params(record).items()]
        metrics = [Metric(*point) for point in metric_points(record, published)]
        for start in range(0, len(params), PARAMS):
            self._client.log_batch(run_id, params=params[start : start + PARAMS])
        for start in range(0, len(metrics), METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS])
        if record.data:
            data = Dataset(record.spec.dataset, content_hash(record.data)[:8], "local", canonical_json(record.data))
            self._client.log_inputs(run_id, [DatasetInput(data, [])])
        sheets = self._sheets(record)
        page = {"samples_by_step.html": sheets_page(name, sheets)} if sheets else {}
        self._log_files(run_id, trial_artifacts(record) | page)
        for step, png in sheets.items():
            self._client.log_image(run_id, upscale(png, STEP_SIDE), key=SHEETS, step=step, synchronous=True)

    def _sheets(self, record: TrialRecord) -> dict[int, bytes]:
        """Step -> sheet of every measurement, as far as they were kept; others are of an earlier attempt."""
        paths = {entry.step: sample_grid_path(self.samples, record.trial_id, entry.step) for entry in record.history}
        return {step: path.read_bytes() for step, path in paths.items() if path.is_file()}

    def _log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix="mlflow-mirror-") as scratch:
            for name, content in files.items():
                path = Path(scratch) / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            self._client.log_artifacts(run_id, scratch)
