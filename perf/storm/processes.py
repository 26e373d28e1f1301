"""The processes of a storm: the command under test, what it has started, and a tracking server."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
MARK = "SSGAN_STORM"  # in the environment of every process that a storm has started, whoever its parent is by now
SERVER_SECONDS = 300.0  # for a tracking server to answer
POLL_SECONDS = 0.1
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # nothing but tracking

# What a process of ours is, by the names that Ray gives to processes.
ROLES = {
    "worker": re.compile(r"ray::\w*(Trainable|Slot)"),
    "board": re.compile(r"ray::Board"),
    "raylet": re.compile(r"(^|/)raylet( |$)"),
    "gcs": re.compile(r"(^|/)gcs_server( |$)"),
}


def marked(mark: str) -> dict[int, psutil.Process]:
    """All living processes with this mark."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process
    return found


def named(process: psutil.Process) -> str:
    """The command line in short, or the name of a process that has just ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:200] or str(process.name())
    return "?"


def of_role(role: str, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that are a worker, the board, the raylet or the global control store; ordered by process id."""
    return sorted((one for one in processes if ROLES[role].search(named(one))), key=lambda one: int(one.pid))


def gone(pids: Iterable[int], seconds: float) -> bool:
    """Wait for the end of processes. Whether they have all ended in time."""
    deadline = time.monotonic() + seconds
    left = set(pids)
    while True:
        left = {pid for pid in left if _lives(pid)}
        if not left or time.monotonic() > deadline:
            return not left
        time.sleep(POLL_SECONDS)


def _lives(pid: int) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


class Command:
    """One start of the command under test, in a session of its own. `heard` is told each line that it prints."""

    def __init__(
        self, arguments: list[str], environment: dict[str, str], log: Path, heard: Callable[[str], None]
    ) -> None:
        self.began = self.spoke = time.monotonic()
        self.log, self.heard = log, heard
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @property
    def code(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    def signal(self, number: signal.Signals, whole_group: bool = False) -> None:
        """Send a signal to the driver, or to its whole group, as a terminal does on Ctrl-C."""
        with suppress(ProcessLookupError):
            if whole_group:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)

    def ended(self, seconds: float) -> bool:
        """Wait for its end. Whether it came in time."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            self.reader.join(5)  # an orphan may hold the other end of the pipe
            return True
        return False

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("a") as log:
            log.write(f"--- {time.strftime('%H:%M:%S')} started, pid {self.process.pid}\n")
            for line in self.process.stdout:
                log.write(f"{time.strftime('%H:%M:%S')} {line}")
                log.flush()
                self.spoke = time.monotonic()
                self.heard(line)


class Server:
    """An MLflow tracking server of this machine only, on one port through all of its restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        self.environment = {**os.environ, **QUIET}
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    @property
    def uri(self) -> str:
        """For MLFLOW_TRACKING_URI."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and do not wait for it."""
        store, artifacts = f"sqlite:///{self.folder / 'mlflow.db'}", str(self.folder / "artifacts")
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        options += ["--backend-store-uri", store, "--artifacts-destination", artifacts]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Whether it is there."""
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def wait(self) -> None:
        """Until it answers. Raises TimeoutError."""
        deadline = time.monotonic() + SERVER_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the tracking server does not answer, see {self.folder / 'server.log'}")
            time.sleep(0.5)

    def strike(self, number: signal.Signals) -> bool:
        """Send a signal to the server and all of its own processes. Whether it was there."""
        if self.process is None or self.process.poll() is not None:
            return False
        os.killpg(self.process.pid, number)
        return True

    def stop(self) -> None:
        """End it for good: what a SIGTERM does not end, a SIGKILL does."""
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
