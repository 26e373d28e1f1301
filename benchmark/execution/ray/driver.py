"""The runner with Ray Tune: places trials on the CPUs and GPUs of this machine, or of all nodes of a cluster.

Ray is imported only when it is used. Never `Tuner.restore`: it silently ignores trials that were added since; our own
store decides what is missing. Tune is fed one trial after the other, as slots get free, and remembers every trial that
it has seen; so it is started anew after some hundreds of them, and its memory does not grow with the suite.
"""

import gc
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmark.config.schema import RETRIES
from benchmark.core.environment import revision
from benchmark.core.errors import ClusterLost
from benchmark.execution.ray.board import MessageBoard, Said
from benchmark.execution.ray.cluster import first_line, local_cluster
from benchmark.execution.ray.failures import PREEMPTED
from benchmark.execution.ray.scratch import run_directory
from benchmark.execution.remote_storage import UploadedAssets
from benchmark.execution.retries import RetryQueue, RunListener
from benchmark.execution.signals import StopSignal
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Job, Progress

BATCH = 200  # trials that one run of Tune takes
ASK_SECONDS = 0.5  # between two looks at the board


@dataclass(frozen=True)
class RayRunner:
    """A process a trial, as many side by side as resources allow. `folder` is for Tune's own files."""

    folder: Path
    retries: int = RETRIES
    storage: UploadedAssets | None = None

    def run(self, jobs: Iterable[Job], listener: RunListener, stop: StopSignal | None = None) -> None:
        """Run all jobs in the cluster that was joined, else in one of this machine.

        Raises KeyboardInterrupt when they were stopped; the running ones have their checkpoints.
        """
        asked, attempts = stop or StopSignal(), RetryQueue(jobs, self.retries, listener)
        if attempts.peek() is None:
            return
        with local_cluster() as own, asked.armed(), _told_when_lost():
            course = RunState(attempts, asked, self.storage, None if own else revision())
            while not asked.asked and (job := attempts.peek()):
                self._batch(course, job)
            if course.unfinished:
                raise KeyboardInterrupt

    def _batch(self, course: "RunState", job: Job) -> None:
        """One run of Tune, over as many trials as it may remember."""
        from ray import tune

        from benchmark.execution.ray.tune_hooks import StopWhenIdle, TrialSource, TuneCallback
        from benchmark.execution.ray.worker import TrialWorker

        with run_directory(self.folder) as name:
            tune.Tuner(
                tune.with_resources(TrialWorker, {"cpu": job.cpus, "gpu": job.gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=TrialSource(course, BATCH),
                    num_samples=-1,  # until the feed ends
                    # A new process costs seconds of imports. On a GPU it is worth them: the memory of a trial
                    # that has ended must be free before the next one starts.
                    reuse_actors=job.gpus == 0,
                    trial_name_creator=lambda trial: trial.trial_id,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name=name,
                    storage_path=str(self.folder),
                    verbose=0,
                    stop=StopWhenIdle(course),
                    callbacks=[TuneCallback(course)],
                    # we keep checkpoints, and try again, ourselves
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            ).fit()
        gc.collect()  # the trials of a run of Tune hold each other


@contextmanager
def _told_when_lost() -> Iterator[None]:
    """Raises ClusterLost when Ray itself has gone: the node of the driver, or the head of the cluster."""
    from ray.exceptions import RayError
    from ray.tune import TuneError

    try:
        yield
    except (RayError, TuneError, ConnectionError) as error:
        raise ClusterLost(f"Ray has gone ({type(error).__name__}: {first_line(error)})") from error


class RunState:
    """How a run is going, as the driver sees it: between Tune, which places trials, and the board, where they speak."""

    def __init__(
        self, attempts: RetryQueue, asked: StopSignal, storage: UploadedAssets | None, code: str | None
    ) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.attempts, self.asked, self.storage = attempts, asked, storage
        self.code = code  # the revision that workers must have
        self.name = f"board-{uuid4().hex}"
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.board: Any = (
            ray.remote(MessageBoard).options(name=self.name, num_cpus=0, scheduling_strategy=here).remote()
        )
        self.records: dict[str, TrialRecord] = {}
        self.preempted: set[str] = set()
        self.placed: set[str] = set()  # trials that a worker has taken up
        self.interrupted = False
        self.looked = 0.0
        self.answer: Any = None  # of the board, which a busy machine may keep waiting

    @property
    def unfinished(self) -> bool:
        """Whether trials are left to do."""
        return bool(self.interrupted or self.attempts.left or self.attempts.running)

    def config_of(self, jobs: list[Job]) -> dict[str, Any]:
        """What a worker is told that trains these as one."""
        return {
            "trial_ids": [job.spec.trial_id for job in jobs],
            "jobs": [job.model_dump(mode="json") for job in jobs],
            "board": self.name,
            "revision": self.code,
            "storages": [self.storage.told(job) if self.storage else None for job in jobs],
        }

    def started(self, trial_id: str) -> None:
        """A worker has taken up a trial."""
        self.placed.add(trial_id)
        self.attempts.listener.started(trial_id)

    def look(self, now: bool = False) -> None:
        """Take in what workers have said, if it is time."""
        import ray

        if not now and time.monotonic() - self.looked < ASK_SECONDS:
            return
        self.looked = time.monotonic()
        if self.answer and (now or ray.wait([self.answer], timeout=0)[0]):
            self._take_in(*ray.get(self.answer))
            self.answer = None
        self.answer = self.answer or self.board.drain.remote(self.asked.asked)
        if now:
            self._take_in(*ray.get(self.answer))
            self.answer = None

    def _take_in(self, said: list[Said], records: list[str], preempted: list[str]) -> None:
        for one in said:
            self.attempts.progressed(Progress(**one))
        for content in records:
            record = TrialRecord.model_validate_json(content)
            self.records[record.trial_id] = record
        self.preempted.update(preempted)

    def ended(self, trial_ids: list[str], reason: str) -> None:
        """The worker of trials is done with them, or dead for this reason."""
        self.look(now=True)
        for trial_id in trial_ids:
            self._ended(trial_id, reason)

    def _ended(self, trial_id: str, reason: str) -> None:
        self.placed.discard(trial_id)
        record = self.records.pop(trial_id, None)
        if record is not None:
            self.attempts.ended(record)
        elif self.asked.asked:
            self.interrupted = True
            self.attempts.interrupted(trial_id)
        elif trial_id in self.preempted:
            self.attempts.preempted(trial_id, PREEMPTED)
        else:
            self.attempts.lost(trial_id, reason)
        self.preempted.discard(trial_id)
