"""The watchdog ends what it was told to end, when its driver has gone, and nothing else."""

import subprocess
import sys
import time

from benchmark.execution.ray.watchdog import start_time, watch

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def ended(process: subprocess.Popen, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return process.poll() is not None


def test_it_ends_them_when_the_pipe_closes(monkeypatch):
    told, other = subprocess.Popen(SLEEPER), subprocess.Popen(SLEEPER)
    try:
        dog = watch([told.pid])
        assert told.poll() is None
        dog.stdin.close()  # as the kernel does with every file of a process that was killed
        assert ended(told)
        assert ended(dog)
        assert other.poll() is None
    finally:
        told.kill()
        other.kill()


def test_a_process_that_only_has_the_same_id_is_left_alone(monkeypatch):
    process = subprocess.Popen(SLEEPER)
    try:
        monkeypatch.setattr("benchmark.execution.ray.watchdog.start_time", lambda _: "1")
        dog = watch([process.pid])
        dog.stdin.close()
        assert ended(dog)
        assert process.poll() is None
        assert start_time(process.pid)
    finally:
        process.kill()
    assert start_time(2**22 + 1) is None
