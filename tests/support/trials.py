"""Helpers for tests of trials: jobs, records, events, weights, and a process that is killed."""

import os
import signal

import torch

from benchmark.evaluation.references import EvaluationAssets
from benchmark.training import checkpoint
from benchmark.trials.job import Job

CPU = torch.device("cpu")
VARYING_FIELDS = {"started", "finished", "cost", "environment", "events"}


def job_in(folder, spec, data=None, assets=None, **fields):
    """A job that trains on one CPU and writes under `folder`."""
    return Job(
        spec=spec,
        data=data or folder / "data",
        assets=assets or EvaluationAssets(extractors={}, references={}),
        checkpoints=folder / "checkpoints",
        samples=folder / "samples",
        **{"cpus": 1, "gpus": 0.0} | fields,
    )


def ignore_progress(progress):
    pass


def reproducible_fields(record):
    return record.model_dump(exclude=VARYING_FIELDS)


def events(record):
    return {event.what: event.times for event in record.events}


def weights(job):
    state = checkpoint.load_weights(job.checkpoints / f"{job.spec.trial_id}.final.pt", CPU)
    return [tensor.numpy().tobytes() for tensor in state["method"].values()]


def killed_after(reports, run):
    """Call `run` in a child process that kills itself at its n-th report. Returns whether it was killed."""
    child = os.fork()
    if child == 0:
        left = iter(range(reports - 1))

        def report(progress):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        run(report)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
