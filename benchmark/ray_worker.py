"""A worker's side of Ray Tune: takes a trial, trains it from start to record, and hands the record in.

Imported only where Ray is.
"""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import ray
from ray import tune
from ray.exceptions import RayError

from benchmark import trial
from benchmark.at_hand import at_hand
from benchmark.measuring import Instruments
from benchmark.ray_reasons import PREEMPTED
from benchmark.revision import check_revision
from benchmark.spec import TrialSpec
from benchmark.store import TrialRecord
from benchmark.trial import Job, Progress

LEAVE_SECONDS = 5.0  # for the last word of a machine that is being taken away


def packed(job: Job) -> dict[str, Any]:
    """Plain values only, so that nothing of ours is needed to look into them."""
    return {
        "spec": job.spec.model_dump(mode="json"),
        "data": str(job.data),
        "instruments": job.instruments.model_dump(mode="json"),
        "checkpoints": str(job.checkpoints),
        "samples": str(job.samples),
        "cpus": job.cpus,
        "gpus": job.gpus,
        "time_limit": job.time_limit,
        "checkpoint_seconds": job.checkpoint_seconds,
        "graphs": job.graphs,
    }


def unpacked(packed: dict[str, Any]) -> Job:
    """The job that was packed."""
    return Job(
        TrialSpec.model_validate(packed["spec"]),
        Path(packed["data"]),
        Instruments.model_validate(packed["instruments"]),
        Path(packed["checkpoints"]),
        Path(packed["samples"]),
        packed["cpus"],
        packed["gpus"],
        packed["time_limit"],
        packed["checkpoint_seconds"],
        packed["graphs"],
    )


class Slot(tune.Trainable):
    """Trains one trial in one step of Tune; a slot that is used again takes up another trial.

    The trial runs in the main thread of its process: there SIGTERM is heard.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Called with every trial."""
        check_revision(config["revision"])
        self.job = unpacked(config["job"])
        self.board: Any = ray.get_actor(config["board"])
        self.storage = config["storage"]
        self.answer: Any = None  # of the board
        self.leaving = False
        signal.signal(signal.SIGTERM, self._leave)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The same process takes up another trial."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The whole trial. What it says goes to the board; Tune is told only that it is over."""
        try:
            record = self._trained()
        except trial.Stop:
            if self.leaving:
                self._take_leave()
        else:
            ray.get(self.board.ended.remote(record.model_dump_json()))
        return {"done": True}

    def _trained(self) -> TrialRecord:
        with at_hand(self.job, self.storage) as (job, after_report):
            return trial.run(job, lambda progress: self._report(progress, after_report))

    def _take_leave(self) -> NoReturn:
        """This process has been asked to end, and the trial has its checkpoint."""
        with suppress(RayError):
            ray.get(self.board.leaving.remote(self.job.spec.trial_id), timeout=LEAVE_SECONDS)
        sys.exit(f"{PREEMPTED}: SIGTERM")

    def _report(self, progress: Progress, after_report: Any) -> None:
        """Say how far the trial is, and stop when that is wanted. A board that does not answer stops nothing."""
        sent = self.board.heard.remote(progress.trial_id, progress.as_dict())
        self.answer = self.answer or sent  # training does not wait for it
        if self.leaving or self._told_to_stop():
            raise trial.Stop
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
