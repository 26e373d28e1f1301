"""The mirror of the store in MLflow: one experiment per suite, one run per trial, one run for the report.

The store is the truth and MLflow a view of it, so nothing that MLflow does or fails to do may stop a run. All
writing, and the import of MLflow, happens in one background thread that remembers what went wrong; the next
`run` writes what is missing. For the driver only.
"""

import re
import shlex
import threading
from collections.abc import Iterable
from pathlib import Path

from benchmark.config.suite import Suite
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.tracking.writer import DATABASE, REPORT, Writer

CLOSE_SECONDS = 60.0  # how long the end of a run waits for MLflow


class MLflowMirror:
    """Mirrors records in the background. No method raises because of MLflow; only `close` waits for it."""

    def __init__(self, suite: Suite, workspace: Workspace, uri: str | None = None) -> None:
        """`uri` is MLflow's tracking URI: else MLFLOW_TRACKING_URI, else SQLite in the workspace."""
        self._writer = Writer(suite, workspace, uri)
        self._changed = threading.Condition()
        self._waiting: dict[str, TrialRecord] = {}
        self._report: Path | None = None
        self._missing: dict[str, str] = {}  # trial id, or REPORT -> why its run is not there
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, record: TrialRecord) -> None:
        """Have one record mirrored soon."""
        self.sync([record])

    def sync(self, records: Iterable[TrialRecord]) -> None:
        """Have all records mirrored soon; those that are there already cost one search together."""
        new = {record.trial_id: record for record in records}
        if new:
            self._ask(new, None)

    def submit_report(self, folder: Path) -> None:
        """Have the report in `folder` mirrored soon, after all records; one that is there already costs a search."""
        self._ask({}, folder)

    def _ask(self, records: dict[str, TrialRecord], report: Path | None) -> None:
        with self._changed:
            self._waiting |= records
            self._report = report or self._report
            self._missing |= dict.fromkeys([*records, *([REPORT] if report else [])], "not written in time")
            self._closed = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, timeout: float | None = CLOSE_SECONDS) -> None:
        """Wait, at most `timeout` seconds, until everything has been tried."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    @property
    def last_error(self) -> str | None:
        """Why MLflow lacks runs, in one line, or None when it has them all."""
        with self._changed:
            reasons = list(self._missing.values())
        if not reasons:
            return None
        count = f"{len(reasons)} run{'s' if len(reasons) > 1 else ''}"
        return f"{count} missing at {self.uri}: {reasons[-1]}"

    @property
    def synced_ids(self) -> tuple[str, ...]:
        """What MLflow lacked and has by now: trial ids, and REPORT."""
        return tuple(self._writer.written)

    @property
    def uri(self) -> str:
        """MLflow's tracking URI, without a password."""
        return _without_password(self._writer.uri)

    @property
    def ui_command(self) -> str:
        """What shows the runs: a command for a database, the address of a server."""
        uri = self.uri
        if not DATABASE.match(uri):
            return uri
        shown = shlex.quote(uri) if uri == self._writer.uri else '"$MLFLOW_TRACKING_URI"'
        # for this machine alone: whoever reaches the server may change runs; four workers take a minute to start
        return f"mlflow ui --host 127.0.0.1 --workers 1 --backend-store-uri {shown}"

    @property
    def experiment_url(self) -> str | None:
        """Where the suite's runs are then found; None before the first is written.

        MLflow's own links lead past the runs, to pages about language models.
        """
        uri = self.uri
        if not self._writer.experiment or not (uri.startswith("http") or DATABASE.match(uri)):
            return None
        server = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
        return f"{server}/#/experiments/{self._writer.experiment}/runs?workflowType=machine_learning"

    @property
    def ui_hint(self) -> str:
        """The command that shows it, and then the page to open, if one is known."""
        return self.ui_command + (f"\n  then open {self.experiment_url}" if self.experiment_url else "")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._report or self._closed)
                if not self._waiting and self._report is None:
                    self._thread = None
                    return
                batch, self._waiting = self._waiting, {}
                report, self._report = self._report, None
            for name, trouble in self._writer.write(list(batch.values())):
                self._note(name, trouble)
            if report is not None:
                self._note(REPORT, self._writer.write_report(report))

    def _note(self, name: str, trouble: Exception | None) -> None:
        with self._changed:
            if trouble is not None:
                self._missing[name] = _told(trouble)
            elif name not in self._waiting and (name != REPORT or self._report is None):
                self._missing.pop(name, None)


def _told(trouble: Exception) -> str:
    """One short line without secrets."""
    line = " ".join(f"{type(trouble).__name__}: {trouble}".split())
    return _without_password(line if len(line) <= 300 else f"{line[:200]} ... {line[-95:]}")


def _without_password(text: str) -> str:
    return re.sub(r"(?<=:)//[^/@\s]+@", "//", text)
