"""The mirror of the store in MLflow: one experiment per suite, one run per trial. For the driver only.

The store is the truth and MLflow a view of it, so nothing that MLflow does or fails to do may stop a run. All
writing, and the import of MLflow, happens in one background thread that remembers what went wrong; the next
`run` writes what is missing. A run is found again by its tag `trial_id`. Its tag `mirrored`, the digest of
the record, is set last: a run without it was interrupted, one with another is out of date; both are replaced.
"""

import hashlib
import logging
import os
import re
import shlex
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.cells import Cell
from benchmark.spec import canonical, digest
from benchmark.store import TrialRecord
from benchmark.suite import Suite
from benchmark.tracking_terms import files_of, milliseconds, params_of, points_of, tags_of
from benchmark.workspace import Workspace

CLOSE_SECONDS = 60.0  # how long the end of a run waits for MLflow
GIVE_UP_AFTER = 3  # failures in a row: the rest of the batch would only wait for a server that is away
PAGE = 1000  # runs in one answer of a search
METRICS, PARAMS = 900, 100  # in one batch; MLflow's limits are 1,000 and 100
DATABASE = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:")

# Unless the user says otherwise: no usage statistics, and seconds, not minutes, for a server that is away.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


class Mirror:
    """Mirrors records in the background. No method raises because of MLflow; only `close` waits for it."""

    def __init__(self, suite: Suite, workspace: Workspace, uri: str | None = None) -> None:
        """`uri` is MLflow's tracking URI: else MLFLOW_TRACKING_URI, else SQLite in the workspace."""
        self._writer = _Writer(suite, workspace, uri)
        self._changed = threading.Condition()
        self._waiting: dict[str, TrialRecord] = {}
        self._missing: dict[str, str] = {}  # trial id -> why its run is not there
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, record: TrialRecord) -> None:
        """Have one record mirrored soon."""
        self.sync([record])

    def sync(self, records: Iterable[TrialRecord]) -> None:
        """Have all records mirrored soon; those that are there already cost one search together."""
        new = {record.trial_id: record for record in records}
        if not new:
            return
        with self._changed:
            self._waiting |= new
            self._missing |= dict.fromkeys(new, "not written in time")
            self._closed = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Wait, at most `timeout` seconds, until everything has been tried."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    @property
    def problem(self) -> str | None:
        """Why MLflow lacks runs, in one line, or None when it has them all."""
        with self._changed:
            reasons = list(self._missing.values())
        if not reasons:
            return None
        count = f"{len(reasons)} run{'s' if len(reasons) > 1 else ''}"
        return f"{count} missing at {_without_password(self._writer.uri)}: {reasons[-1]}"

    @property
    def ui_command(self) -> str:
        """What shows the runs: a command for a database, the address of a server."""
        uri = _without_password(self._writer.uri)
        if not DATABASE.match(uri):
            return uri
        shown = shlex.quote(uri) if uri == self._writer.uri else '"$MLFLOW_TRACKING_URI"'
        return f"mlflow ui --workers 1 --backend-store-uri {shown}"  # four workers take a minute to start

    @property
    def page(self) -> str | None:
        """Where the suite's runs are then found; None before the first is written.

        MLflow's own links lead past the runs, to pages about language models.
        """
        uri = _without_password(self._writer.uri)
        if not self._writer.experiment or not (uri.startswith("http") or DATABASE.match(uri)):
            return None
        server = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
        return f"{server}/#/experiments/{self._writer.experiment}/runs?workflowType=machine_learning"

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    self._thread = None
                    return
                batch, self._waiting = self._waiting, {}
            for trial_id, trouble in self._writer.write(list(batch.values())):
                with self._changed:
                    if trouble is not None:
                        self._missing[trial_id] = _told(trouble)
                    elif trial_id not in self._waiting:
                        self._missing.pop(trial_id, None)


class _Writer:
    """Does the work of the mirror, with run ids and batches only: MLflow's fluent state is the user's."""

    def __init__(self, suite: Suite, workspace: Workspace, uri: str | None) -> None:
        self.suite = suite
        self.folder = workspace.mlflow
        self.own = f"sqlite:///{workspace.mlflow / 'mlflow.db'}"
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or self.own
        self.experiment = ""
        self._client: Any = None
        self._cells: dict[str, list[Cell]] = defaultdict(list)
        for cell in suite.cells:
            for spec in cell.specs:
                self._cells[spec.trial_id].append(cell)

    def write(self, records: Sequence[TrialRecord]) -> Iterator[tuple[str, Exception | None]]:
        """Yields every trial id with None when its run is there, else with what was in the way."""
        failures, trouble = 0, None
        runs: dict[str, list[Any]] = {}
        try:
            self._connect()
            self.experiment = self._experiment()
            runs = self._runs(records)
        except Exception as problem:
            failures, trouble = GIVE_UP_AFTER, problem
        for record in records:
            if failures < GIVE_UP_AFTER:
                try:
                    self._write(record, runs.get(record.trial_id, []))
                    failures, trouble = 0, None
                except Exception as problem:
                    failures, trouble = failures + 1, problem
            yield record.trial_id, trouble

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

    def _runs(self, records: Sequence[TrialRecord]) -> dict[str, list[Any]]:
        """Trial id -> its runs: of one trial by its tag, of many in one paged search over the experiment."""
        only = f"tags.trial_id = '{records[0].trial_id}'" if len(records) == 1 else ""
        runs, token = defaultdict(list), None
        while True:
            page = self._client.search_runs([self.experiment], only, max_results=PAGE, page_token=token)
            for run in page:
                runs[run.data.tags.get("trial_id", "")].append(run)
            token = page.token
            if not token:
                return runs

    def _write(self, record: TrialRecord, old: Sequence[Any]) -> None:
        """Leave exactly one run of this trial: the newest complete one."""
        mark = hashlib.sha256(record.model_dump_json().encode()).hexdigest()[:16]
        start, end = milliseconds(record.started), milliseconds(record.finished)
        done = [run for run in old if run.data.tags.get("mirrored")]
        # A newer run is someone else's result of the same trial on a shared server. It stays.
        kept = [run for run in done if run.data.tags["mirrored"] == mark or run.info.end_time > end][:1]
        for run in old:
            if run not in kept:
                self._client.delete_run(run.info.run_id)
        if kept:
            return
        tags = tags_of(record, self.suite, self._cells[record.trial_id])
        run_id = self._client.create_run(self.experiment, start, tags).info.run_id
        self._log(run_id, record)
        self._client.set_terminated(run_id, "FINISHED" if record.status == "finished" else "FAILED", end)
        self._client.set_tag(run_id, "mirrored", mark)

    def _log(self, run_id: str, record: TrialRecord) -> None:
        from mlflow.entities import Dataset, DatasetInput, Metric, Param

        params = [Param(key, value) for key, value in params_of(record).items()]
        metrics = [Metric(*point) for point in points_of(record)]
        for start in range(0, len(params), PARAMS):
            self._client.log_batch(run_id, params=params[start : start + PARAMS])
        for start in range(0, len(metrics), METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS])
        if record.data:
            data = Dataset(record.spec.dataset, digest(record.data)[:8], "local", canonical(record.data))
            self._client.log_inputs(run_id, [DatasetInput(data, [])])
        with tempfile.TemporaryDirectory(prefix="mlflow-mirror-") as scratch:
            for name, content in files_of(record).items():
                (Path(scratch) / name).write_bytes(content)
            self._client.log_artifacts(run_id, scratch)


def _told(trouble: Exception) -> str:
    """One short line without secrets."""
    line = " ".join(f"{type(trouble).__name__}: {trouble}".split())
    return _without_password(line if len(line) <= 300 else f"{line[:200]} ... {line[-95:]}")


def _without_password(text: str) -> str:
    return re.sub(r"(?<=:)//[^/@\s]+@", "//", text)
