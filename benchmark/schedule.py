"""Trials -> workers: Ray Tune, or this process. Both give the same records.

Ray is imported only when it is used. Never `Tuner.restore`: it silently ignores trials that were added since;
our own store decides what is missing, and every run starts one fresh grid over that.
"""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from benchmark import environment, trial
from benchmark.store import TrialRecord
from benchmark.suite import RunnerName
from benchmark.trial import Job, Progress


class Listener(Protocol):
    """Whoever wants to know how the trials are doing."""

    def started(self, trial_id: str) -> None:
        """A worker has taken up the trial."""

    def progressed(self, progress: Progress) -> None:
        """A worker said how far it is."""

    def finished(self, record: TrialRecord) -> None:
        """The trial has ended, well or badly."""


@dataclass(frozen=True)
class InProcess:
    """One trial after the other in this process."""

    def run(self, jobs: Iterable[Job], listener: Listener) -> None:
        """Run all jobs, each asked for when the one before has ended; a failing one is a record like any other."""
        for job in jobs:
            listener.started(job.spec.trial_id)
            listener.finished(trial.run(job, listener.progressed))


@dataclass(frozen=True)
class RayTune:
    """One Ray Tune grid over all jobs, a process a trial, as many side by side as resources allow."""

    storage: Path

    def run(self, jobs: Iterable[Job], listener: Listener) -> None:
        """Run all jobs. A worker that dies becomes a `failed` record; the others go on."""
        jobs = list(jobs)
        if not jobs:
            return
        _quiet_ray()
        import ray
        from ray import tune

        by_id = {job.spec.trial_id: job for job in jobs}
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=True,
            logging_level=logging.ERROR,
            ignore_reinit_error=True,
        )
        try:
            resources = {"cpu": jobs[0].cpus, "gpu": jobs[0].gpus}
            tuner = tune.Tuner(
                tune.with_resources(_trainable, resources),
                param_space={"job": tune.grid_search([_packed(job) for job in jobs])},
                tune_config=tune.TuneConfig(
                    # A new process costs seconds of imports. On a GPU it is worth them: the memory of a trial
                    # that has ended must be free before the next one starts.
                    reuse_actors=jobs[0].gpus == 0,
                    trial_name_creator=lambda t: t.config["job"]["spec"]["method"] + "-" + t.trial_id,
                    trial_dirname_creator=lambda t: t.trial_id,
                ),
                run_config=tune.RunConfig(
                    name=datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f"),
                    storage_path=str(self.storage),
                    verbose=0,
                    callbacks=[_callback(by_id, listener)],
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            )
            tuner.fit()
        finally:
            ray.shutdown()


def _quiet_ray() -> None:
    """Ray's own boxes, warnings and statistics would drown our view. A user's own setting is kept."""
    for name, value in {
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
        "RAY_DEDUP_LOGS": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: Tune would finish its own bookkeeping first
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a lost trial is told once, by us


def _packed(job: Job) -> dict[str, Any]:
    """Plain values only, so that a worker needs nothing of ours to unpack the grid."""
    return {
        "spec": job.spec.model_dump(mode="json"),
        "data": str(job.data),
        "instruments": job.instruments.model_dump(mode="json"),
        "checkpoints": str(job.checkpoints),
        "samples": str(job.samples),
        "cpus": job.cpus,
        "gpus": job.gpus,
    }


def _unpacked(packed: dict[str, Any]) -> Job:
    from benchmark.measuring import Instruments
    from benchmark.spec import TrialSpec

    return Job(
        TrialSpec.model_validate(packed["spec"]),
        Path(packed["data"]),
        Instruments.model_validate(packed["instruments"]),
        Path(packed["checkpoints"]),
        Path(packed["samples"]),
        packed["cpus"],
        packed["gpus"],
    )


def _trainable(config: dict[str, Any]) -> None:
    """Runs in the worker: small dictionaries on the way, the whole record at the end."""
    from ray import tune

    record = trial.run(_unpacked(config["job"]), lambda progress: tune.report({"progress": progress.as_dict()}))
    tune.report({"record": record.model_dump_json()})


def _callback(jobs: dict[str, Job], listener: Listener) -> Any:
    """A Tune callback that hands on what workers report. A function, because the base class is Ray's."""
    from ray.tune import Callback

    class Relay(Callback):
        def __reduce__(self) -> tuple[Any, ...]:
            """Tune pickles its callbacks for a restore that we never ask for; a listener may hold locks."""
            return object, ()

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            del iteration, trials, info
            listener.started(_id_of(trial))

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            del iteration, trials, trial, info
            if "record" in result:
                listener.finished(TrialRecord.model_validate_json(result["record"]))
            elif "progress" in result:
                listener.progressed(Progress(**result["progress"]))

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            del iteration, trials, info
            listener.finished(_lost(jobs[_id_of(trial)], trial.error_file))

    return Relay()


def _id_of(tune_trial: Any) -> str:
    return _unpacked(tune_trial.config["job"]).spec.trial_id


def _lost(job: Job, error_file: str | None) -> TrialRecord:
    """The record of a trial whose worker died, out of memory or killed."""
    lines = Path(error_file).read_text().strip().splitlines() if error_file else []
    reason = lines[-1].partition("Some common causes")[0].strip() if lines else "no reason was given"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return TrialRecord(
        trial_id=job.spec.trial_id,
        spec=job.spec,
        status="failed",
        error=f"the worker died: {reason}",
        started=now,
        finished=now,
        environment=environment.describe(job.device.type, job.cpus),
    )


def runner(name: RunnerName, storage: Path) -> InProcess | RayTune:
    """The runner of that name."""
    choices: dict[str, Callable[[], InProcess | RayTune]] = {
        "ray": lambda: RayTune(storage),
        "inprocess": InProcess,
    }
    return choices[name]()
