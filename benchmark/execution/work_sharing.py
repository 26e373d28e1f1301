"""The trials of a run beside other runs on the same workspace: which are its own, and what the others do meanwhile."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.store.claims import Claims, RunIdentity
from benchmark.store.record_store import RecordStore
from benchmark.store.records import FileVersion
from benchmark.trials.job import Job

LOOK_SECONDS = 2.0  # between two looks at what other runs do

sleep = time.sleep


@dataclass
class WorkSharing:
    """Jobs of which other runs may do some. `done` hears of a trial whose record another run has stored."""

    jobs: Sequence[Job]
    claims: Claims
    store: RecordStore
    stamps: Mapping[str, FileVersion]  # of the records that were there when the run was planned
    done: Callable[[str], None]
    say: Callable[[str], None]
    elsewhere: dict[str, Job] = field(default_factory=dict)  # left to others
    _told: set[str] = field(default_factory=set)

    def own(self) -> Iterator[Job]:
        """Those that nobody else does, each claimed when it is asked for; the others are left aside."""
        torn = self.store.partial_writes()  # looked for once: there may be thousands of records
        for job in self.jobs:
            trial_id = job.spec.trial_id
            if not self.claims.acquire(trial_id):
                self.elsewhere[trial_id] = job
                self._tell(self.claims.owner(trial_id))
            elif self._stored(trial_id):
                self.claims.release(trial_id)
                self.done(trial_id)
            else:
                if trial_id in torn:
                    self.store.remove_partial_write(trial_id)
                yield job
        if self.claims.write_error:
            self.say(f"other runs cannot be told which trials this one trains: {self.claims.write_error}")

    def others(self, meanwhile: Callable[[], None]) -> Iterator[list[Job]]:
        """After that, what other runs leave: waits until they have done their trials, or are dead.

        `meanwhile` is called now and then.
        """
        if self.elsewhere:
            self.say(f"waiting for what another run trains, trials: {len(self.elsewhere)}; Ctrl-C leaves them to it")
        while self.elsewhere:
            if left := [job for job in list(self.elsewhere.values()) if self._left(job)]:
                self.say(f"taking over from a run that has ended: {', '.join(job.spec.name for job in left)}")
                yield left
            meanwhile()
            if self.elsewhere:
                sleep(LOOK_SECONDS)

    def _left(self, job: Job) -> bool:
        """Whether another run's trial is now this one's."""
        trial_id = job.spec.trial_id
        stored = self._stored(trial_id)
        if not stored and not self.claims.acquire(trial_id):
            return False
        del self.elsewhere[trial_id]
        if stored := stored or self._stored(trial_id):  # in between
            self.claims.release(trial_id)
            self.done(trial_id)
        else:
            self.store.remove_partial_write(trial_id)
        return not stored

    def _stored(self, trial_id: str) -> bool:
        """Whether another run has stored a record since this one was planned."""
        return self.store.version(trial_id) not in (None, self.stamps.get(trial_id))

    def _tell(self, holder: RunIdentity | None) -> None:
        if holder is not None and holder.name not in self._told:
            self._told.add(holder.name)
            self.say(f"another run is at work here ({holder}): what it trains is left to it, this one trains the rest")
