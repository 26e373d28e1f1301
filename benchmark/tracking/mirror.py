"""The mirror of the store in MLflow: one experiment per suite, one run per trial, one run for the report.

The store holds the data and MLflow is a view of it, so a failure of MLflow never stops a run. One background thread
imports MLflow, writes to it and remembers errors; the next `run` writes what is missing. Only the driver uses it.
"""

import re
import shlex
import threading
from collections.abc import Iterable
from pathlib import Path

from benchmark.config.suite import Suite
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.tracking.writer import DATABASE, REPORT, MLflowWriter

CLOSE_SECONDS = 60.0  # how long the end of a run waits for MLflow


class MLflowMirror:
    """Mirrors records in the background. No method raises because of MLflow; only `close` waits for it.

    Args:
        suite: the suite whose trials are mirrored.
        workspace: the workspace of the records and, by default, of MLflow's database.
        uri: MLflow's tracking URI; None: MLFLOW_TRACKING_URI, or else SQLite in the workspace.
    """

    def __init__(self, suite: Suite, workspace: Workspace, uri: str | None = None) -> None:
        self._writer = MLflowWriter(suite, workspace, uri)
        self._changed = threading.Condition()
        self._pending: dict[str, TrialRecord] = {}
        self._pending_report: Path | None = None
        self._errors: dict[str, str] = {}  # trial id, or REPORT -> why its run is missing
        self._closed = False
        self._thread: threading.Thread | None = None

    def sync(self, records: Iterable[TrialRecord]) -> None:
        """Queue records. Those that are already mirrored cost one search in all."""
        by_id = {record.trial_id: record for record in records}
        if by_id:
            self._enqueue(by_id, None)

    def submit_report(self, folder: Path) -> None:
        """Queue the report in `folder`; it is written after all queued records, unless it is already mirrored."""
        self._enqueue({}, folder)

    def _enqueue(self, records: dict[str, TrialRecord], report: Path | None) -> None:
        with self._changed:
            self._pending |= records
            self._pending_report = report or self._pending_report
            self._errors |= dict.fromkeys([*records, *([REPORT] if report else [])], "not written in time")
            self._closed = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, timeout: float | None = CLOSE_SECONDS) -> None:
        """Wait until the queue is empty, at most `timeout` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    @property
    def last_error(self) -> str | None:
        """The number of missing runs and the last reason, in one line; None if none is missing."""
        with self._changed:
            errors = list(self._errors.values())
        if not errors:
            return None
        count = f"{len(errors)} run{'s' if len(errors) > 1 else ''}"
        return f"{count} missing at {self.uri}: {errors[-1]}"

    @property
    def synced_ids(self) -> tuple[str, ...]:
        """The trial ids, and REPORT, whose runs this mirror has created."""
        return tuple(self._writer.written)

    @property
    def uri(self) -> str:
        """MLflow's tracking URI, without a password."""
        return _without_password(self._writer.uri)

    @property
    def ui_command(self) -> str:
        """The command that shows the runs of a database, or the address of a server."""
        if not DATABASE.match(self.uri):
            return self.uri
        shown = shlex.quote(self.uri) if self.uri == self._writer.uri else '"$MLFLOW_TRACKING_URI"'
        # local only, as every client of the server may change runs; one worker, as four take a minute to start
        return f"mlflow ui --host 127.0.0.1 --workers 1 --backend-store-uri {shown}"

    @property
    def experiment_url(self) -> str | None:
        """The page of the suite's runs; None before the first is written. MLflow's own links lead to other pages."""
        is_server = self.uri.startswith("http")
        if not self._writer.experiment or not (is_server or DATABASE.match(self.uri)):
            return None
        server = self.uri.rstrip("/") if is_server else "http://127.0.0.1:5000"
        return f"{server}/#/experiments/{self._writer.experiment}/runs?workflowType=machine_learning"

    @property
    def ui_hint(self) -> str:
        """The command that shows the runs, and the page to open then, if it is known."""
        return self.ui_command + (f"\n  then open {self.experiment_url}" if self.experiment_url else "")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._pending_report or self._closed)
                if not self._pending and self._pending_report is None:
                    self._thread = None
                    return
                batch, self._pending = self._pending, {}
                report, self._pending_report = self._pending_report, None
            for trial_id, error in self._writer.write(list(batch.values())):
                self._note(trial_id, error)
            if report is not None:
                self._note(REPORT, self._writer.write_report(report))

    def _note(self, name: str, error: Exception | None) -> None:
        with self._changed:
            if error is not None:
                self._errors[name] = _one_line(error)
            elif name not in self._pending and (name != REPORT or self._pending_report is None):
                self._errors.pop(name, None)


def _one_line(error: Exception) -> str:
    """The error in one line of at most 300 characters, without a password."""
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return _without_password(line if len(line) <= 300 else f"{line[:200]} ... {line[-95:]}")


def _without_password(text: str) -> str:
    return re.sub(r"(?<=:)//[^/@\s]+@", "//", text)
