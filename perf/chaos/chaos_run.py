"""One chaos run on one workspace: start the command, kill a process, start it again, until the suite is finished."""

import logging
import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from uuid import uuid4

from benchmark.config.suite import Suite
from benchmark.execution.live_view import WILL_RETRY, trial_lines
from benchmark.planning.plan import make_plan
from benchmark.store.workspace import Workspace
from benchmark.training.checkpoint import NUMBERED
from perf.chaos.kills import Kill, Runner
from perf.chaos.processes import (
    MARK,
    POLL_SECONDS,
    ROOT,
    Command,
    MLflowServer,
    command_line,
    marked_processes,
    wait_until_gone,
    with_role,
)

SILENCE_SECONDS = 600.0  # without a line of output, after which the command counts as hung
STOP_SECONDS = 300.0  # for the end of a driver that was asked to stop, or that was killed
ORPHAN_SECONDS = 60.0  # for the end of the processes that a dead driver has started
TARGET_SECONDS = 120.0  # until a process of the wanted kind exists
IMPATIENCE_SECONDS = 3.0  # at most, between the two signals of an impatient user
TRAINING_SECONDS = 20.0  # a kill comes within this time after the first trial, or after the kill before
RESTART_SECONDS = 20.0  # at most, until a killed tracking server is started again
EXIT_STATUSES = {0, 1, 130}  # finished; trials failed or Ray has gone; stopped
EVENT = re.compile(r"\[ *[\d: sdh]+\] (?P<label>.*?): (?P<event>started|finished|diverged|failed)\b")

logger = logging.getLogger(__name__)


@dataclass
class ChaosReport:
    """The outcome of one or more chaos runs. Any finding is a fault."""

    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)  # kills that found no process of their kind
    starts: int = 0
    deadline: float = inf  # of the monotonic clock; no kill comes after it
    exit_statuses: Counter[str] = field(default_factory=Counter)
    attempts: int = 0  # trials that a worker has started
    retries: int = 0  # within one command
    lost: list[tuple[str, float]] = field(default_factory=list)  # trial id, seconds of its work that a kill undid
    temporary_files: list[str] = field(default_factory=list)  # left in the system's folder for temporary files
    findings: list[str] = field(default_factory=list)


class ChaosRun:
    """The command under test on one workspace, with everything that it leaves behind."""

    def __init__(
        self, root: Path, suite: Suite, path: Path, runner: Runner, outcome: ChaosReport, server: MLflowServer | None
    ) -> None:
        root.mkdir(parents=True)
        self.root, self.suite, self.outcome, self.server = root, suite, outcome, server
        self.workspace, self.report_dir = Workspace.at(root / "workspace"), root / "report"
        self.log = root / "output.txt"
        self.arguments = ["run", str(path), "--runner", runner, "--report-dir", str(self.report_dir)]
        self.arguments += ["--workspace", str(self.workspace.root)]
        self.mark = uuid4().hex
        self.scratch = tempfile.mkdtemp(prefix="ch-")  # a short path: Ray's sockets have long names
        self.labels = {line.label: trial_id for trial_id, line in trial_lines(suite, suite.specs).items()}
        self.running: dict[str, float] = {}  # trial id -> start, by the wall clock, which file times use
        self.is_training = False  # whether the present command has started a trial
        self.kill_time = 0.0  # of the last kill, by the wall clock
        self.command: Command | None = None
        self.server_restart: float | None = None  # when the killed tracking server is due to start again
        self.first_trial: float | None = None  # seconds from the start of a command to its first trial

    def environment(self) -> dict[str, str]:
        """The environment of the command: marks its processes, and keeps Ray's files in a folder of this run."""
        own = {"TMPDIR": self.scratch, "RAY_TMPDIR": self.scratch, "PYTHONPATH": str(ROOT)}
        own |= {"MLFLOW_TRACKING_URI": self.server.uri} if self.server else {}
        return {**os.environ, **own, MARK: self.mark}

    def inject(self, kills: deque[Kill], startup_seconds: float) -> None:
        """Take kills from the schedule until the suite is finished or none is left.

        `startup_seconds`: from the start of a command to its first trial.
        """
        scheduled = len(kills)
        while kills and time.monotonic() < self.outcome.deadline:
            command = self._running_command()
            if not self._wait_for_moment(command, kills[0], startup_seconds):
                self._kill(command, kills.popleft())
            if command.exit_status == 0:
                if len(kills) == scheduled:  # the training ended before the kill, and would do so every time
                    self.outcome.missed[str(kills.popleft())] += 1
                return

    def finish(self) -> None:
        """Run the command undisturbed until the suite is finished, in at most three starts."""
        if self.server:
            self._restart_server(now=True)
            self.server.wait()
        for _ in range(3):
            command = self._running_command()
            self._wait(command)
            if command.exit_status == 0:
                break
        else:
            self._add_finding("three undisturbed commands did not finish the suite")
        # All that is left in the folder for temporary files, except Ray's own logs.
        names = sorted(path.name for path in Path(self.scratch).iterdir())
        self.outcome.temporary_files.extend(name for name in names if name != "ray")
        if todo := make_plan(self.suite, self.workspace, self.root).todo:
            self._add_finding(f"trials left to do in a finished suite: {len(todo)}")

    def sync(self, server: MLflowServer) -> None:
        """Mirror the results to a server that has not seen the run, with `track sync`."""
        self.server = server
        places = ["--workspace", str(self.workspace.root), "--report-dir", str(self.report_dir)]
        arguments = ["track", "sync", str(self.suite.path), *places]
        command = Command(arguments, self.environment(), self.log, self._read_line)
        if not command.wait(SILENCE_SECONDS) or command.exit_status != 0:
            self._add_finding(f"track sync: exit status {command.exit_status}")

    def clear(self) -> None:
        """End every process of this run and remove its scratch folder."""
        self._end_processes()
        if self.server:
            self.server.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _end_processes(self) -> None:
        for process in marked_processes(self.mark).values():
            with suppress(Exception):
                process.kill()

    def _running_command(self) -> Command:
        """The command that runs, or a new start of it."""
        if self.command is None or self.command.exit_status is not None:
            self.running.clear()
            self.is_training = False
            self.outcome.starts += 1
            self.command = Command(self.arguments, self.environment(), self.log, self._read_line)
        return self.command

    def _read_line(self, line: str) -> None:
        """Follow the trials in the live view of the command."""
        if "Traceback (most recent call last)" in line:
            self._add_finding("a traceback")
        if not (match := EVENT.match(line)) or match["label"] not in self.labels:
            return
        trial_id = self.labels[match["label"]]
        if match["event"] == "started":
            self.outcome.attempts += 1
            self.running[trial_id] = time.time()
            self.is_training = True
            if self.first_trial is None and self.command:
                self.first_trial = time.monotonic() - self.command.start_time
        elif WILL_RETRY in line:
            self.outcome.retries += 1
            self._add_lost_work(trial_id)
        else:
            self.running.pop(trial_id, None)

    def _wait_for_moment(self, command: Command, kill: Kill, startup_seconds: float) -> bool:
        """Wait for the moment of a kill. Returns whether the command has ended meanwhile."""
        if kill.early:
            return self._wait(command, kill.moment * startup_seconds - (time.monotonic() - command.start_time))
        while not self.is_training:
            if self._wait(command, 5 * POLL_SECONDS):
                return True
        return self._wait(command, kill.moment * TRAINING_SECONDS)

    def _wait(self, command: Command, seconds: float = inf) -> bool:
        """Wait. Returns whether the command has ended meanwhile, after checking what it has left behind."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._restart_server()
            if command.wait(POLL_SECONDS) or time.monotonic() - command.last_output > SILENCE_SECONDS:
                self._check_end(command, 0)
                return True
        return False

    def _restart_server(self, now: bool = False) -> None:
        if self.server and self.server_restart is not None and (now or time.monotonic() >= self.server_restart):
            self.server.start()
            self.server_restart = None

    def _kill(self, command: Command, kill: Kill) -> None:
        """Carry out one kill and check its consequences."""
        seconds = time.monotonic() - command.start_time
        logger.info("%s, start %d, after %.0f s: %s", self.root.name, self.outcome.starts, seconds, kill)
        if kill.target == "mlflow":
            self._kill_server(kill)
        elif kill.target == "driver":
            self._kill_driver(command, kill)
        else:
            self._kill_in_ray(command, kill)

    def _kill_server(self, kill: Kill) -> None:
        if self.server and self.server.send_signal(kill.signals[0]):
            self.outcome.kills[str(kill)] += 1
            self.server_restart = time.monotonic() + kill.pause * RESTART_SECONDS
        else:
            self.outcome.missed[str(kill)] += 1

    def _kill_driver(self, command: Command, kill: Kill) -> None:
        self.kill_time = time.time()
        for index, number in enumerate(kill.signals):
            if index:
                time.sleep(kill.pause * IMPATIENCE_SECONDS)
            command.send_signal(number, whole_group=number == signal.SIGINT)
        self.outcome.kills[str(kill)] += 1
        self._check_interruption(command)

    def _kill_in_ray(self, command: Command, kill: Kill) -> None:
        """Kill one process of Ray. The run survives the loss of a worker; without any other the command ends."""
        deadline = time.monotonic() + TARGET_SECONDS
        while not (targets := with_role(kill.target, marked_processes(self.mark).values())):
            if time.monotonic() > deadline or self._wait(command, 5 * POLL_SECONDS):
                self.outcome.missed[str(kill)] += 1
                return
        target = targets[int(kill.choice * len(targets))]
        self.kill_time = time.time()
        with suppress(Exception):
            target.send_signal(kill.signals[0])
            self.outcome.kills[str(kill)] += 1
        if not wait_until_gone([target.pid], STOP_SECONDS):
            self._add_finding(f"{kill}: the process is alive {STOP_SECONDS:.0f} s later")
        if kill.target != "worker":
            self._check_interruption(command)

    def _check_interruption(self, command: Command) -> None:
        self._check_end(command, STOP_SECONDS)
        for trial_id in list(self.running):
            self._add_lost_work(trial_id)

    def _add_lost_work(self, trial_id: str) -> None:
        """Note the work of a trial that the last kill has undone: the time since its last checkpoint, or its start."""
        since = max([self.running.pop(trial_id, self.kill_time), *self._checkpoint_times(trial_id)])
        self.outcome.lost.append((trial_id, max(self.kill_time - since, 0.0)))

    def _checkpoint_times(self, trial_id: str) -> Iterator[float]:
        with suppress(OSError):
            for path in (self.workspace.checkpoints / trial_id).iterdir():
                if NUMBERED.fullmatch(path.name):
                    with suppress(OSError):
                        yield path.stat().st_mtime

    def _check_end(self, command: Command, seconds: float) -> None:
        """Wait for the end of the command, check its exit status and look for orphans, and end what is left."""
        if not command.wait(seconds):
            limit, missing = (seconds, "end") if seconds else (SILENCE_SECONDS, "output")
            self._add_finding(f"a hang: no {missing} for {limit:.0f} s")
        elif command.exit_status not in EXIT_STATUSES and (command.exit_status or 0) >= 0:
            self._add_finding(f"exit status {command.exit_status}")
        elif not wait_until_gone(orphans := marked_processes(self.mark), ORPHAN_SECONDS):
            alive = marked_processes(self.mark)
            names = sorted({command_line(process) for pid, process in alive.items() if pid in orphans})
            self._add_finding(f"orphans {ORPHAN_SECONDS:.0f} s after the end: {'; '.join(names)}")
        self._end_processes()
        command.wait(STOP_SECONDS)
        self.outcome.exit_statuses[str(command.exit_status)] += 1

    def _add_finding(self, text: str) -> None:
        self.outcome.findings.append(
            f"{self.root.name}, start {self.outcome.starts}, {time.strftime('%H:%M:%S')}: {text}"
        )
        logger.warning("finding: %s", text)
