"""Trials -> workers: Ray Tune, or this process. Both give the same records."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from benchmark.config.suite import RunnerName
from benchmark.execution.in_process import InProcessRunner
from benchmark.execution.ray.driver import RayRunner
from benchmark.execution.remote_storage import UploadedAssets
from benchmark.execution.retries import RunListener
from benchmark.execution.signals import StopSignal
from benchmark.trials.job import Job


class Runner(Protocol):
    """Runs trials, as many at a time as there is room for."""

    def run(self, jobs: Iterable[Job], listener: RunListener, stop: StopSignal | None = None) -> None:
        """Run all jobs, each asked for when there is room for it; a failing one is a record like any other.

        Raises KeyboardInterrupt when they were stopped.
        """


def runner(name: RunnerName, folder: Path, retries: int, storage: UploadedAssets | None = None) -> Runner:
    """The runner of that name. `folder` is for its own files."""
    return RayRunner(folder, retries, storage) if name == "ray" else InProcessRunner(retries)
