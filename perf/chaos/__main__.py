"""Kill processes at random moments, start the same command again, and compare with an undisturbed run bit for bit.

    python -m perf.chaos --kills 30 --inprocess-kills 10 --seed 0 --json chaos.json

A suite of six methods, one of them in two ways, is trained once undisturbed: the baseline. Chaos runs then train it in
fresh workspaces. With Ray they kill workers, the driver, the message board, the raylet, the global control store and an
MLflow tracking server, with SIGKILL and, where the program handles it, SIGTERM or SIGINT; in-process there is only the
driver. After each kill that ends the command, the same command is started again. If a suite is finished before the
schedule of kills is, the next chaos run continues the schedule. At the end the records, sample grids, final weights,
report and MLflow runs must be those of the baseline, and no process, scratch folder or partial file may be left.

Takes half an hour to an hour on two slow cores. Faults are listed, and make the exit status 1.
"""

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

from benchmark.config.suite import Suite, load_suite
from benchmark.core import environment
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.trials.runner import RESUMED
from perf.chaos.chaos_run import ChaosReport, ChaosRun
from perf.chaos.comparison import compare_mlflow, compare_reports, compare_workspaces
from perf.chaos.kills import Kill, Runner, draw_kills
from perf.chaos.processes import MLflowServer
from perf.chaos.suite import STEPS, write_suite

logger = logging.getLogger("perf.chaos")


def run_all(path: Path, kills: dict[Runner, int], seed: int, minutes: float) -> dict[str, Any]:
    """Run the baseline and all chaos runs of a suite, and return their figures."""
    root = path.parent
    suite, outcome = load_suite(path), ChaosReport(deadline=time.monotonic() + 60 * minutes)
    baseline, startup_seconds, baseline_seconds = _run_baseline(root, suite, path)
    resumptions: list[int] = []
    workspaces = 0
    for runner, count in kills.items():
        schedule, before = deque(draw_kills(runner, count, seed)), outcome.kills.total()
        while schedule and time.monotonic() < outcome.deadline:
            workspaces += 1
            progress = f"{len(schedule)} kills to come, {len(outcome.findings)} findings so far"
            logger.info("chaos run %d with %s, %s", workspaces, runner, progress)
            folder = root / f"{runner}-{workspaces}"
            server = _start_server(_mlflow_folder(folder)) if runner == "ray" else None
            chaos = ChaosRun(folder, suite, path, runner, outcome, server)
            _run_once(chaos, schedule, startup_seconds, baseline)
            resumptions += [
                sum(event.times for event in record.events if event.what == RESUMED) for record in _records(chaos)
            ]
            if not schedule:  # replaces kills that found no process
                schedule.extend(draw_kills(runner, count - (outcome.kills.total() - before), seed + workspaces))
    speeds = {r.trial_id: r.spec.steps / max(r.cost.train_seconds, 1e-9) for r in _records(baseline) if r.cost}
    lost = [seconds for _, seconds in outcome.lost]
    return {
        "workspaces": workspaces,
        "trials": workspaces * len(suite.specs),
        "kills": dict(sorted(outcome.kills.items())),
        "kills_total": outcome.kills.total(),
        "missed": dict(outcome.missed),
        "starts": outcome.starts,
        "exit_statuses": dict(outcome.exit_statuses),
        "attempts": outcome.attempts,
        "retries_within_a_command": outcome.retries,
        "trials_resumed": sum(map(bool, resumptions)),
        "resumptions_in_records": sum(resumptions),  # a kill may also undo the note of a resumption
        "interrupted_trials": len(lost),
        "lost_seconds_mean": round(mean(lost), 2) if lost else 0.0,
        "lost_seconds_max": round(max(lost, default=0.0), 2),
        "steps_trained_twice": round(sum(seconds * speeds[trial_id] for trial_id, seconds in outcome.lost)),
        "steps_of_all_trials": workspaces * sum(spec.steps for spec in suite.specs.values()),
        "baseline_seconds": round(baseline_seconds),
        "temporary_files": outcome.temporary_files,
        "findings": outcome.findings,
    }


def _run_baseline(root: Path, suite: Suite, path: Path) -> tuple[ChaosRun, float, float]:
    """The undisturbed run, with Ray; the seconds from its start to its first trial, and to its end."""
    outcome = ChaosReport()
    baseline = ChaosRun(
        root / "baseline", suite, path, "ray", outcome, _start_server(_mlflow_folder(root / "baseline"))
    )
    logger.info("the undisturbed run")
    start = time.monotonic()
    try:
        baseline.finish()
    finally:
        baseline.clear()
    seconds = time.monotonic() - start
    statuses = (f"status {record.status}" for record in _records(baseline) if record.status != "finished")
    faults = [*outcome.findings, *statuses]
    if faults or baseline.first_trial is None:
        raise SystemExit(f"the undisturbed run failed, see {baseline.log}: {faults}")
    return baseline, baseline.first_trial, seconds


def _run_once(chaos: ChaosRun, kills: deque[Kill], startup_seconds: float, baseline: ChaosRun) -> None:
    """One chaos run from an empty workspace to a finished suite, and its comparison with the baseline."""
    suite = chaos.suite
    try:
        chaos.inject(kills, startup_seconds)
        chaos.finish()
        faults = [*compare_workspaces(suite, baseline.workspace, chaos.workspace)]
        faults += compare_reports(suite, baseline.report_dir, chaos.report_dir)
        if chaos.server is None:  # a run in-process mirrors nothing
            chaos.sync(_start_server(_mlflow_folder(chaos.root)))
        assert chaos.server is not None
        faults += compare_mlflow(suite, chaos.workspace, chaos.server.uri)
        chaos.outcome.findings += [f"{chaos.root.name}: {fault}" for fault in faults]
    finally:
        chaos.clear()


def _mlflow_folder(root: Path) -> Path:
    return root.with_name(f"{root.name}-mlflow")


def _start_server(folder: Path) -> MLflowServer:
    server = MLflowServer(folder)
    server.start()
    server.wait()
    return server


def _records(run: ChaosRun) -> list[TrialRecord]:
    return list(RecordStore(run.workspace.results).read_many(run.suite.specs).values())


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="with Ray")
    parser.add_argument("--inprocess-kills", type=int, default=10, help="without Ray")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule of kills")
    parser.add_argument("--seeds", type=int, default=2, help="of the suite: trials per row; it has seven rows")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each trial")
    parser.add_argument("--minutes", type=float, default=240.0, help="after this time no more processes are killed")
    parser.add_argument("--folder", type=Path, help="keep all files there; by default they are removed if all is well")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the chaos test, print its figures, and write them as JSON if asked to."""
    options = argument_parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logger.setLevel(logging.INFO)
    root = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    root.mkdir(parents=True, exist_ok=True)
    kills: dict[Runner, int] = {"ray": options.kills, "inprocess": options.inprocess_kills}
    start = time.monotonic()
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {key: str(value) for key, value in vars(options).items()},
        "environment": environment.describe("cpu", 1),
        **run_all(write_suite(root / "chaos.yaml", options.seeds, options.steps), kills, options.seed, options.minutes),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "load": os.getloadavg(),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    if not result["findings"] and not options.folder:
        shutil.rmtree(root)
    return result


if __name__ == "__main__":
    sys.exit(1 if main()["findings"] else 0)
