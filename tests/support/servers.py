"""A real MLflow server in its own process, and a proxy in front of it that can simulate failures."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

START_SECONDS = 300.0


def free_port() -> int:
    """A free port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`mlflow ui ...` in its own process group, which can be killed and restarted."""

    def __init__(self, command: str, folder: Path) -> None:
        """`command`: as `run` prints it; `folder`: the working folder of the server."""
        self.command, self.folder, self.port = command, folder, free_port()
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *shlex.split(self.command), "--port", str(self.port)],
                cwd=self.folder,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            with suppress(URLError, OSError):
                urlopen(f"{self.address}/health", timeout=5).close()
                return
            time.sleep(0.2)
        raise AssertionError(self.log.read_text())

    def listening(self) -> set[str]:
        """The addresses on which its processes listen."""
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        connections = (c for process in (root, *root.children(recursive=True)) for c in process.net_connections("inet"))
        return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Proxy:
    """Forwards requests to a server, depending on `mode`:

    `pass`; `slow` (every request waits half a second); `500`, `429`, `403` (returns that status); `lost` (forwards the
    request and drops the answer); `cut` (closes in mid-answer); `silent` (accepts requests and never answers).
    """

    def __init__(self, port: int) -> None:
        self.to, self.mode, self.requests = port, "pass", 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):
            connection.settimeout(60)
            request = _message(connection)
            self.requests += 1
            if self.mode == "silent":
                time.sleep(30)
                return
            if self.mode.isdigit():
                connection.sendall(
                    f"HTTP/1.1 {self.mode} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".encode()
                )
                return
            if self.mode == "cut":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
                return
            if self.mode == "slow":
                time.sleep(0.5)
            with socket.create_connection(("127.0.0.1", self.to), timeout=60) as server:
                server.sendall(request)
                answer = b"".join(iter(lambda: server.recv(1 << 16), b""))
            if self.mode != "lost":
                connection.sendall(answer)


def _message(connection: socket.socket) -> bytes:
    """One complete request, with `Connection: close`."""
    content = b""
    while b"\r\n\r\n" not in content:
        part = connection.recv(1 << 16)
        if not part:
            raise ValueError("closed")
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    if any(line.lower().startswith(b"expect:") for line in lines):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if b": " in line)
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(1 << 16)
    while len(body) < int(fields.get(b"content-length", b"0")):
        body += connection.recv(1 << 16)
    kept = [line for line in lines if not line.lower().startswith((b"connection:", b"expect:"))]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""]) + body
