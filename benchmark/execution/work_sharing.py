"""Several runs on one workspace: which trials this run trains, and what it does about the trials of the others."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.execution.events import RunListener, TrialFinished
from benchmark.store.record_store import RecordStore
from benchmark.store.records import FileVersion
from benchmark.store.trial_claims import TrialClaims
from benchmark.trials.job import Job

POLL_SECONDS = 2.0  # between two checks of what other runs do

logger = logging.getLogger(__name__)
sleep = time.sleep


@dataclass(kw_only=True)
class WorkSharing:
    """Divides the jobs of a suite among the runs that share a workspace.

    Args:
        jobs: the trials that this run would train alone.
        claims: the claims of this run.
        store: the record store, which all runs share.
        planned_versions: the versions of the stored records when this run was planned.
        listener: receives `TrialFinished` for every trial whose record another run has stored.
    """

    jobs: Sequence[Job]
    claims: TrialClaims
    store: RecordStore
    planned_versions: Mapping[str, FileVersion]
    listener: RunListener
    _elsewhere: dict[str, Job] = field(default_factory=dict)  # trial id -> job that another run trains

    def claimable(self) -> Iterator[Job]:
        """The jobs that no other run trains, each claimed when it is requested."""
        partial_writes = self.store.partial_writes()  # listed once: there may be thousands of records
        owners = set()
        for job in self.jobs:
            trial_id = job.spec.trial_id
            if not self.claims.acquire(trial_id):
                self._elsewhere[trial_id] = job
                owner = self.claims.owner(trial_id)
                if owner and owner not in owners:
                    owners.add(owner)
                    logger.info("another run is at work here (%s): this run trains only the other trials", owner)
            elif not self._finished_by_other_run(trial_id):
                if trial_id in partial_writes:
                    self.store.remove_partial_write(trial_id)
                yield job
        if self.claims.write_error:
            logger.warning("other runs cannot see which trials this run trains: %s", self.claims.write_error)

    def left_by_others(self, while_waiting: Callable[[], None]) -> Iterator[list[Job]]:
        """Wait until the other runs have finished or died, and yield the jobs that dead runs leave.

        Call it after `claimable` is exhausted. It calls `while_waiting` every few seconds.
        """
        if self._elsewhere:
            logger.info("waiting for trials of another run: %d; Ctrl-C leaves them to it", len(self._elsewhere))
        while self._elsewhere:
            if abandoned := [job for job in list(self._elsewhere.values()) if self._take_over(job)]:
                names = ", ".join(job.spec.name for job in abandoned)
                logger.info("taking over from a run that has ended: %s", names)
                yield abandoned
            while_waiting()
            if self._elsewhere:
                sleep(POLL_SECONDS)

    def _take_over(self, job: Job) -> bool:
        """Whether this run has to train a trial that another run had claimed."""
        trial_id = job.spec.trial_id
        if not self._is_stored(trial_id) and not self.claims.acquire(trial_id):
            return False
        del self._elsewhere[trial_id]
        if self._finished_by_other_run(trial_id):
            return False
        self.store.remove_partial_write(trial_id)
        return True

    def _finished_by_other_run(self, trial_id: str) -> bool:
        """Whether another run has stored the trial's record; if so, report it and release the claim."""
        if not self._is_stored(trial_id):
            return False
        self.claims.release(trial_id)
        if record := self.store.read(trial_id):
            self.listener.handle(TrialFinished(record))
        return True

    def _is_stored(self, trial_id: str) -> bool:
        """Whether there is a record that was not there when this run was planned."""
        return self.store.version(trial_id) not in (None, self.planned_versions.get(trial_id))
