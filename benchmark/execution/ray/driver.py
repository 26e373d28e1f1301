"""The runner with Ray Tune: places trials on the CPUs and GPUs of this machine, or of all nodes of a cluster.

Tune gets one trial after the other, as resources become free. It remembers every trial that it has seen, so a new run
of Tune starts after some hundreds of trials; otherwise its memory would grow with the suite. `Tuner.restore` is not
used, because it silently ignores trials that were added since: the record store decides which trials are missing.
Ray is imported only when it is used.
"""

import gc
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmark.config.schema import RETRIES
from benchmark.core.environment import revision
from benchmark.core.errors import ClusterLost
from benchmark.execution.events import RunListener
from benchmark.execution.ray.board import MessageBoard, ProgressFields
from benchmark.execution.ray.cluster import first_line, local_cluster
from benchmark.execution.ray.failures import PREEMPTED
from benchmark.execution.ray.scratch import run_directory
from benchmark.execution.remote_storage import UploadedInputs
from benchmark.execution.retries import RetryQueue
from benchmark.execution.signals import StopSignal
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Job, Progress

TRIALS_PER_TUNE_RUN = 200
POLL_SECONDS = 0.5  # between two polls of the message board


@dataclass(frozen=True)
class RayRunner:
    """Trains each trial in a process of its own, as many at a time as the resources allow.

    Args:
        folder: for Tune's own files.
        retries: how often a failed trial is tried again.
        inputs: the input files on the remote storage, if there is one.
    """

    folder: Path
    retries: int = RETRIES
    inputs: UploadedInputs | None = None

    def run(self, jobs: Iterable[Job], listeners: Sequence[RunListener], stop: StopSignal | None = None) -> None:
        """See `Runner.run`. Uses the cluster that was joined, else starts one on this machine.

        Raises:
            ClusterLost: if Ray does not start, or the head node of the cluster goes away.
        """
        stop = stop or StopSignal()
        queue = RetryQueue(jobs, self.retries, listeners)
        if queue.peek() is None:
            return
        with local_cluster() as is_own, stop.installed(), _cluster_lost_on_error():
            run_state = RunState(queue, stop, self.inputs, worker_revision=None if is_own else revision())
            while not stop.requested and (job := queue.peek()):
                self._run_tune(run_state, job)
            if run_state.cancelled or queue.running or queue.peek():
                raise stop.stopped()

    def _run_tune(self, run_state: "RunState", job: Job) -> None:
        """One run of Tune. All jobs of a suite have the resources of `job`."""
        from ray import tune

        from benchmark.execution.ray.tune_hooks import StopWhenIdle, TrialSource, TuneCallback
        from benchmark.execution.ray.worker import TrialWorker

        with run_directory(self.folder) as name:
            tune.Tuner(
                tune.with_resources(TrialWorker, {"cpu": job.cpus, "gpu": job.gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=TrialSource(run_state, TRIALS_PER_TUNE_RUN),
                    num_samples=-1,  # until the trial source is exhausted
                    # A new process costs seconds of imports. On a GPU it is worth them: the memory of a finished
                    # trial must be free before the next one starts.
                    reuse_actors=job.gpus == 0,
                    trial_name_creator=lambda trial: trial.trial_id,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name=name,
                    storage_path=str(self.folder),
                    verbose=0,
                    stop=StopWhenIdle(run_state),
                    callbacks=[TuneCallback(run_state)],
                    # Checkpoints and retries are ours.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            ).fit()
        gc.collect()  # the trials of a run of Tune refer to each other


@contextmanager
def _cluster_lost_on_error() -> Iterator[None]:
    """Raise ClusterLost when Ray itself is gone: the node of the driver, or the head of the cluster."""
    from ray.exceptions import RayError
    from ray.tune import TuneError

    try:
        yield
    except (RayError, TuneError, ConnectionError) as error:
        raise ClusterLost(f"Ray has gone ({type(error).__name__}: {first_line(error)})") from error


class RunState:
    """Connects Tune, which starts and ends workers, and the message board, where workers report, to the queue.

    Args:
        queue: decides which trial is next.
        stop: whether the user has requested the end of the run.
        inputs: the input files on the remote storage, if there is one.
        worker_revision: the revision of the code that workers must have; None if it is not checked.
    """

    def __init__(
        self, queue: RetryQueue, stop: StopSignal, inputs: UploadedInputs | None, worker_revision: str | None
    ) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.queue, self.stop = queue, stop
        self.placed: set[str] = set()  # ids of trials that a worker has started
        self.cancelled = False  # whether a trial was stopped before its end
        self._inputs, self._worker_revision = inputs, worker_revision
        self._records: dict[str, TrialRecord] = {}  # of trials whose worker has not ended yet
        self._preempted: set[str] = set()
        self._board_name = f"board-{uuid4().hex}"
        this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        board_class = ray.remote(MessageBoard)
        self._board: Any = board_class.options(
            name=self._board_name, num_cpus=0, scheduling_strategy=this_node
        ).remote()
        self._last_poll = 0.0
        self._pending_reply: Any = None  # of the board, which is slow on a busy machine

    def worker_config(self, jobs: list[Job]) -> dict[str, Any]:
        """The config of a worker that trains these jobs together."""
        return {
            "trial_ids": [job.spec.trial_id for job in jobs],
            "jobs": [job.model_dump(mode="json") for job in jobs],
            "board": self._board_name,
            "revision": self._worker_revision,
            "inputs": [self._inputs.for_job(job) if self._inputs else None for job in jobs],
        }

    def worker_started(self, trial_ids: list[str]) -> None:
        """A worker has started these trials."""
        self.placed.update(trial_ids)
        for trial_id in trial_ids:
            self.queue.started(trial_id)

    def poll(self, wait: bool = False) -> None:
        """Collect what workers have posted, if it is time. With `wait`, collect everything posted until now."""
        import ray

        if not wait and time.monotonic() - self._last_poll < POLL_SECONDS:
            return
        self._last_poll = time.monotonic()
        if self._pending_reply and (wait or ray.wait([self._pending_reply], timeout=0)[0]):
            self._ingest(*ray.get(self._pending_reply))
            self._pending_reply = None
        self._pending_reply = self._pending_reply or self._board.drain.remote(self.stop.requested)
        if wait:
            self._ingest(*ray.get(self._pending_reply))
            self._pending_reply = None

    def _ingest(self, progress: list[ProgressFields], records: list[str], preempted: list[str]) -> None:
        for fields in progress:
            self.queue.progressed(Progress(**fields))
        for content in records:
            record = TrialRecord.model_validate_json(content)
            self._records[record.trial_id] = record
        self._preempted.update(preempted)

    def worker_ended(self, trial_ids: list[str], reason: str) -> None:
        """A worker has ended. `reason`: why, for those of its trials that have no record."""
        self.poll(wait=True)
        for trial_id in trial_ids:
            self.placed.discard(trial_id)
            if record := self._records.pop(trial_id, None):
                self.queue.attempt_ended(record)
            elif self.stop.requested:
                self.cancelled = True
                self.queue.cancelled(trial_id)
            elif trial_id in self._preempted:
                self.queue.preempted(trial_id, PREEMPTED)
            else:
                self.queue.worker_died(trial_id, reason)
            self._preempted.discard(trial_id)
