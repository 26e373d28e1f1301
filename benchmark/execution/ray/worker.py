"""A worker's side of Ray Tune: takes a trial, trains it from start to record, and hands the record in.

Imported only where Ray is.
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

LEAVE_SECONDS = 5.0  # for the last word of a machine that is being taken away


class TrialWorker(tune.Trainable):
    """Trains one trial, or several as one, in one step of Tune; a slot that is used again takes up others.

    They run in the main thread of its process: there SIGTERM is heard.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Called with every trial."""
        check_revision(config["revision"])
        self.jobs = [Job.model_validate(job) for job in config["jobs"]]
        self.board: Any = ray.get_actor(config["board"])
        self.storages = config["storages"]
        self.answer: Any = None  # of the board
        self.leaving = False
        signal.signal(signal.SIGTERM, self._leave)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The same process takes up another trial."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """All of it. What the trials say goes to the board; Tune is told only that it is over."""
        try:
            for record in self._trained():
                ray.get(self.board.ended.remote(record.model_dump_json()))
        except TrialStopped:
            if self.leaving:
                self._take_leave()
        return {"done": True}

    def _trained(self) -> Iterator[TrialRecord]:
        with ExitStack() as all_files:
            files = {job.spec.trial_id: all_files.enter_context(ExitStack()) for job in self.jobs}
            here, after_report = [], {}
            for job, storage in zip(self.jobs, self.storages, strict=True):
                trial_id = job.spec.trial_id
                job_here, after_report[trial_id] = files[trial_id].enter_context(localise_job(job, storage))
                here.append(job_here)
            for record in run_seed_group(here, lambda said: self._report(said, after_report[said.trial_id])):
                files[record.trial_id].close()  # what it wrote is in the storage before its record is
                yield record

    def _take_leave(self) -> NoReturn:
        """This process has been asked to end, and its trials have their checkpoints."""
        with suppress(RayError):
            ray.get([self.board.leaving.remote(job.spec.trial_id) for job in self.jobs], timeout=LEAVE_SECONDS)
        sys.exit(f"{PREEMPTED}: SIGTERM")

    def _report(self, progress: Progress, after_report: Any) -> None:
        """Say how far the trial is, and stop when that is wanted. A board that does not answer stops nothing."""
        sent = self.board.heard.remote(progress.trial_id, progress.as_dict())
        self.answer = self.answer or sent  # training does not wait for it
        if self.leaving or self._told_to_stop():
            raise TrialStopped
        after_report()

    def _told_to_stop(self) -> bool:
        if not ray.wait([self.answer], timeout=0)[0]:
            return False
        answer, self.answer = self.answer, None
        with suppress(RayError):
            return bool(ray.get(answer))
        return False

    def _leave(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.leaving = True
