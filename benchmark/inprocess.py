"""The runner without Ray: one trial after the other in this process."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark import trial
from benchmark.attempts import Attempts, Listener
from benchmark.lockstep import run_together
from benchmark.stopping import Stopping
from benchmark.suite_file import RETRIES
from benchmark.trial import Job, Progress


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
                raise trial.Stop

        with asked.armed():
            while jobs := attempts.next_together():
                for job in jobs:
                    listener.started(job.spec.trial_id)
                try:
                    for record in run_together(jobs, report):
                        attempts.ended(record)
                except trial.Stop:
                    raise KeyboardInterrupt from None
                if asked.asked and attempts.left:
                    raise KeyboardInterrupt
