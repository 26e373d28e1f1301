"""The worker's side of Ray Tune: trains a trial from start to record and submits the record to the message board.

This module is imported only when Ray is used.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Any, NoReturn

import ray
from ray import tune
from ray.exceptions import RayError

from benchmark.core.environment import check_revision
from benchmark.execution.ray.failures import PREEMPTED
from benchmark.execution.worker_files import localise_job
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Job, Progress, TrialStopped
from benchmark.trials.seed_group import run_seed_group

PREEMPT_GRACE_SECONDS = 5.0  # for the last message of a worker whose machine is being taken away


class TrialWorker(tune.Trainable):
    """Trains one trial, or one group of seeds, in one step of Tune. Tune may reuse the process for further trials.

    Training runs in the main thread of the process, because only the main thread receives SIGTERM.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare for the trials of `config`; see `RunState.worker_config`."""
        check_revision(config["revision"])
        self._jobs = [Job.model_validate(job) for job in config["jobs"]]
        self._inputs = config["inputs"]
        self._board: Any = ray.get_actor(config["board"])
        self._pending_reply: Any = None  # of the board, to a progress report
        self._preempted = False
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # which the driver blocks in Ray's own processes

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Reuse this process for other trials."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train the trials completely. Results go to the message board; Tune only learns that the trials have ended."""
        try:
            for record in self._train():
                ray.get(self._board.submit_record.remote(record.model_dump_json()))
        except TrialStopped:
            if self._preempted:
                self._exit_preempted()
        return {"done": True}

    def _train(self) -> Iterator[TrialRecord]:
        with ExitStack() as stack:
            files = {job.spec.trial_id: stack.enter_context(ExitStack()) for job in self._jobs}
            local_jobs, upload = [], {}
            for job, inputs in zip(self._jobs, self._inputs, strict=True):
                trial_id = job.spec.trial_id
                local_job, upload[trial_id] = files[trial_id].enter_context(localise_job(job, inputs))
                local_jobs.append(local_job)

            def report(progress: Progress) -> None:
                self._report_progress(progress)
                upload[progress.trial_id]()

            for record in run_seed_group(local_jobs, report):
                files[record.trial_id].close()  # uploads the trial's files before its record is submitted
                yield record

    def _report_progress(self, progress: Progress) -> None:
        """Send progress to the board without waiting for it; raise TrialStopped if the trial should stop."""
        reply = self._board.report_progress.remote(progress.trial_id, progress.as_dict())
        self._pending_reply = self._pending_reply or reply
        if self._preempted or self._stop_requested():
            raise TrialStopped

    def _stop_requested(self) -> bool:
        """Whether the board's last reply requests a stop. An unreachable board stops nothing."""
        if not ray.wait([self._pending_reply], timeout=0)[0]:
            return False
        reply, self._pending_reply = self._pending_reply, None
        with suppress(RayError):
            return bool(ray.get(reply))
        return False

    def _exit_preempted(self) -> NoReturn:
        """End this process after SIGTERM; all trials have saved a checkpoint."""
        replies = [self._board.report_preempted.remote(job.spec.trial_id) for job in self._jobs]
        with suppress(RayError):
            ray.get(replies, timeout=PREEMPT_GRACE_SECONDS)
        sys.exit(f"{PREEMPTED}: SIGTERM")

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._preempted = True
