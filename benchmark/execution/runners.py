"""Runners train trials: with Ray Tune, or one after the other in this process. Both produce the same records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmark.config.schema import RETRIES
from benchmark.config.suite import RunnerName
from benchmark.execution.events import RunListener
from benchmark.execution.ray.driver import RayRunner
from benchmark.execution.remote_storage import UploadedInputs
from benchmark.execution.retries import RetryQueue
from benchmark.execution.signals import StopSignal
from benchmark.trials.job import Job, Progress, TrialStopped
from benchmark.trials.seed_group import run_seed_group


class Runner(Protocol):
    """Trains trials, as many at a time as the resources allow."""

    def run(self, jobs: Iterable[Job], listeners: Sequence[RunListener], stop: StopSignal | None = None) -> None:
        """Train all jobs and send every event to every listener. A job is requested only when it can start.

        Raises:
            Stopped: if `stop` was requested before all trials ended; running trials saved a checkpoint.
        """


def make_runner(name: RunnerName, folder: Path, retries: int, inputs: UploadedInputs | None = None) -> Runner:
    """The runner called `name`. Ray Tune keeps its own files in `folder`."""
    return RayRunner(folder, retries, inputs) if name == "ray" else InProcessRunner(retries)


@dataclass(frozen=True)
class InProcessRunner:
    """Trains one trial (or group of seeds) after the other in this process, without Ray."""

    retries: int = RETRIES

    def run(self, jobs: Iterable[Job], listeners: Sequence[RunListener], stop: StopSignal | None = None) -> None:
        """See `Runner.run`."""
        stop = stop or StopSignal()
        queue = RetryQueue(jobs, self.retries, listeners)

        def report(progress: Progress) -> None:
            queue.progressed(progress)
            if stop.requested:
                raise TrialStopped

        with stop.installed():
            while group := queue.pop_group():
                for job in group:
                    queue.started(job.spec.trial_id)
                try:
                    for record in run_seed_group(group, report):
                        queue.attempt_ended(record)
                except TrialStopped:
                    raise stop.stopped() from None
                if stop.requested and queue.peek():
                    raise stop.stopped()
