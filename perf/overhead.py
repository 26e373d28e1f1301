"""What a run costs beyond the training and the evaluation of its trials.

    python -m perf.overhead --steps 1000 --seeds 3 --json overhead.json

Each runner runs the quickstart's GANs on digits in a process of its own with all imports, as a user does. A trial gets
all processors, so that with Ray, too, one trial follows the other and all time beyond their own seconds is overhead. It
is split by the times at which records arrive: the time before the first record includes the start of the runner and its
workers, the time between two records includes everything that a trial does besides training and evaluation. Ray itself
starts while data and evaluation networks are prepared.

Then, in this process, the script compares a step of the training loop with a bare loop of the same losses and updates,
in alternation, and times single parts of a trial: a checkpoint, the sample grids of a measurement, a progress report.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import yaml
from rich.console import Console
from rich.table import Table

from baselines.common.method import EagerStepInputs
from benchmark.config.suite import RunnerName, Suite, load_suite
from benchmark.core import environment, registry
from benchmark.core.spec import TrialSpec
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import to_range
from benchmark.evaluation.references import EvaluationAssets
from benchmark.execution import suite_run
from benchmark.execution.events import Event, RunListener, TrialFinished
from benchmark.execution.live_view import LiveView, trial_lines
from benchmark.execution.runners import make_runner
from benchmark.execution.signals import StopSignal
from benchmark.execution.suite_run import SuiteRun
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.tracking.mirror import MLflowMirror
from benchmark.training import checkpoint
from benchmark.training.trainer import Trainer
from benchmark.trials.build import build_trainer
from benchmark.trials.job import Job, Progress
from benchmark.trials.process import thread_settings
from benchmark.trials.samples import GRID_IMAGES, THUMBNAILS, sample_grid
from perf.result import add_json_option, format_range, spread, write_result

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "suites" / "quickstart.yaml"
CPU = torch.device("cpu")
RUNNERS: tuple[RunnerName, ...] = ("inprocess", "ray")
START = "start of the runner, to the first step of the first trial"
STOP = "stop of the runner"
BETWEEN = "in trials and between them"

Parts = dict[str, float]  # seconds
Generators = tuple[torch.Generator, torch.Generator]  # for the losses, and for the images


def write_suite(path: Path, steps: int, seeds: int) -> None:
    """Write the quickstart's GANs on digits with this many steps and seeds, and all processors for each trial."""
    suite = yaml.safe_load(QUICKSTART.read_text())
    del suite["tolerance"]  # of values that only the other table has
    suite["tables"] = [table for table in suite["tables"] if table["title"] == "Digits"]
    suite["tables"][0]["defaults"]["steps"] = steps
    suite["tables"][0]["seeds"] = list(range(seeds))
    suite["resources"] = {"cpus": os.cpu_count() or 1}
    path.write_text(yaml.safe_dump(suite, sort_keys=False))


# --- a whole run ---------------------------------------------------------------------------------------


@dataclass
class ArrivalTimes(RunListener):
    """Notes the time at which each record arrives."""

    arrived: list[tuple[float, TrialRecord]] = field(default_factory=list)

    def handle(self, event: Event) -> None:
        """Note the time of a record; ignore other events."""
        if isinstance(event, TrialFinished):
            self.arrived.append((time.perf_counter(), event.record))


def own_seconds(record: TrialRecord) -> float:
    """Seconds of training and evaluation. Raises AssertionError if the trial did not finish."""
    assert record.status == "finished", f"{record.spec.name}: {record.error}"
    assert record.cost is not None
    return record.cost.train_seconds + record.cost.evaluation_seconds


def split_runner_time(arrived: Sequence[tuple[float, TrialRecord]], start: float, end: float) -> Parts:
    """Split the time of a runner, whose trials ran one after the other, into parts."""
    moments = [start, *(moment for moment, _ in arrived)]
    overheads = [moments[index + 1] - moments[index] - own_seconds(record) for index, (_, record) in enumerate(arrived)]
    return {
        "trials": sum(own_seconds(record) for _, record in arrived),
        START: overheads[0],
        BETWEEN: sum(overheads[1:]),
        STOP: end - moments[-1],
    }


def time_run(name: RunnerName, suite_path: Path, root: Path) -> Parts:
    """Seconds of the parts of a run in this process, which should be a new one."""
    parts: Parts = {}

    class TimedRunner:
        def __init__(self, folder: Path) -> None:
            self.inner = make_runner(name, folder, retries=0)

        def run(self, jobs: Iterable[Job], listeners: Sequence[RunListener], stop: StopSignal) -> None:
            arrivals, start = ArrivalTimes(), time.perf_counter()
            self.inner.run(jobs, [arrivals, *listeners], stop)
            parts.update(split_runner_time(arrivals.arrived, start, time.perf_counter()))

    with ExitStack() as stack:
        stack.enter_context(patch.object(suite_run, "make_runner", lambda _, folder, *__: TimedRunner(folder)))
        for part, owner, attribute in (
            ("data and evaluation networks", suite_run, "make_jobs"),
            ("report", SuiteRun, "render"),
            ("waiting for MLflow", MLflowMirror, "close"),
        ):
            stack.enter_context(patch.object(owner, attribute, timed(getattr(owner, attribute), parts, part)))
        with add_time(parts, "all"):
            with add_time(parts, "suite and plan"):
                run = _suite_run(load_suite(suite_path), root)
                plan = run.plan()
            run.run_and_report(name, plan)
    return parts


def _suite_run(suite: Suite, root: Path) -> SuiteRun:
    return SuiteRun(
        suite=suite,
        workspace=Workspace.at(root / "workspace"),
        data_dir=root,
        report_dir=root / "report",
        console=Console(file=(root / "output.txt").open("w")),
    )


def timed(call: Callable[..., Any], parts: Parts, part: str) -> Callable[..., Any]:
    """Wrap a function so that its seconds are added to a part."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with add_time(parts, part):
            return call(*args, **kwargs)

    return wrapper


@contextmanager
def add_time(parts: Parts, part: str) -> Iterator[None]:
    """Add the seconds of the block to a part."""
    start = time.perf_counter()
    try:
        yield
    finally:
        parts[part] = parts.get(part, 0.0) + time.perf_counter() - start


def time_run_in_child(name: RunnerName, suite_path: Path, root: Path) -> Parts:
    """`time_run` in a process of its own, with the time of its imports and its end."""
    root.mkdir()
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "perf.overhead", "--child", name, str(suite_path), str(root)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    wall = time.perf_counter() - start
    parts: Parts = json.loads(process.stdout.splitlines()[-1])
    return complete_parts(parts, wall)


def complete_parts(parts: Parts, wall: float) -> Parts:
    """Add the parts that make the sum equal to `wall`, the wall time of the command."""
    inside = parts.pop("all")
    known = sum(parts.values())
    return {"imports and process exit": wall - inside, **parts, "everything else": inside - known, "total": wall}


def overhead_shares(parts: Parts) -> dict[str, float]:
    """The overhead as a fraction of the trials' own seconds, with and without start and stop of the runner."""
    overhead = parts["total"] - parts["trials"]
    runner = parts[START] + parts[STOP]
    trials = parts["trials"]
    return {"overhead": overhead / trials, "overhead without the runner": (overhead - runner) / trials}


# --- a step --------------------------------------------------------------------------------------------


def bare_loop(trainer: Trainer, generators: Generators) -> Iterator[None]:
    """Yield after each step. It has the losses and updates of the trainer, but no schedule and no sums of losses."""
    method, spec = trainer.method, trainer.spec
    players = []
    for name in method.players:
        parameters = [p for module in method.player_modules(name) for p in module.parameters()]
        adam = torch.optim.Adam(parameters, lr=spec.optimizer.lr_at(name, 0.0), betas=spec.optimizer.betas, fused=True)
        players.append((name, method.updates_per_step(name, spec.discriminator_steps), parameters, adam))
    rng, image_rng = generators
    while True:
        for name, updates, parameters, adam in players:
            for _ in range(updates):
                drawn = trainer.images.draw(spec.batch_size, image_rng)
                inputs = EagerStepInputs(to_range(drawn.images, trainer.image_range), 0.0, rng, drawn.labels)
                total = torch.stack(list(method.loss(name, inputs).values())).sum()
                adam.zero_grad()
                total.backward(inputs=parameters)  # type: ignore[no-untyped-call]
                adam.step()
                method.after_update(name)
        yield


def step_ratios(job: Job, steps: int, repeats: int) -> list[float]:
    """Time of the trainer's steps divided by that of a bare loop, in alternating blocks of `steps` steps."""
    spec = job.spec.model_copy(update={"steps": 2**40})  # more than are ever trained
    ours = _trainer(job, spec).train_until(2**40)
    bare = bare_loop(_trainer(job, spec), (torch.Generator(), torch.Generator()))
    time_steps(ours, steps)  # warm-up
    time_steps(bare, steps)
    return [time_steps(ours, steps) / time_steps(bare, steps) for _ in range(repeats)]


def _trainer(job: Job, spec: TrialSpec) -> Trainer:
    return build_trainer(spec, open_prepared(job.data), CPU)


def time_steps(steps: Iterator[Any], count: int) -> float:
    """Seconds of `count` steps."""
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    return time.perf_counter() - start


# --- single parts --------------------------------------------------------------------------------------


def time_single_parts(suite: Suite, job: Job, repeats: int, scratch: Path) -> dict[str, list[float]]:
    """Seconds of what a trial does besides training and evaluation, once per repeat."""
    trainer = _trainer(job, job.spec)
    next(trainer.train_until(1))
    images = next(iter(trainer.samples(max(GRID_IMAGES, job.spec.protocol.sample_batch))))[:GRID_IMAGES]
    view = LiveView(trial_lines(suite, [job.spec.trial_id]), Console(file=(scratch / "view.txt").open("w")))
    progress = Progress(job.spec.trial_id, 1, 1.0, {})
    parts: dict[str, Callable[[], Any]] = {
        "checkpoint, at most one a minute": lambda: checkpoint.save(scratch / "state.pt", trainer.state()),
        "small sample grid, at a measurement": lambda: sample_grid(images[:THUMBNAILS], columns=4),
        "large sample grid, at the end": lambda: sample_grid(images),
        "progress report, once a second": lambda: view.handle(progress),
        "environment, at the end": lambda: environment.describe("cpu", 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            seconds[name].append(time.perf_counter() - start)
    return seconds


# --- the command ---------------------------------------------------------------------------------------


def measure_in_process(
    suite_path: Path, steps: int, repeats: int, root: Path
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Step ratios by method, for the first trial of every cell, and seconds of single parts."""
    suite, workspace = load_suite(suite_path, seeds=1), Workspace.at(root / "workspace")
    dataset = registry.datasets[next(iter(suite.specs.values())).dataset]
    data = dataset.prepare(root, workspace.data)
    jobs = [
        Job(
            spec=spec,
            data=data,
            assets=EvaluationAssets(extractors={}, references={}),
            checkpoints=root,
            samples=root,
            cpus=1,
            gpus=0.0,
        )
        for spec in suite.specs.values()
    ]
    with thread_settings(1):
        ratios = {job.spec.method: step_ratios(job, steps, repeats) for job in jobs}
        return ratios, time_single_parts(suite, jobs[0], repeats, root)


def make_tables(result: dict[str, Any]) -> Iterator[Table]:
    """The result as tables."""
    runs = result["runs"]
    first = Table("seconds", *runs, box=None, pad_edge=False)
    for part in dict.fromkeys(part for parts in runs.values() for part in parts):
        first.add_row(part, *(f"{parts[part]:.2f}" if part in parts else "" for parts in runs.values()))
    for name in next(iter(result["shares"].values()), {}):
        first.add_row(
            f"{name}, % of the trials", *(f"{100 * shares[name]:.1f}" for shares in result["shares"].values())
        )
    second = Table("step, compared with a bare loop", "time ratio, median", "range", box=None, pad_edge=False)
    for method, ratios in result["step_ratios"].items():
        second.add_row(method, f"{ratios[1]:.3f}", format_range(ratios, 3))
    third = Table("part of a trial", "ms, median", "range", box=None, pad_edge=False)
    for part, seconds in result["single_parts"].items():
        third.add_row(part, f"{1e3 * seconds[1]:.2f}", format_range(seconds, 2, 1e3))
    yield from (first, second, third)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time what a run does besides training and evaluation.")
    parser.add_argument("--steps", type=int, default=1000, help="of each trial")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runners", nargs="*", choices=RUNNERS, default=RUNNERS)
    parser.add_argument("--block", type=int, default=50, help="steps that are timed together")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--child", nargs=3, metavar=("RUNNER", "SUITE", "FOLDER"), help=argparse.SUPPRESS)
    return add_json_option(parser)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the tables, and write JSON if asked to."""
    options = argument_parser().parse_args(arguments)
    if options.child:
        name, suite_path, root = options.child
        parts = time_run(name, Path(suite_path), Path(root))
        print(json.dumps(parts))
        return parts
    del options.child
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        suite_path = Path(scratch) / "quickstart.yaml"
        write_suite(suite_path, options.steps, options.seeds)
        runs = {name: time_run_in_child(name, suite_path, Path(scratch) / name) for name in options.runners}
        ratios, singles = measure_in_process(suite_path, options.block, options.repeats, Path(scratch))
    result = write_result(
        options,
        os.cpu_count() or 1,
        load=load,
        runs=runs,
        shares={name: overhead_shares(parts) for name, parts in runs.items()},
        step_ratios={method: spread(values) for method, values in ratios.items()},
        single_parts={part: spread(values) for part, values in singles.items()},
    )
    for table in make_tables(result):
        Console(width=110).print(table)
    return result


if __name__ == "__main__":
    main()
