"""The watchdog ends its targets and removes its folder, and nothing else, when the driver has ended."""

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


def test_targets_end_and_the_folder_goes_when_the_pipe_closes(tmp_path):
    session, kept = tmp_path / "session_1", tmp_path / "session_2"
    for folder in (session / "logs", kept):
        folder.mkdir(parents=True)
    target, other = subprocess.Popen(SLEEPER), subprocess.Popen(SLEEPER)
    try:
        watchdog = watch(session, [target.pid])
        assert target.poll() is None
        watchdog.stdin.close()  # as the kernel does with every file of a process that was killed
        assert ended(target)
        assert ended(watchdog)
        assert other.poll() is None
        assert not session.exists()
        assert kept.exists()
    finally:
        target.kill()
        other.kill()


def test_another_process_with_the_same_id_is_left_alone(monkeypatch):
    process = subprocess.Popen(SLEEPER)
    try:
        monkeypatch.setattr("benchmark.execution.ray.watchdog.start_time", lambda _: "1")
        watchdog = watch(None, [process.pid])
        watchdog.stdin.close()
        assert ended(watchdog)
        assert process.poll() is None
        assert start_time(process.pid)
    finally:
        process.kill()
    assert start_time(2**22 + 1) is None
