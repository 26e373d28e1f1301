"""Keeps every result the moment it arrives. One that the disk refuses is held on to, and tried again."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.execution.live_view import LiveView
from benchmark.execution.remote_storage import RemoteSync
from benchmark.execution.retries import RunListener
from benchmark.store.claims import Claims
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord, without_samples_png
from benchmark.tracking.mirror import MLflowMirror
from benchmark.training.checkpoint import Checkpoints, trials_with_checkpoints
from benchmark.trials.job import Progress

AGAIN_SECONDS = 5.0  # between two tries at what the disk refused

monotonic = time.monotonic


@dataclass
class ResultSink(RunListener):
    """Stores, then forgets what the record makes superfluous, then mirrors.

    `checkpoints` is where those of trials whose record is stored are removed, `claims` where such trials are let go of,
    `depot` brings records to a storage.
    """

    store: RecordStore
    mirror: MLflowMirror | None
    view: LiveView
    checkpoints: Path | None = None
    claims: Claims | None = None
    say: Callable[[str], None] = lambda _: None
    depot: RemoteSync | None = None
    unstored: dict[str, TrialRecord] = field(default_factory=dict)
    problem: str = ""  # why the disk refuses them
    _tried: float = 0.0

    def started(self, trial_id: str) -> None:
        """Show it."""
        self.view.started(trial_id)

    def progressed(self, progress: Progress) -> None:
        """Show it."""
        self.view.progressed(progress)
        if self.unstored and monotonic() - self._tried >= AGAIN_SECONDS:
            self.settle()

    def failed(self, trial_id: str, reason: str) -> None:
        """Show it."""
        self.view.failed(trial_id, reason)

    def finished(self, record: TrialRecord) -> None:
        """Store first: the record is the truth."""
        self.unstored[record.trial_id] = record
        self.settle()
        self.view.finished(record)

    def done_elsewhere(self, trial_id: str) -> None:
        """Another run has stored the record of a trial."""
        if record := self.store.read(trial_id):
            self.view.finished(record)

    def forget(self, trial_ids: Iterable[str]) -> None:
        """Remove the checkpoints of trials whose record was stored just before their run was killed."""
        if self.checkpoints:
            for trial_id in trials_with_checkpoints(self.checkpoints).intersection(trial_ids):
                Checkpoints(self.checkpoints, trial_id).forget()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """At whatever end, what is not stored is tried once more; a bad end also tells of the rest."""
        try:
            yield
        except BaseException:
            self.settle()
            if self.unstored:
                self.say(self.told())
            raise
        self.settle()

    def settle(self) -> None:
        """Store what is not stored yet, as far as the disk lets it."""
        self._tried = monotonic()
        for record in list(self.unstored.values()):
            try:
                self.store.write(record)
            except OSError as error:
                self._refused(error)
                break
            del self.unstored[record.trial_id]
            self._stored(record)
        else:
            if self.problem:
                self.say("all results that the disk had refused are stored now")
            self.problem = ""

    def told(self) -> str:
        """What is to be done about results that are not stored; empty when there are none."""
        if not self.unstored:
            return ""
        count = f"{len(self.unstored)} result{'s' if len(self.unstored) > 1 else ''}"
        return (
            f"{count} could not be stored in {self.store.folder}: {self.problem}. Make room there, or make it"
            " writable, and run the same command again: a trial whose last checkpoint was written is not trained again"
        )

    def _refused(self, error: OSError) -> None:
        why = error.strerror or str(error)
        if not self.problem:
            self.say(f"a result cannot be stored in {self.store.folder} ({why}): it is kept in memory and tried again")
        self.problem = why

    def _stored(self, record: TrialRecord) -> None:
        if self.depot:
            with suppress(OSError):  # a storage that does not answer gets it at the end
                self.depot.keep(record)
        if self.checkpoints and record.status != "failed":
            Checkpoints(self.checkpoints, record.trial_id).forget()
        if self.claims:
            self.claims.release(record.trial_id)
        if self.mirror:
            self.mirror.submit(without_samples_png(record))  # many may wait for a server that is away
