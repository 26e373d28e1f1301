"""The runner without Ray: one trial after the other in this process."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.config.schema import RETRIES
from benchmark.execution.retries import Attempts, Listener
from benchmark.execution.signals import Stopping
from benchmark.trials.job import Job, Progress, Stop
from benchmark.trials.seed_group import run_together


@dataclass(frozen=True)
class InProcess:
    """One trial after the other; a failed one is tried again at the end, `retries` times."""

    retries: int = RETRIES

    def run(self, jobs: Iterable[Job], listener: Listener, stop: Stopping | None = None) -> None:
        """Run all jobs. Raises KeyboardInterrupt when they were stopped; the running one has its checkpoint."""
        asked, attempts = stop or Stopping(), Attempts(jobs, self.retries, listener)

        def report(progress: Progress) -> None:
            attempts.progressed(progress)
            if asked.asked:
                raise Stop

        with asked.armed():
            while jobs := attempts.next_together():
                for job in jobs:
                    listener.started(job.spec.trial_id)
                try:
                    for record in run_together(jobs, report):
                        attempts.ended(record)
                except Stop:
                    raise KeyboardInterrupt from None
                if asked.asked and attempts.left:
                    raise KeyboardInterrupt
