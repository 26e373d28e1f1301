"""How long a run of thousands of trials takes to start, how long each one takes, and how much memory the driver needs.

    python -m perf.scale --trials 1000 --json scale.json

The script runs a suite of that many trials as `python -m benchmark run` does, with real Ray Tune, but without MLflow or
training: a stub for `benchmark.trials.runner.run_trial` returns a synthetic record with a sample grid at once.
Half an hour of this says nothing about trials that take hours, but everything about the work around them.
"""

import argparse
import base64
import logging
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console

from benchmark.config.suite import load_suite
from benchmark.core import environment
from benchmark.execution.events import Event, TrialFinished
from benchmark.execution.ray import cluster
from benchmark.execution.result_sink import ResultSink
from benchmark.execution.suite_run import SuiteRun
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.trials.job import Job, Progress, ProgressCallback
from benchmark.trials.samples import GRID_IMAGES, sample_grid
from perf.plan import synthetic_record, write_suite
from perf.result import add_json_option, write_result

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 1.0


def stub_trial(job: Job, report: ProgressCallback) -> TrialRecord:
    """Stands in for `run_trial`: reports the last step and returns a synthetic record."""
    rng = np.random.default_rng(job.spec.seed)
    images = torch.from_numpy(rng.integers(0, 256, (GRID_IMAGES, 3, 32, 32), dtype=np.uint8))
    report(Progress(job.spec.trial_id, job.spec.steps, 1.0, {}))
    return synthetic_record(job.spec, rng, base64.b64encode(sample_grid(images)).decode(), {})


def install_stub() -> None:
    """Called once in every worker process."""
    from benchmark.trials import runner

    runner.run_trial = stub_trial


@dataclass
class Meter:
    """Resident memory of this process over time, and the seconds at which trials ended."""

    start: float = field(default_factory=time.monotonic)
    ended: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MiB

    def watch(self) -> None:
        """Sample the memory without end; runs in a thread."""
        process = psutil.Process()
        while True:
            self.memory.append((round(self.now(), 1), round(process.memory_info().rss / 2**20, 1)))
            time.sleep(SAMPLE_SECONDS)

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def memory_after(self, ended: int) -> float:
        """MiB at the time when this many trials had ended."""
        moment = self.ended[ended - 1]
        return next((mib for seconds, mib in self.memory if seconds >= moment), self.memory[-1][1])


def measure(trials: int, cpus: int, root: Path) -> dict[str, Any]:
    """Run this many stub trials and return what they cost."""
    import ray

    write_suite(root / "large.yaml", trials)
    meter = Meter()
    threading.Thread(target=meter.watch, daemon=True).start()
    handle = ResultSink.handle

    def handle_and_count(self: ResultSink, event: Event) -> None:
        handle(self, event)
        if isinstance(event, TrialFinished):
            meter.ended.append(meter.now())

    ResultSink.handle = handle_and_count  # type: ignore[method-assign]
    suite = load_suite(root / "large.yaml")
    suite_run = SuiteRun(
        suite=suite,
        workspace=Workspace.at(root / "workspace"),
        data_dir=root,
        report_dir=root / "report",
        console=Console(quiet=True),
    )
    plan = suite_run.plan()
    planned = meter.now()
    cluster.silence_ray()
    hook = {"worker_process_setup_hook": install_stub, "env_vars": {"PYTHONPATH": str(ROOT)}}
    ray.init(
        "local",
        num_cpus=cpus,
        runtime_env=hook,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        suite_run._train("ray", plan, None)
        peak = max(mib for _, mib in meter.memory)
    finally:
        ray.shutdown()
    records = suite_run.report_records()
    assert len(records) == trials
    assert {record.status for record in records.values()} == {"finished"}
    return summarise(meter, planned, trials, peak)


def summarise(meter: Meter, planned: float, trials: int, peak: float) -> dict[str, Any]:
    """Seconds and MiB in all, and after every tenth of the trials."""
    first, last = meter.ended[0], meter.ended[-1]
    marks = sorted({max(trials * tenth // 10, 1) for tenth in range(1, 11)})
    return {
        "seconds": {"plan": planned, "first trial": first, "each trial": (last - first) / max(trials - 1, 1)},
        "peak memory": peak,
        "memory after trials": {str(mark): meter.memory_after(mark) for mark in marks},
        "seconds after trials": {str(mark): meter.ended[mark - 1] for mark in marks},
        "memory": meter.memory,
    }


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what thousands of trials cost the driver.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--cpus", type=int, default=environment.available_cores(), help="trials at a time")
    return add_json_option(parser)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the main figures, and write JSON if asked to."""
    options = argument_parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(options.trials, options.cpus, Path(scratch))
    result = write_result(options, 1, load=os.getloadavg(), **figures)
    seconds, memory = figures["seconds"], figures["memory after trials"]
    print(f"first trial after {seconds['first trial']:.1f} s, each further trial {seconds['each trial']:.2f} s")
    print(f"memory of the driver: {figures['peak memory']:.0f} MiB at most; MiB by number of ended trials: {memory}")
    return result


if __name__ == "__main__":
    main()
