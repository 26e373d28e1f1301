"""What a run costs beyond the training and the evaluation of its trials.

    python -m perf.overhead --steps 1000 --seeds 3 --json overhead.json

The quickstart suite with so many steps, run by both runners, each in a process of its own with all imports, as a user
runs it. A trial gets all processors, so that one follows the other with Ray, too, and what is beyond their own seconds
is the harness. Its parts come from the moments at which records arrive: before the first one lies the start of the
runner and of its workers, between two of them all that a trial does beside training and evaluation.

Then, in this process: a step of the training loop beside a bare loop of the same losses and updates, in turn; and what
single parts of a trial cost: a checkpoint, the contact sheets of a measurement, a word about progress.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
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
from perf.result import kept

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "suites" / "quickstart.yaml"
CPU = torch.device("cpu")
RUNNERS: tuple[RunnerName, ...] = ("inprocess", "ray")
LIMIT = 0.05  # of the trials' own seconds, beyond Ray's start, asked of a suite of usual length
START = "start of the runner, to the first trial's first step"
BETWEEN = "in trials and between them"

Parts = dict[str, float]  # seconds
Streams = tuple[torch.Generator, torch.Generator]  # of the losses, and of the images


def write_suite(path: Path, steps: int, seeds: int) -> None:
    """The quickstart with so many steps and seeds, and all processors for each trial."""
    suite = yaml.safe_load(QUICKSTART.read_text())
    suite["defaults"]["steps"] = steps
    suite["seeds"] = list(range(seeds))
    suite["resources"] = {"cpus": os.cpu_count() or 1}
    path.write_text(yaml.safe_dump(suite, sort_keys=False))


# --- a whole run ---------------------------------------------------------------------------------------


@dataclass
class Watched(RunListener):
    """Notes when records arrived."""

    arrived: list[tuple[float, TrialRecord]] = field(default_factory=list)

    def handle(self, event: Event) -> None:
        """Note the time of a record."""
        if isinstance(event, TrialFinished):
            self.arrived.append((time.perf_counter(), event.record))


def own_seconds(record: TrialRecord) -> float:
    """Of a trial's training and evaluation. Raises AssertionError when it did not finish."""
    assert record.status == "finished", f"{record.spec.name}: {record.error}"
    assert record.cost is not None
    return record.cost.train_seconds + record.cost.evaluation_seconds


def parts_of(arrived: Sequence[tuple[float, TrialRecord]], called: float, returned: float) -> Parts:
    """What a runner's time went into, of trials that ran one after the other."""
    moments = [called, *(moment for moment, _ in arrived)]
    beyond = [moments[index + 1] - moments[index] - own_seconds(record) for index, (_, record) in enumerate(arrived)]
    return {
        "trials": sum(own_seconds(record) for _, record in arrived),
        START: beyond[0],
        BETWEEN: sum(beyond[1:]),
        "stop of the runner": returned - moments[-1],
    }


def whole_run(name: RunnerName, suite_path: Path, root: Path) -> Parts:
    """Seconds of the parts of a run in this process, which should be a fresh one."""
    parts: Parts = {}

    class Timed:
        def __init__(self, folder: Path) -> None:
            self.inner = make_runner(name, folder, retries=0)

        def run(self, jobs: Iterable[Job], listeners: Sequence[RunListener], stop: StopSignal) -> None:
            watched, called = Watched(), time.perf_counter()
            self.inner.run(jobs, [watched, *listeners], stop)
            parts.update(parts_of(watched.arrived, called, time.perf_counter()))

    with ExitStack() as stack, (root / "said.txt").open("w") as said:
        stack.enter_context(patch.object(suite_run, "make_runner", lambda _, folder, *__: Timed(folder)))
        for part, owner, attribute in (
            ("data and instruments", suite_run, "make_jobs"),
            ("report", SuiteRun, "render"),
            ("waiting for MLflow", MLflowMirror, "close"),
        ):
            stack.enter_context(patch.object(owner, attribute, timed(getattr(owner, attribute), parts, part)))
        with noted(parts, "all"):
            with noted(parts, "suite and plan"):
                made = _suite_run(load_suite(suite_path), root, said)
                plan = made.plan()
            made.run_and_report(name, plan)
    return parts


def _suite_run(suite: Suite, root: Path, log: TextIO) -> SuiteRun:
    return SuiteRun(
        suite=suite,
        workspace=Workspace.at(root / "workspace"),
        data_dir=root,
        report_dir=root / "report",
        console=Console(file=log),
    )


def timed(call: Callable[..., Any], parts: Parts, part: str) -> Callable[..., Any]:
    """The same, its seconds noted."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        with noted(parts, part):
            return call(*arguments, **named)

    return wrapped


@contextmanager
def noted(parts: Parts, part: str) -> Iterator[None]:
    """Add the seconds of what happens inside to a part."""
    start = time.perf_counter()
    try:
        yield
    finally:
        parts[part] = parts.get(part, 0.0) + time.perf_counter() - start


def run_in_child(name: RunnerName, suite_path: Path, root: Path) -> Parts:
    """The same in a process of its own, its imports and its end counted."""
    root.mkdir()
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "perf.overhead", "--child", name, str(suite_path), str(root)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    wall = time.perf_counter() - start
    parts: Parts = json.loads(done.stdout.splitlines()[-1])
    return accounted(parts, wall)


def accounted(parts: Parts, wall: float) -> Parts:
    """Parts that add up to the wall time of the command: what is in none is `else`."""
    inside = parts.pop("all")
    known = sum(parts.values())
    return {"imports and end of the process": wall - inside, **parts, "else": inside - known, "wall": wall}


def shares(parts: Parts) -> dict[str, float]:
    """Of the trials' own seconds: all that is beyond them, and the same without the runner's start and stop."""
    beyond = parts["wall"] - parts["trials"]
    runners = parts[START] + parts["stop of the runner"]
    return {"beyond": beyond / parts["trials"], "beyond, without the runner": (beyond - runners) / parts["trials"]}


# --- a step --------------------------------------------------------------------------------------------


def bare(trainer: Trainer, streams: Streams) -> Iterator[None]:
    """A step for each `next`: the same losses and updates, and nothing else. No schedule, no sums of losses."""
    method, spec = trainer.method, trainer.spec
    players = []
    for name in method.players:
        own = [p for module in method.player_modules(name) for p in module.parameters()]
        adam = torch.optim.Adam(own, lr=spec.optimizer.lr_at(name, 0.0), betas=spec.optimizer.betas, fused=True)
        players.append((name, method.updates_per_step(name, spec.discriminator_steps), own, adam))
    rng, places = streams
    while True:
        for name, turns, own, adam in players:
            for _ in range(turns):
                drawn = trainer.images.draw(spec.batch_size, places)
                turn = EagerStepInputs(to_range(drawn.images, trainer.image_range), 0.0, rng, drawn.labels)
                total = torch.stack(list(method.loss(name, turn).values())).sum()
                adam.zero_grad()
                total.backward(inputs=own)  # type: ignore[no-untyped-call]
                adam.step()
                method.after_update(name)
        yield


def step_ratios(job: Job, steps: int, repeats: int) -> list[float]:
    """How many times as long as a bare loop's the trainer's steps take, of so many steps in turn."""
    spec = job.spec.model_copy(update={"steps": 2**40})  # nobody trains so many
    ways: list[Iterator[Any]] = [
        build(job, spec).train_until(2**40),
        bare(build(job, spec), (torch.Generator(), torch.Generator())),
    ]
    for way in ways:
        run(way, steps)  # warm-up
    return [run(ways[0], steps) / run(ways[1], steps) for _ in range(repeats)]


def build(job: Job, spec: TrialSpec) -> Trainer:
    """Ready to train."""
    return build_trainer(spec, open_prepared(job.data), CPU)


def run(steps: Iterator[Any], count: int) -> float:
    """Seconds of so many steps."""
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    return time.perf_counter() - start


# --- single parts --------------------------------------------------------------------------------------


def single_parts(suite: Suite, job: Job, repeats: int, scratch: Path) -> dict[str, list[float]]:
    """Seconds of what a trial does beside training and evaluation, each time."""
    trainer = build(job, job.spec)
    next(trainer.train_until(1))
    images = next(iter(trainer.samples(max(GRID_IMAGES, job.spec.protocol.sample_batch))))[:GRID_IMAGES]
    view = LiveView(trial_lines(suite, [job.spec.trial_id]), Console(file=(scratch / "view.txt").open("w")))
    progress = Progress(job.spec.trial_id, 1, 1.0, {})
    ways: dict[str, Callable[[], Any]] = {
        "checkpoint, at most one a minute": lambda: checkpoint.save(scratch / "state.pt", trainer.state()),
        "small sheet, at a measurement": lambda: sample_grid(images[:THUMBNAILS], columns=4),
        "large sheet, at the end": lambda: sample_grid(images),
        "progress, once a second": lambda: view.handle(progress),
        "environment, at the end": lambda: environment.describe("cpu", 1),
    }
    found: dict[str, list[float]] = {part: [] for part in ways}
    for _ in range(repeats):
        for part, way in ways.items():
            start = time.perf_counter()
            way()
            found[part].append(time.perf_counter() - start)
    return found


# --- all of it -----------------------------------------------------------------------------------------


def inside(suite_path: Path, steps: int, repeats: int, root: Path) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """What is measured in this process, of the first trial of every cell: step ratios by method, single parts."""
    suite, workspace = load_suite(suite_path, seeds=1), Workspace.at(root / "workspace")
    made = _suite_run(suite, root, (root / "said.txt").open("w"))
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
        for spec in made.suite.specs.values()
    ]
    with thread_settings(1):
        ratios = {job.spec.method: step_ratios(job, steps, repeats) for job in jobs}
        return ratios, single_parts(suite, jobs[0], repeats, root)


def _spread(values: list[float]) -> list[float]:
    return [min(values), statistics.median(values), max(values)]


def tables(result: dict[str, Any]) -> Iterator[Table]:
    """The result for people."""
    runs = result["runs"]
    first = Table("seconds", *runs, box=None, pad_edge=False)
    for part in dict.fromkeys(part for parts in runs.values() for part in parts):
        first.add_row(part, *(f"{parts[part]:.2f}" if part in parts else "" for parts in runs.values()))
    for name in next(iter(result["shares"].values()), {}):
        first.add_row(f"{name}, % of the trials", *(f"{100 * of[name]:.1f}" for of in result["shares"].values()))
    second = Table("a step, beside a bare loop", "times as long", "lowest to highest", box=None, pad_edge=False)
    for method, (low, median, high) in result["step_ratios"].items():
        second.add_row(method, f"{median:.3f}", f"{low:.3f} to {high:.3f}")
    third = Table("part of a trial", "ms", "lowest to highest", box=None, pad_edge=False)
    for part, (low, median, high) in result["single_parts"].items():
        third.add_row(part, f"{1e3 * median:.2f}", f"{1e3 * low:.2f} to {1e3 * high:.2f}")
    yield from (first, second, third)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the tables, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="Seconds of a run beyond its trials' training and evaluation.")
    parser.add_argument("--steps", type=int, default=1000, help="of each trial")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runners", nargs="*", choices=RUNNERS, default=RUNNERS)
    parser.add_argument("--block", type=int, default=50, help="steps that are timed together, in turn")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--child", nargs=3, metavar=("RUNNER", "SUITE", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write all numbers there")
    options = parser.parse_args(arguments)
    if options.child:
        name, suite_path, root = options.child
        parts = whole_run(name, Path(suite_path), Path(root))
        print(json.dumps(parts))
        return parts
    del options.child
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        suite_path = Path(scratch) / "quickstart.yaml"
        write_suite(suite_path, options.steps, options.seeds)
        runs = {name: run_in_child(name, suite_path, Path(scratch) / name) for name in options.runners}
        ratios, singles = inside(suite_path, options.block, options.repeats, Path(scratch))
    result = kept(
        options,
        os.cpu_count() or 1,
        load=load,
        runs=runs,
        shares={name: shares(parts) for name, parts in runs.items()},
        step_ratios={method: _spread(values) for method, values in ratios.items()},
        single_parts={part: _spread(values) for part, values in singles.items()},
    )
    for table in tables(result):
        Console(width=110).print(table)
    return result


if __name__ == "__main__":
    main()
