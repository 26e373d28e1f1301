"""The trials of a run that are still to do. One that fails is tried again, from its checkpoint and after the others.

Both runners take their trials from here, so that a trial has the same attempts, and the same record, whatever ran it.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from benchmark.core import environment
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Job, Progress


class RunListener(Protocol):
    """Whoever wants to know how the trials are doing."""

    def started(self, trial_id: str) -> None:
        """A worker has taken up the trial."""

    def progressed(self, progress: Progress) -> None:
        """A worker said how far it is."""

    def failed(self, trial_id: str, reason: str) -> None:
        """An attempt has failed, and another one will follow."""

    def finished(self, record: TrialRecord) -> None:
        """The trial has ended, well or badly."""


class RetryQueue:
    """Which trial is next, and what becomes of one that failed. A job is asked for when there is room for it.

    `retries` is how often a failed trial is tried again. An attempt that a preempted machine ended is not counted, if
    it got further than the attempt before: on such machines a long trial may need many.
    """

    def __init__(self, jobs: Iterable[Job], retries: int, listener: RunListener) -> None:
        self._jobs: Iterator[Job] | None = iter(jobs)
        self._ahead: deque[Job] = deque()  # asked for, and not running yet: one at most
        self._later: deque[Job] = deque()  # to be tried again
        self.running: dict[str, Job] = {}
        self.retries = retries
        self.listener = listener
        self._said: dict[str, list[str]] = {}  # trial id -> why its attempts failed
        self._counted: Counter[str] = Counter()
        self._step: dict[str, int] = {}  # of running trials
        self._reached: dict[str, int] = {}  # trial id -> the step at which its last preempted attempt ended

    def next(self) -> Job | None:
        """The next trial, which is running from now on; None when none is waiting."""
        if self.peek() is None:
            return None
        job = (self._ahead or self._later).popleft()
        self.running[job.spec.trial_id] = job
        return job

    def next_together(self) -> list[Job]:
        """The next trial, and as many of its cell as are to be trained as one with it; empty when none is waiting."""
        job = self.next()
        found = [job] if job else []
        while job and len(found) < job.vmap_seeds and (other := self.peek()) and job.spec.cell_id == other.spec.cell_id:
            found.append(self.next() or other)
        together = [job.model_copy(update={"vmap_seeds": len(found)}) for job in found]
        self.running |= {job.spec.trial_id: job for job in together}
        return together

    def peek(self) -> Job | None:
        """The next trial, which is not running yet."""
        if not self._ahead and self._jobs:
            job = next(self._jobs, None)
            if job is None:
                self._jobs = None
            else:
                self._ahead.append(job)
        return next(iter(self._ahead or self._later), None)

    @property
    def left(self) -> bool:
        """Whether there may be trials that are not running."""
        return bool(self._jobs or self._ahead or self._later)

    def progressed(self, progress: Progress) -> None:
        """A worker said how far it is."""
        if progress.trial_id in self.running:
            self._step[progress.trial_id] = progress.step
            self.listener.progressed(progress)

    def ended(self, record: TrialRecord) -> None:
        """An attempt has ended with this record: a result, or a failure that may be tried again."""
        job = self.running[record.trial_id]
        if record.status == "failed" and self._counted[record.trial_id] < self.retries:
            self._counted[record.trial_id] += 1
            self._again(job, record.error)
            return
        del self.running[record.trial_id]
        said = self._said.pop(record.trial_id, [])
        update = {"attempts": said} | ({"error": _summary([*said, record.error])} if record.status == "failed" else {})
        self._forget(record.trial_id)
        self.listener.finished(record.model_copy(update=update))

    def lost(self, trial_id: str, reason: str) -> None:
        """The worker of a trial died, out of memory or killed."""
        self.ended(lost_record(self.running[trial_id], reason))

    def preempted(self, trial_id: str, reason: str) -> None:
        """The machine of a trial was taken away, and the trial had time to write a checkpoint."""
        step = self._step.get(trial_id, 0)
        if step <= self._reached.get(trial_id, -1):
            self.lost(trial_id, reason)
            return
        self._reached[trial_id] = step
        self._again(self.running[trial_id], reason)

    def interrupted(self, trial_id: str) -> None:
        """A trial ended because all are to end: no result, and no failure."""
        del self.running[trial_id]

    def _again(self, job: Job, reason: str) -> None:
        trial_id = job.spec.trial_id
        self._said.setdefault(trial_id, []).append(reason)
        del self.running[trial_id]
        # Behind all others: a bad trial holds none of them up. And by itself, so that it ends none beside it.
        self._later.append(job if job.vmap_seeds == 1 else job.model_copy(update={"vmap_seeds": 1}))
        self.listener.failed(trial_id, reason)

    def _forget(self, trial_id: str) -> None:
        for known in (self._counted, self._step, self._reached):
            known.pop(trial_id, None)


def lost_record(job: Job, reason: str) -> TrialRecord:
    """The record of an attempt that could not write one."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return TrialRecord(
        trial_id=job.spec.trial_id,
        spec=job.spec,
        status="failed",
        error=reason,
        started=now,
        finished=now,
        environment=environment.describe(job.device.type, job.cpus),
    )


def _summary(reasons: list[str]) -> str:
    """Why every attempt failed; a reason that they share is told once."""
    if len(reasons) == 1:
        return reasons[0]
    if len(set(reasons)) == 1:
        return f"{reasons[0]} ({len(reasons)} attempts)"
    return "; ".join(f"attempt {number}: {reason}" for number, reason in enumerate(reasons, 1))
