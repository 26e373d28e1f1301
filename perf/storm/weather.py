"""One storm over one workspace: start the command, kill something, start it again, until the suite is finished."""

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
from benchmark.execution.live_view import trial_lines
from benchmark.planning.plan import make_plan
from benchmark.store.workspace import Workspace
from benchmark.training.checkpoint import NUMBERED
from perf.storm.kills import Kill, Runner
from perf.storm.processes import MARK, POLL_SECONDS, ROOT, Command, Server, gone, marked, named, of_role

HANG_SECONDS = 600.0  # without a word: a hang
STOP_SECONDS = 300.0  # for a driver that was asked to stop, or that was killed
CLEAR_SECONDS = 60.0  # for what a dead driver has started to be gone
TARGET_SECONDS = 120.0  # for something to be there that can be killed
IMPATIENCE_SECONDS = 3.0  # between the two signals of a user without patience
TRAINING_SECONDS = 20.0  # in which a kill comes after the first trial, or after the kill before
AWAY_SECONDS = 20.0  # for how long a tracking server is away, at the most
CODES = {0, 1, 130}  # finished; failed trials or Ray has gone; stopped
AGAIN = "failed, will be tried again from its checkpoint"
LINE = re.compile(r"\[ *[\d: sdh]+\] (?P<label>.*?): (?P<what>started|finished|diverged|failed)\b(?P<rest>.*)")


@dataclass
class Told:
    """What came of one or more storms: counts, lost work in seconds, and findings, of which there should be none."""

    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)  # nothing of the kind was there
    starts: int = 0
    deadline: float = inf  # of the monotonic clock; no kill comes after it
    ends: Counter[str] = field(default_factory=Counter)  # exit status -> how often
    attempts: int = 0  # trials that a worker has taken up
    tried_again: int = 0  # within one command
    lost: list[tuple[str, float]] = field(default_factory=list)  # trial, seconds of work that a kill undid
    left_in_tmp: list[str] = field(default_factory=list)  # files that a system clears by itself
    findings: list[str] = field(default_factory=list)


class Storm:
    """The command under test over one workspace, and all that it leaves behind."""

    def __init__(self, root: Path, suite: Suite, path: Path, runner: Runner, told: Told, server: Server | None) -> None:
        root.mkdir(parents=True)
        self.root, self.suite, self.told, self.server = root, suite, told, server
        self.workspace, self.report = Workspace.at(root / "workspace"), root / "report"
        self.log = root / "said.txt"
        self.arguments = ["run", str(path), "--runner", runner, "--report-dir", str(self.report)]
        self.arguments += ["--workspace", str(self.workspace.root)]
        self.mark = uuid4().hex
        self.scratch = tempfile.mkdtemp(prefix="st-")  # a short path: Ray's sockets have long names
        self.labels = {line.label: trial_id for trial_id, line in trial_lines(suite, suite.specs).items()}
        self.running: dict[str, float] = {}  # trial id -> since when, by the wall clock, as files have it
        self.training = False  # whether the command that runs has started a trial
        self.struck = 0.0  # when the last kill was, by the wall clock
        self.command: Command | None = None
        self.server_back: float | None = None
        self.first_trial: float | None = None  # seconds from the start of a command to its first trial

    def environment(self) -> dict[str, str]:
        """Of the command: its processes are known by the mark, and Ray's own files stay in a folder of the storm."""
        own = {"TMPDIR": self.scratch, "RAY_TMPDIR": self.scratch, "PYTHONPATH": str(ROOT)}
        own |= {"MLFLOW_TRACKING_URI": self.server.uri} if self.server else {}
        return {**os.environ, **own, MARK: self.mark}

    def rage(self, kills: deque[Kill], span: float) -> None:
        """Kill at the moments of the schedule until the suite is done or none is left.

        `span`: seconds from the start of a command to its first trial.
        """
        all_of_them = len(kills)
        while kills and time.monotonic() < self.told.deadline:
            command = self._running()
            if not self._moment_of(command, kills[0], span):
                self._strike(command, kills.popleft())
            if command.code == 0:
                if len(kills) == all_of_them:  # a whole training is over before its moment: so it would always be
                    self.told.missed[str(kills.popleft())] += 1
                return

    def calm_down(self) -> None:
        """The same command once more, undisturbed; again when it fails. Then nothing may be left to do."""
        if self.server:
            self._server_back(now=True)
            self.server.wait()
        for _ in range(3):
            command = self._running()
            self._wait(command)
            if command.code == 0:
                break
        else:
            self._finding("three calm runs did not finish the suite")
        self._scratch_left()
        if todo := make_plan(self.suite, self.workspace, self.root).todo:
            self._finding(f"trials left to do by a suite that is finished: {len(todo)}")

    def catch_up(self, server: Server) -> None:
        """Bring a server up to date that has seen nothing of the storm: `track sync`."""
        self.server = server
        places = ["--workspace", str(self.workspace.root), "--report-dir", str(self.report)]
        command = Command(["track", "sync", str(self.suite.path), *places], self.environment(), self.log, self._heard)
        if not command.ended(HANG_SECONDS) or command.code != 0:
            self._finding(f"track sync: exit status {command.code}")

    def end(self) -> None:
        """Leave no process behind, whatever went wrong."""
        for process in marked(self.mark).values():
            with suppress(Exception):
                process.kill()

    def clear(self) -> None:
        """Remove what is of nobody's interest."""
        self.end()
        if self.server:
            self.server.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _running(self) -> Command:
        """The command that runs, or a new start of it."""
        if self.command is None or self.command.code is not None:
            self.running.clear()
            self.training = False
            self.told.starts += 1
            self.command = Command(self.arguments, self.environment(), self.log, self._heard)
        return self.command

    def _heard(self, line: str) -> None:
        """A line of the command: which trials run, and which were tried again."""
        if "Traceback (most recent call last)" in line:
            self._finding("a traceback")
        if not (found := LINE.match(line)) or found["label"] not in self.labels:
            return
        trial_id = self.labels[found["label"]]
        if found["what"] == "started":
            self.told.attempts += 1
            self.running[trial_id] = time.time()
            self.training = True
            if self.first_trial is None and self.command:
                self.first_trial = time.monotonic() - self.command.began
        elif AGAIN in line:
            self.told.tried_again += 1
            self._lost(trial_id)
        else:
            self.running.pop(trial_id, None)

    def _moment_of(self, command: Command, kill: Kill, span: float) -> bool:
        """Wait for the moment of a kill. Whether the command has ended by itself meanwhile."""
        if kill.early:
            return self._wait(command, kill.moment * span - (time.monotonic() - command.began))
        while not self.training:
            if self._wait(command, 5 * POLL_SECONDS):
                return True
        return self._wait(command, kill.moment * TRAINING_SECONDS)

    def _wait(self, command: Command, seconds: float = inf) -> bool:
        """Let time pass. Whether the command has ended by itself meanwhile; then its remains are looked at."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._server_back()
            if command.ended(POLL_SECONDS):
                self._ended(command, 0)
                return True
            if time.monotonic() - command.spoke > HANG_SECONDS:
                return self._ended(command, 0)
        return False

    def _server_back(self, now: bool = False) -> None:
        if self.server and self.server_back is not None and (now or time.monotonic() >= self.server_back):
            self.server.start()
            self.server_back = None

    def _strike(self, command: Command, kill: Kill) -> None:
        """One kill, and what must come of it."""
        say(f"{self.root.name}, start {self.told.starts}, {time.monotonic() - command.began:.0f} s into it: {kill}")
        if kill.target == "mlflow":
            self._strike_server(kill)
        elif kill.target == "driver":
            self._strike_driver(command, kill)
        else:
            self._strike_ray(command, kill)

    def _strike_server(self, kill: Kill) -> None:
        if self.server and self.server.strike(kill.signals[0]):
            self.told.kills[str(kill)] += 1
            self.server_back = time.monotonic() + kill.later * AWAY_SECONDS
        else:
            self.told.missed[str(kill)] += 1

    def _strike_driver(self, command: Command, kill: Kill) -> None:
        self.struck = time.time()
        for index, number in enumerate(kill.signals):
            if index:
                time.sleep(kill.later * IMPATIENCE_SECONDS)
            command.signal(number, whole_group=number == signal.SIGINT)
        self.told.kills[str(kill)] += 1
        self._ended(command, STOP_SECONDS)
        for trial_id in list(self.running):
            self._lost(trial_id)

    def _strike_ray(self, command: Command, kill: Kill) -> None:
        """A worker is replaced; without the rest of Ray the command ends."""
        deadline = time.monotonic() + TARGET_SECONDS
        while not (targets := of_role(kill.target, marked(self.mark).values())):
            if time.monotonic() > deadline or self._wait(command, 5 * POLL_SECONDS):
                self.told.missed[str(kill)] += 1
                return
        target = targets[int(kill.choice * len(targets))]
        self.struck = time.time()
        with suppress(Exception):
            target.send_signal(kill.signals[0])
            self.told.kills[str(kill)] += 1
        if not gone([target.pid], STOP_SECONDS):
            self._finding(f"{kill}: it lives {STOP_SECONDS:.0f} s later")
        if kill.target != "worker":
            self._ended(command, STOP_SECONDS)
            for trial_id in list(self.running):
                self._lost(trial_id)

    def _lost(self, trial_id: str) -> None:
        """Note how much work of a trial the last kill has undone: the time since its last checkpoint, or its start."""
        since = max([self.running.pop(trial_id, self.struck), *self._saved(trial_id)])
        self.told.lost.append((trial_id, max(self.struck - since, 0.0)))

    def _saved(self, trial_id: str) -> Iterator[float]:
        with suppress(OSError):
            for path in (self.workspace.checkpoints / trial_id).iterdir():
                if NUMBERED.fullmatch(path.name):
                    with suppress(OSError):
                        yield path.stat().st_mtime

    def _ended(self, command: Command, seconds: float) -> bool:
        """Wait for the end of the command and of all that it has started. What does not end is a finding, and ended."""
        if not command.ended(seconds):
            limit, what = (seconds, "end") if seconds else (HANG_SECONDS, "word")
            self._finding(f"a hang: no {what} for {limit:.0f} s")
        elif command.code not in CODES and (command.code or 0) >= 0:
            self._finding(f"exit status {command.code}")
        else:
            self._look_for_orphans()
        self.end()
        command.ended(STOP_SECONDS)
        self.told.ends[str(command.code)] += 1
        return True

    def _look_for_orphans(self) -> None:
        left = marked(self.mark)
        if not gone(left, CLEAR_SECONDS):
            names = sorted({named(one) for pid, one in marked(self.mark).items() if pid in left})
            self._finding(f"orphans {CLEAR_SECONDS:.0f} s after the end: {'; '.join(names)}")

    def _scratch_left(self) -> None:
        """What is left in the folder for temporary files, but for Ray's own logs."""
        left = sorted(path.name for path in Path(self.scratch).iterdir() if path.name != "ray")
        self.told.left_in_tmp.extend(left)

    def _finding(self, what: str) -> None:
        self.told.findings.append(f"{self.root.name}, start {self.told.starts}, {time.strftime('%H:%M:%S')}: {what}")
        say(f"finding: {what}")


def say(text: str) -> None:
    """For people: how it is going."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
