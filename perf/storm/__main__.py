"""Kill everything at random moments, start the same command again, and compare with an undisturbed run bit for bit.

    python -m perf.storm --kills 30 --inprocess-kills 10 --seed 0 --json storm.json

A suite of six methods, one of them in two ways, is trained once undisturbed. Then storms go over fresh workspaces:
with Ray the workers, the driver, its board, the raylet, the global control store and an MLflow tracking server are hit,
with SIGKILL and, where a program can hear it, SIGTERM or SIGINT; in-process only the driver can be. After each kill
that ends the command the same command is started again. When a suite is finished before its kills are over, the rest
goes over another workspace. In the end the records, sheets, final weights, report and MLflow's runs must be those of
the undisturbed run, and no process, no scratch and no half file may be left.

Takes half an hour to an hour on two slow cores. What is wrong is listed, and makes the exit status 1.
"""

import argparse
import json
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
from perf.storm.comparison import differences, mirrored, reported
from perf.storm.kills import Kill, Runner, schedule
from perf.storm.processes import Server
from perf.storm.suite import STEPS, write_suite
from perf.storm.weather import Storm, Told, say

RESUMED = "went on from a checkpoint"


def storms(root: Path, kills: dict[Runner, int], seed: int, seeds: int, steps: int, minutes: float) -> dict[str, Any]:
    """All storms, and what came of them."""
    path = write_suite(root / "storm.yaml", seeds, steps)
    suite, told = load_suite(path), Told(deadline=time.monotonic() + 60 * minutes)
    calm, span, seconds = _undisturbed(root, suite, path)
    resumed: list[int] = []
    speeds = _speeds(calm)
    workspaces = 0
    for runner, count in kills.items():
        left, before = deque(schedule(runner, count, seed)), told.kills.total()
        while left and time.monotonic() < told.deadline:
            workspaces += 1
            say(f"storm {workspaces} over {runner}, {len(left)} kills to come, findings so far: {len(told.findings)}")
            storm = _one(root / f"{runner}-{workspaces}", suite, path, runner, left, span, told, calm)
            resumed += _resumed(storm, suite)
            if not left:  # in place of kills that found nothing to hit
                left.extend(schedule(runner, count - (told.kills.total() - before), seed + workspaces))
    return {
        "workspaces": workspaces,
        "trials": workspaces * len(suite.specs),
        "kills": dict(sorted(told.kills.items())),
        "kills_in_all": sum(told.kills.values()),
        "missed": dict(told.missed),
        "starts": told.starts,
        "exit_statuses": dict(told.ends),
        "attempts": told.attempts,
        "tried_again_within_a_command": told.tried_again,
        "trials_resumed": sum(map(bool, resumed)),
        "resumes_kept_in_records": sum(resumed),
        "interrupted_trials": len(told.lost),
        "lost_seconds_mean": round(mean(lost for _, lost in told.lost), 2) if told.lost else 0.0,
        "lost_seconds_highest": round(max((lost for _, lost in told.lost), default=0.0), 2),
        "steps_trained_twice_about": round(sum(lost * speeds[trial_id] for trial_id, lost in told.lost)),
        "steps_of_all_trials": workspaces * sum(spec.steps for spec in suite.specs.values()),
        "undisturbed_seconds": round(seconds),
        "left_in_tmp": told.left_in_tmp,
        "findings": told.findings,
    }


def _undisturbed(root: Path, suite: Suite, path: Path) -> tuple[Storm, float, float]:
    """The calm run, with Ray; the seconds from its start to its first trial, and the seconds of the whole run."""
    told = Told()
    storm = Storm(root / "calm", suite, path, "ray", told, _served(root / "calm-mlflow"))
    say("the undisturbed run")
    began = time.monotonic()
    try:
        storm.calm_down()
    finally:
        storm.clear()
    seconds = time.monotonic() - began
    wrong = [*told.findings, *(f"status {r.status}" for r in _records(storm, suite) if r.status != "finished")]
    if wrong or storm.first_trial is None:
        raise SystemExit(f"the undisturbed run went wrong, see {storm.log}: {wrong}")
    return storm, storm.first_trial, seconds


def _one(
    root: Path, suite: Suite, path: Path, runner: Runner, kills: deque[Kill], span: float, told: Told, calm: Storm
) -> Storm:
    """One storm from an empty workspace to a finished suite, and the comparison."""
    mirror = root.with_name(f"{root.name}-mlflow")
    storm = Storm(root, suite, path, runner, told, _served(mirror) if runner == "ray" else None)
    try:
        storm.rage(kills, span)
        storm.calm_down()
        found = [*differences(suite, calm.workspace, storm.workspace), *reported(suite, calm.report, storm.report)]
        if storm.server is None:  # in-process nothing is mirrored
            storm.catch_up(_served(mirror))
        assert storm.server is not None
        found += mirrored(suite, storm.workspace, storm.server.uri)
        told.findings += [f"{root.name}: {one}" for one in found]
    finally:
        storm.clear()
    return storm


def _served(folder: Path) -> Server:
    server = Server(folder)
    server.start()
    server.wait()
    return server


def _records(storm: Storm, suite: Suite) -> list[Any]:
    return list(RecordStore(storm.workspace.results).read_many(suite.specs).values())


def _resumed(storm: Storm, suite: Suite) -> list[int]:
    """How often each trial went on from a checkpoint, as far as its record knows: a kill may undo this too."""
    return [sum(e.times for e in record.events if e.what == RESUMED) for record in _records(storm, suite)]


def _speeds(calm: Storm) -> dict[str, float]:
    """Steps a second of every trial in the undisturbed run."""
    records = RecordStore(calm.workspace.results).read_many(calm.suite.specs)
    return {
        one: record.spec.steps / max(record.cost.train_seconds, 1e-9) for one, record in records.items() if record.cost
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Storms, figures on the terminal, and JSON where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m perf.storm", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="over the runner with Ray")
    parser.add_argument("--inprocess-kills", type=int, default=10, help="over the runner without it")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule")
    parser.add_argument("--seeds", type=int, default=2, help="of the suite: trials of each of its seven rows")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=240.0, help="after which no kill comes any more")
    parser.add_argument("--folder", type=Path, help="keep everything there; else it is removed when nothing is wrong")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args(arguments)
    root = options.folder or Path(tempfile.mkdtemp(prefix="storm-"))
    root.mkdir(parents=True, exist_ok=True)
    kills: dict[Runner, int] = {"ray": options.kills, "inprocess": options.inprocess_kills}
    began = time.monotonic()
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {key: str(value) for key, value in vars(options).items()},
        "environment": environment.describe("cpu", 1),
        **storms(root, kills, options.seed, options.seeds, options.steps, options.minutes),
        "minutes": round((time.monotonic() - began) / 60, 1),
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
