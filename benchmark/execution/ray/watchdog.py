"""A process that outlives the driver and ends Ray processes that would otherwise live for minutes after a `kill -9`.

Its arguments are process ids and start times, as `pid:ticks`. Its standard input is a pipe from the driver: when the
pipe closes, for whatever reason, it ends these processes and itself. It imports only the standard library.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_SECONDS = 2.0  # for processes to end on their own


def start_time(pid: int) -> str | None:
    """When a process was started, in clock ticks since boot; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def watch(pids: list[int]) -> "subprocess.Popen[bytes]":
    """Start a watchdog that ends these processes once this process has ended, or closes the watchdog's stdin."""
    targets = [f"{pid}:{start_time(pid)}" for pid in pids]
    command = [sys.executable, "-I", "-S", __file__, *targets]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def main(arguments: list[str]) -> None:
    """Wait until the driver has ended, then end the processes that are left."""
    os.set_blocking(0, True)
    while os.read(0, 1):
        pass
    targets = [(int(pid), started) for pid, _, started in (argument.partition(":") for argument in arguments)]
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(start_time(pid) == started for pid, started in targets):
        time.sleep(0.1)
    for pid, started in targets:
        if start_time(pid) == started:  # not another process that got the same id
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
