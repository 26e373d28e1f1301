"""How long a run of thousands of trials takes to start, what each of them costs, and how much memory the driver needs.

    python -m perf.scale --trials 1000 --json scale.json

makes a suite of so many trials and runs it as `python -m benchmark run` does, with real Ray Tune. Only the training is
left out: a stand-in for `benchmark.trial.run` returns a made-up record, with its contact sheet, at once. MLflow is left
out too. Half an hour of it says nothing about trials that take hours, but all about what is around them.
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
from perf.plan import made_up, write_suite
from perf.result import kept

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 1.0


def instant(job: Job, report: ProgressCallback) -> TrialRecord:
    """Stands in for a training."""
    rng = np.random.default_rng(job.spec.seed)
    images = torch.from_numpy(rng.integers(0, 256, (GRID_IMAGES, 3, 32, 32), dtype=np.uint8))
    report(Progress(job.spec.trial_id, job.spec.steps, 1.0, {}))
    return made_up(job.spec, rng, base64.b64encode(sample_grid(images)).decode(), {})


def stand_in() -> None:
    """Called once in every process of a worker."""
    from benchmark.trials import runner

    runner.run_trial = instant


@dataclass
class Meter:
    """Resident memory of this process over time, and when trials ended."""

    start: float = field(default_factory=time.monotonic)
    ended: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MiB

    def watch(self) -> None:
        """Sample for ever, in a thread."""
        process = psutil.Process()
        while True:
            self.memory.append((round(self.now(), 1), round(process.memory_info().rss / 2**20, 1)))
            time.sleep(SAMPLE_SECONDS)

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def resident_at(self, ended: int) -> float:
        """MiB when so many trials had ended."""
        moment = self.ended[ended - 1]
        return next((mib for seconds, mib in self.memory if seconds >= moment), self.memory[-1][1])


def measure(trials: int, cpus: int, root: Path) -> dict[str, Any]:
    """Run that many trials that train nothing."""
    import ray

    write_suite(root / "large.yaml", trials)
    meter = Meter()
    threading.Thread(target=meter.watch, daemon=True).start()
    handle = ResultSink.handle

    def counted(self: ResultSink, event: Event) -> None:
        handle(self, event)
        if isinstance(event, TrialFinished):
            meter.ended.append(meter.now())

    ResultSink.handle = counted  # type: ignore[method-assign]
    suite = load_suite(root / "large.yaml")
    session = SuiteRun(
        suite=suite,
        workspace=Workspace.at(root / "workspace"),
        data_dir=root,
        report_dir=root / "report",
        console=Console(quiet=True),
    )
    plan = session.plan()
    planned = meter.now()
    cluster.silence_ray()
    hook = {"worker_process_setup_hook": stand_in, "env_vars": {"PYTHONPATH": str(ROOT)}}
    ray.init(
        "local",
        num_cpus=cpus,
        runtime_env=hook,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        session._train("ray", plan, None)
        peak = max(mib for _, mib in meter.memory)
    finally:
        ray.shutdown()
    records = session.report_records()
    assert len(records) == trials
    assert {record.status for record in records.values()} == {"finished"}
    return _summary(meter, planned, trials, peak)


def _summary(meter: Meter, planned: float, trials: int, peak: float) -> dict[str, Any]:
    first, last = meter.ended[0], meter.ended[-1]
    marks = sorted({max(trials * tenth // 10, 1) for tenth in range(1, 11)})
    return {
        "seconds": {"plan": planned, "first trial": first, "each trial": (last - first) / max(trials - 1, 1)},
        "peak of the driver": peak,
        "resident after": {str(mark): meter.resident_at(mark) for mark in marks},
        "ended after": {str(mark): meter.ended[mark - 1] for mark in marks},
        "memory": meter.memory,
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print what matters, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="What thousands of trials cost the driver.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--cpus", type=int, default=environment.available_cores(), help="trials side by side")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options.trials, options.cpus, Path(scratch))
    result = kept(options, 1, load=os.getloadavg(), **found)
    seconds = found["seconds"]
    print(f"first trial ended after {seconds['first trial']:.1f} s, then {seconds['each trial']:.2f} s each")
    print(f"driver: {found['peak of the driver']:.0f} MiB at most; after so many trials: {found['resident after']}")
    return result


if __name__ == "__main__":
    main()
