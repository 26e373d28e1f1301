"""A process that outlives the driver by a moment: some of Ray's own go on for minutes after their driver was killed.

Started with the process ids and start times to end, as `pid:seconds`, and with a pipe from the driver as its standard
input: when that closes, for whatever reason, they are ended. It imports nothing heavy.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_SECONDS = 2.0  # in which processes may end by themselves


def start_time(pid: int) -> str | None:
    """When a process was started, in clock ticks since boot; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def watch(pids: list[int]) -> "subprocess.Popen[bytes]":
    """Have these processes ended when this one has ended. Closing the pipe of the returned process does it too."""
    told = [f"{pid}:{start_time(pid)}" for pid in pids]
    command = [sys.executable, "-I", "-S", __file__, *told]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def main(told: list[str]) -> None:
    """Wait for the end of the driver, then end what is left of these processes."""
    os.set_blocking(0, True)
    while os.read(0, 1):
        pass
    left = [(int(pid), started) for pid, _, started in (one.partition(":") for one in told)]
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(start_time(pid) == started for pid, started in left):
        time.sleep(0.1)
    for pid, started in left:
        if start_time(pid) == started:  # never another process of the same id
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
