"""The runner without Ray: one trial after the other in this process."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.config.schema import RETRIES
from benchmark.execution.retries import RetryQueue, RunListener
from benchmark.execution.signals import StopSignal
from benchmark.trials.job import Job, Progress, TrialStopped
from benchmark.trials.seed_group import run_seed_group


@dataclass(frozen=True)
class InProcessRunner:
    """One trial after the other; a failed one is tried again at the end, `retries` times."""

    retries: int = RETRIES

    def run(self, jobs: Iterable[Job], listener: RunListener, stop: StopSignal | None = None) -> None:
        """Run all jobs. Raises KeyboardInterrupt when they were stopped; the running one has its checkpoint."""
        asked, attempts = stop or StopSignal(), RetryQueue(jobs, self.retries, listener)

        def report(progress: Progress) -> None:
            attempts.progressed(progress)
            if asked.asked:
                raise TrialStopped

        with asked.armed():
            while jobs := attempts.next_together():
                for job in jobs:
                    listener.started(job.spec.trial_id)
                try:
                    for record in run_seed_group(jobs, report):
                        attempts.ended(record)
                except TrialStopped:
                    raise KeyboardInterrupt from None
                if asked.asked and attempts.left:
                    raise KeyboardInterrupt
