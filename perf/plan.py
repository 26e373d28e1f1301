"""How long the plan and the report of a very large suite take.

    python -m perf.plan --trials 10000 --json plan.json

The script writes a suite of many cells and seeds, a synthetic record of every trial (with a sample grid of noise, the
largest that a record can hold) and a calibration to a scratch folder. It times each command as a user runs it, in a
process of its own with all imports, and the parts of the commands in this process. All reports must be byte-identical.
"""

import argparse
import base64
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table

from benchmark.cli.plan import render_plan
from benchmark.config.suite import Suite, load_suite
from benchmark.core import environment
from benchmark.core.spec import TrialSpec
from benchmark.execution.suite_run import SuiteRun
from benchmark.planning.plan import make_plan
from benchmark.planning.timings import Timing
from benchmark.report import render
from benchmark.store.record_store import RecordStore
from benchmark.store.records import Cost, Measurement, TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.trials.samples import GRID_IMAGES, sample_grid
from perf.result import add_json_option, write_result

ROOT = Path(__file__).resolve().parent.parent
SEEDS = 100
TABLES = 10
METHODS = ("gan", "ssgan", "msgan", "ssgan_la", "self_labelling")
EVALUATIONS = 10
LIMITS = {"plan": 5.0, "report": 30.0}  # goals, in seconds
TERMS = ("discriminator/adversarial", "discriminator/task", "generator/adversarial", "generator/task")


def write_suite(path: Path, trials: int) -> None:
    """Write a suite of `trials` trials, in cells of SEEDS seeds and at most TABLES tables. No two cells are equal."""
    cells = max(trials // SEEDS, 1)
    seeds = min(trials, SEEDS)
    tables: list[dict[str, Any]] = [{"title": f"Table {i}", "rows": {}} for i in range(min(TABLES, cells))]
    for cell in range(cells):
        method = METHODS[cell % len(METHODS)]
        row = {"method": method, "optimizer": {"lr": 1e-4 * (cell + 1)}}
        if method == "ssgan_la":
            row["options"] = {"batches": "each_one_way"}
        tables[cell % len(tables)]["rows"][f"{method} {cell}"] = row
    suite = {
        "title": f"{cells * seeds} synthetic trials",
        "seeds": list(range(seeds)),
        "defaults": {
            "dataset": "stacked_digits",
            "network": "mlp",
            "network_options": {"generator_width": 16, "discriminator_width": 8},
            "latent": {"dim": 8, "distribution": "normal"},
            "steps": 1000,
            "batch_size": 64,
            "optimizer": {"betas": [0.0, 0.9]},
            "protocol": {"measures": {"modes": {"n_fake": 25600}}, "evaluations": EVALUATIONS},
        },
        "tables": tables,
        "scales": {"quick": {}},
    }
    path.write_text(yaml.safe_dump(suite, sort_keys=False))


def write_records(suite: Suite, store: RecordStore, share: float, hardware: dict[str, Any]) -> None:
    """Write a synthetic record of a share of the trials, with `hardware` as its environment."""
    rng = np.random.default_rng(0)
    grids = [
        base64.b64encode(sample_grid(torch.from_numpy(rng.integers(0, 256, (GRID_IMAGES, 3, 32, 32), dtype=np.uint8))))
        for _ in range(4)
    ]
    store.folder.mkdir(parents=True)
    specs = list(suite.specs.values())
    for index, spec in enumerate(specs[: round(share * len(specs))]):
        record = synthetic_record(spec, rng, grids[index % len(grids)].decode(), hardware)
        # The bytes that `RecordStore.write` writes, without waiting for the disk ten thousand times.
        store.path(spec.trial_id).write_bytes(record.model_dump_json(indent=1).encode() + b"\n")


def synthetic_record(spec: TrialSpec, rng: np.random.Generator, grid: str, hardware: dict[str, Any]) -> TrialRecord:
    """A record of a finished trial with random metrics in a full history. `grid`: a PNG in base64."""

    def measurement(step: int) -> Measurement:
        metrics = {"modes": float(rng.integers(200, 1000)), "kl": float(rng.uniform(0.1, 3))}
        return Measurement(step=step, metrics=metrics, losses={term: float(rng.normal()) for term in TERMS})

    now = "2026-01-01T00:00:00+00:00"
    steps = [spec.steps * (index + 1) // EVALUATIONS for index in range(EVALUATIONS)]
    return TrialRecord(
        trial_id=spec.trial_id,
        spec=spec,
        status="finished",
        history=[measurement(step) for step in steps],
        facts={"classifier_accuracy": 0.97},
        instruments={"digits": "0" * 64},
        cost=Cost(
            train_seconds=float(rng.uniform(10, 20)),
            evaluation_seconds=float(rng.uniform(1, 2)),
            images_per_second=5000.0,
            peak_memory_mib=500.0,
            cpus=1,
            gpus=0.0,
        ),
        environment=hardware,
        data={"dataset": "stacked_digits", "train": [1437, 1, 8, 8], "sources": {"digits": "0" * 64}},
        started=now,
        finished=now,
        histograms={"modes": rng.multinomial(25600, [1 / 1000] * 1000).tolist()},
        samples_png=grid,
    )


def write_calibration(suite: Suite, workspace: Workspace) -> None:
    """Write a synthetic timing of every kind of trial to do."""
    plan = make_plan(suite, workspace, workspace.root)
    timing = Timing(kind={}, seconds=0.01, sample_seconds=1e-5, peak_memory_mib=500.0)
    for kind, _ in (*plan.estimate.untimed_training, *plan.estimate.untimed_features):
        plan.calibration.save(kind, timing)


def run_command(*arguments: str) -> tuple[float, str]:
    """Run a command in a process of its own. Returns its seconds and its standard output."""
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return time.perf_counter() - start, process.stdout


def read_files(folder: Path) -> dict[str, bytes]:
    """The content of every file in a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Clock(dict[str, float]):
    """Seconds by part."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        yield
        self[name] = time.perf_counter() - start


def measure(trials: int, finished: float, root: Path, run: Callable[..., tuple[float, str]] = run_command) -> Clock:
    """Seconds of every part and of both commands. Raises AssertionError if two reports differ."""
    path, workspace, clock = root / "large.yaml", Workspace.at(root / "workspace"), Clock()
    write_suite(path, trials)
    write_records(load_suite(path), RecordStore(workspace.results), finished, environment.describe("cpu", 1))
    write_calibration(load_suite(path), workspace)
    with clock.part("load_suite"):
        suite = load_suite(path)
    with clock.part("trial ids"):
        assert len(suite.specs) == trials
    with clock.part("make_plan"):
        plan = make_plan(suite, workspace, root)
    with clock.part("estimate and table"), (root / "plan.txt").open("w") as file:
        Console(file=file, width=120).print(render_plan(plan))
    assert plan.estimate.wall_seconds is not None
    suite_run = SuiteRun(
        suite=suite, workspace=workspace, data_dir=root, report_dir=root / "report", console=Console(quiet=True)
    )
    with clock.part("read records"):
        records = suite_run.report_records()
    with clock.part("render files"):
        suite_run.render(records)
    with clock.part("terminal tables"):
        Console(file=(root / "terminal.txt").open("w"), width=120).print(render.summary_table(suite, records))
    places = ("--workspace", str(workspace.root))
    clock["command: plan"], _ = run("plan", str(path), *places)
    clock["command: plan --json"], _ = run("plan", str(path), *places, "--json")
    outputs: list[str] = []
    for name in ("command: report", "command: report, again"):
        folder = root / f"report {len(outputs)}"
        clock[name], output = run("report", str(path), *places, "--report-dir", str(folder))
        outputs.append(output.replace(str(folder), ""))
        assert read_files(folder) == read_files(root / "report"), "two reports of the same store differ"
    assert outputs[0] == outputs[1], "two reports of the same store differ"
    return clock


def make_table(clock: Clock) -> Table:
    """The seconds as a table."""
    table = Table("part", "seconds", "limit", box=None, pad_edge=False)
    for name, seconds in clock.items():
        limit = LIMITS.get(name.removeprefix("command: ").split(",")[0].split(" ")[0]) if ":" in name else None
        table.add_row(name, f"{seconds:.2f}", f"{limit:.0f}" if limit else "")
    return table


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time the plan and the report of a large suite.")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--finished", type=float, default=1.0, help="share of the trials that have a record")
    return add_json_option(parser)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and write JSON if asked to."""
    options = argument_parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        clock = measure(options.trials, options.finished, Path(scratch))
    result = write_result(options, 1, load=os.getloadavg(), seconds=clock)
    Console().print(make_table(clock))
    return result


if __name__ == "__main__":
    main()
