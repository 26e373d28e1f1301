"""A process that outlives the driver and cleans up after Ray, also after a `kill -9` of the driver.

Some of Ray's processes would live on for minutes, and its session folder for ever. The arguments are that folder, and
process ids with their start times, as `pid:ticks`. Standard input is a pipe from the driver: when the pipe closes, for
whatever reason, the watchdog ends these processes, removes the folder and ends. It imports the standard library only.
"""

import os
import shutil
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


def watch(folder: Path | None, pids: list[int]) -> "subprocess.Popen[bytes]":
    """Start a watchdog that cleans up once this process has ended, or closes the watchdog's stdin."""
    targets = [f"{pid}:{start_time(pid)}" for pid in pids]
    command = [sys.executable, "-I", "-S", __file__, str(folder or ""), *targets]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def main(arguments: list[str]) -> None:
    """Wait until the driver has ended, then end the processes that are left and remove the folder."""
    folder, *processes = arguments
    os.set_blocking(0, True)
    while os.read(0, 1):
        pass
    targets = [(int(pid), started) for pid, _, started in (process.partition(":") for process in processes)]
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(start_time(pid) == started for pid, started in targets):
        time.sleep(0.1)
    for pid, started in targets:
        if start_time(pid) == started:  # not another process that got the same id
            os.kill(pid, signal.SIGKILL)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
