"""The processes of a chaos test: the command under test, its descendants, and an MLflow tracking server."""

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

from benchmark.execution.ray.board import MessageBoard
from benchmark.execution.ray.worker import TrialWorker

ROOT = Path(__file__).resolve().parents[2]
MARK = "SSGAN_CHAOS"  # environment variable of every process that a chaos run starts; children inherit it
SERVER_SECONDS = 300.0  # until a tracking server answers
POLL_SECONDS = 0.1
MLFLOW_SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

# Patterns of command lines. Ray names the process of an actor after its class; Tune may wrap the class of a worker.
ROLES = {
    "worker": re.compile(rf"ray::\w*(Trainable|{TrialWorker.__name__})"),
    "board": re.compile(rf"ray::{MessageBoard.__name__}"),
    "raylet": re.compile(r"(^|/)raylet( |$)"),
    "gcs": re.compile(r"(^|/)gcs_server( |$)"),
}


def marked_processes(mark: str) -> dict[int, psutil.Process]:
    """All living processes with this mark, by process id."""
    processes = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                processes[process.pid] = process
    return processes


def command_line(process: psutil.Process) -> str:
    """The first 200 characters of the command line, or the name of a process that has just ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:200] or str(process.name())
    return "?"


def with_role(role: str, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes with a role of `ROLES`, by process id."""
    matching = (process for process in processes if ROLES[role].search(command_line(process)))
    return sorted(matching, key=lambda process: int(process.pid))


def wait_until_gone(pids: Iterable[int], seconds: float) -> bool:
    """Wait for the end of processes. Returns whether all ended in time."""
    deadline = time.monotonic() + seconds
    alive = set(pids)
    while True:
        alive = {pid for pid in alive if _is_alive(pid)}
        if not alive or time.monotonic() > deadline:
            return not alive
        time.sleep(POLL_SECONDS)


def _is_alive(pid: int) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


class Command:
    """One start of the command under test, in a session of its own. `on_line` is called with each line of output."""

    def __init__(
        self, arguments: list[str], environment: dict[str, str], log: Path, on_line: Callable[[str], None]
    ) -> None:
        self.start_time = self.last_output = time.monotonic()
        self.log, self.on_line = log, on_line
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
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    def send_signal(self, number: signal.Signals, whole_group: bool = False) -> None:
        """Send a signal to the driver, or to its whole group, as a terminal does on Ctrl-C."""
        with suppress(ProcessLookupError):
            if whole_group:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the command. Returns whether it came in time."""
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
                self.last_output = time.monotonic()
                self.on_line(line)


class MLflowServer:
    """An MLflow tracking server on this machine that keeps its port through restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        self.environment = {**os.environ, **MLFLOW_SETTINGS}
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server without waiting until it answers."""
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

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as response:
            return bool(response.status == 200)
        return False

    def wait(self) -> None:
        """Wait until the server answers. Raises TimeoutError."""
        deadline = time.monotonic() + SERVER_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the tracking server does not answer, see {self.folder / 'server.log'}")
            time.sleep(0.5)

    def send_signal(self, number: signal.Signals) -> bool:
        """Send a signal to the server and its children. Returns whether the server was running."""
        if self.process is None or self.process.poll() is not None:
            return False
        os.killpg(self.process.pid, number)
        return True

    def stop(self) -> None:
        """End the server with SIGTERM, then with SIGKILL."""
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
