"""Stores every result as soon as it arrives; a result that the disk refuses stays in memory and is tried again."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.execution.events import Event, RunListener, TrialFinished
from benchmark.execution.remote_storage import RemoteSync
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord, without_samples
from benchmark.store.trial_claims import TrialClaims
from benchmark.tracking.mirror import MLflowMirror
from benchmark.training.checkpoint import Checkpoints, trials_with_checkpoints
from benchmark.trials.job import Progress

RETRY_SECONDS = 5.0  # between two attempts to store records that the disk refused

logger = logging.getLogger(__name__)
monotonic = time.monotonic


@dataclass(kw_only=True)
class ResultSink(RunListener):
    """Stores records, then uploads and mirrors them and removes the checkpoints and claims that they make obsolete.

    Args:
        store: the record store.
        mirror: the MLflow mirror, if there is one.
        checkpoints: the folder with the checkpoints of all trials; None keeps them.
        claims: the claims of this run, if it shares its workspace.
        remote: the remote storage, if there is one.
    """

    store: RecordStore
    mirror: MLflowMirror | None = None
    checkpoints: Path | None = None
    claims: TrialClaims | None = None
    remote: RemoteSync | None = None
    pending: dict[str, TrialRecord] = field(default_factory=dict)  # records that are not stored yet
    store_error: str = ""  # why the disk refused them
    _last_flush: float = 0.0

    def handle(self, event: Event) -> None:
        """Store the record of a finished trial, and try refused records again from time to time."""
        match event:
            case TrialFinished(record):
                self.pending[record.trial_id] = record
                self.flush()
            case Progress() if self.pending and monotonic() - self._last_flush >= RETRY_SECONDS:
                self.flush()

    def remove_checkpoints(self, trial_ids: Iterable[str]) -> None:
        """Remove the checkpoints of finished trials whose run was killed before it could do so."""
        if self.checkpoints:
            for trial_id in trials_with_checkpoints(self.checkpoints).intersection(trial_ids):
                Checkpoints(self.checkpoints, trial_id).forget()

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Flush when the block ends; if the block raises, also log which results are lost."""
        try:
            yield
        except BaseException:
            self.flush()
            if self.pending:
                logger.error(self.pending_message())
            raise
        self.flush()

    def flush(self) -> None:
        """Store all pending records, up to the first one that the disk refuses."""
        self._last_flush = monotonic()
        for record in list(self.pending.values()):
            try:
                self.store.write(record)
            except OSError as error:
                reason = error.strerror or str(error)
                if not self.store_error:
                    logger.warning(
                        "a result cannot be stored in %s (%s): it is kept in memory and tried again",
                        self.store.folder,
                        reason,
                    )
                self.store_error = reason
                return
            del self.pending[record.trial_id]
            self._after_store(record)
        if self.store_error:
            logger.info("all results that the disk had refused are stored now")
        self.store_error = ""

    def pending_message(self) -> str:
        """What the user should do about results that are not stored; empty if all are."""
        if not self.pending:
            return ""
        count = f"{len(self.pending)} result{'s' if len(self.pending) > 1 else ''}"
        return (
            f"{count} could not be stored in {self.store.folder}: {self.store_error}. Make room there, or make it"
            " writable, and run the same command again: a trial whose last checkpoint was written is not trained again"
        )

    def _after_store(self, record: TrialRecord) -> None:
        if self.remote:
            with suppress(OSError):  # if the storage is unreachable now, the end of the run uploads the record
                self.remote.upload_record(record)
        if self.checkpoints and record.status != "failed":
            Checkpoints(self.checkpoints, record.trial_id).forget()
        if self.claims:
            self.claims.release(record.trial_id)
        if self.mirror:
            self.mirror.sync([without_samples(record)])  # many records may wait for an unreachable server
