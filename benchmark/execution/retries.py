"""The queue of trials that a run still has to train. A failed trial goes to its end and resumes from its checkpoint.

All runners use this queue, so a trial gets the same attempts and the same record from each of them.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from benchmark.core import environment
from benchmark.execution.events import AttemptFailed, Event, RunListener, TrialFinished, TrialStarted
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Job, Progress


class RetryQueue:
    """Decides which trial starts next and whether a failed one is tried again.

    An attempt that ends because its machine was preempted does not count as a retry if it got further than the
    previous one: on preemptible machines a long trial may need many attempts.

    Args:
        jobs: the trials; the iterator is advanced only when a trial can start.
        retries: how often a failed trial is tried again.
        listeners: receive every event.
    """

    def __init__(self, jobs: Iterable[Job], retries: int, listeners: Sequence[RunListener]) -> None:
        self.running: dict[str, Job] = {}
        self.retries = retries
        self._listeners = listeners
        self._jobs = iter(jobs)
        self._next: Job | None = None  # taken from `jobs`, but not running yet
        self._to_retry: deque[Job] = deque()
        self._failures: dict[str, list[str]] = {}  # trial id -> reasons of failed attempts
        self._retries_used: Counter[str] = Counter()
        self._step: dict[str, int] = {}  # trial id -> last step reported
        self._preempted_at: dict[str, int] = {}  # trial id -> step at which its last preempted attempt ended

    def peek(self) -> Job | None:
        """The trial that would start next, or None if no trial is waiting."""
        if self._next is None:
            self._next = next(self._jobs, None)
        return self._next or next(iter(self._to_retry), None)

    def pop(self) -> Job | None:
        """The next trial, which counts as running from now on; None if no trial is waiting."""
        job = self.peek()
        if job is None:
            return None
        if job is self._next:
            self._next = None
        else:
            self._to_retry.popleft()
        self.running[job.spec.trial_id] = job
        return job

    def pop_group(self) -> list[Job]:
        """The next trial and the following seeds of its cell that are trained together with it; empty if none waits."""
        first = self.pop()
        if first is None:
            return []
        group = [first]
        while len(group) < first.vmap_seeds and (job := self.peek()) and job.spec.cell_id == first.spec.cell_id:
            self.pop()
            group.append(job)
        group = [job.model_copy(update={"vmap_seeds": len(group)}) for job in group]
        self.running |= {job.spec.trial_id: job for job in group}
        return group

    def started(self, trial_id: str) -> None:
        """A worker has started an attempt."""
        self._emit(TrialStarted(trial_id))

    def progressed(self, progress: Progress) -> None:
        """A worker has reported progress; late reports of trials that have ended are dropped."""
        if progress.trial_id in self.running:
            self._step[progress.trial_id] = progress.step
            self._emit(progress)

    def attempt_ended(self, record: TrialRecord) -> None:
        """An attempt has ended with a record: the trial is finished, or it failed and may be tried again."""
        trial_id = record.trial_id
        if record.status == "failed" and self._retries_used[trial_id] < self.retries:
            self._retries_used[trial_id] += 1
            self._retry(trial_id, record.error)
            return
        del self.running[trial_id]
        failures = self._failures.pop(trial_id, [])
        update: dict[str, object] = {"attempts": failures}
        if record.status == "failed":
            update["error"] = _summary([*failures, record.error])
        for state in (self._retries_used, self._step, self._preempted_at):
            state.pop(trial_id, None)
        self._emit(TrialFinished(record.model_copy(update=update)))

    def worker_died(self, trial_id: str, reason: str) -> None:
        """The worker died without a record, for example because it was killed or out of memory."""
        self.attempt_ended(_failed_record(self.running[trial_id], reason))

    def preempted(self, trial_id: str, reason: str) -> None:
        """The worker's machine was taken away after the trial had written a checkpoint."""
        step = self._step.get(trial_id, 0)
        if step <= self._preempted_at.get(trial_id, -1):
            self.worker_died(trial_id, reason)
            return
        self._preempted_at[trial_id] = step
        self._retry(trial_id, reason)

    def cancelled(self, trial_id: str) -> None:
        """The trial ended because the whole run was stopped; this is neither a result nor a failure."""
        del self.running[trial_id]

    def _retry(self, trial_id: str, reason: str) -> None:
        self._failures.setdefault(trial_id, []).append(reason)
        # Trained alone, so that a seed that crashes its process does not end the seeds of its group again.
        self._to_retry.append(self.running.pop(trial_id).model_copy(update={"vmap_seeds": 1}))
        self._emit(AttemptFailed(trial_id, reason))

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener.handle(event)


def _failed_record(job: Job, reason: str) -> TrialRecord:
    """The record of an attempt whose worker could not write one."""
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
    """Why the attempts failed, in one line; a reason that all attempts share appears once."""
    if len(reasons) == 1:
        return reasons[0]
    if len(set(reasons)) == 1:
        return f"{reasons[0]} ({len(reasons)} attempts)"
    return "; ".join(f"attempt {number}: {reason}" for number, reason in enumerate(reasons, 1))
