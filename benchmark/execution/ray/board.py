"""The message board of a run: workers post progress and records there, and the driver collects them.

The board is a Ray actor, so it needs no shared filesystem. It keeps only the latest progress of each trial, so even a
thousand workers cost the driver no more than a few messages a second.
"""

from typing import Any

ProgressFields = dict[str, Any]  # of benchmark.trials.job.Progress, whose import would load torch into this process


class MessageBoard:
    """Runs as a Ray actor on the driver's machine, so that it lives exactly as long as the driver."""

    def __init__(self) -> None:
        self._stop_requested = False
        self._progress: dict[str, ProgressFields] = {}  # by trial id
        self._records: list[str] = []
        self._preempted: list[str] = []

    def report_progress(self, trial_id: str, progress: ProgressFields) -> bool:
        """Keep a trial's latest progress. Returns whether the trial should stop."""
        uncollected_note = self._progress.get(trial_id, {}).get("note", "")
        self._progress[trial_id] = progress | {"note": progress["note"] or uncollected_note}
        return self._stop_requested

    def submit_record(self, record: str) -> None:
        """Keep the record of an attempt, as JSON."""
        self._records.append(record)

    def report_preempted(self, trial_id: str) -> None:
        """Note that a trial has written a checkpoint because its machine is being taken away."""
        self._preempted.append(trial_id)

    def drain(self, stop_requested: bool) -> tuple[list[ProgressFields], list[str], list[str]]:
        """Hand the driver all progress, records and ids of preempted trials since the last call.

        `stop_requested`: whether workers should stop from now on.
        """
        self._stop_requested = stop_requested
        messages = list(self._progress.values()), self._records, self._preempted
        self._progress, self._records, self._preempted = {}, [], []
        return messages
