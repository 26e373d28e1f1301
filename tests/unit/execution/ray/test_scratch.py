"""The next run removes Tune's files of a killed driver, but not those of a living one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmark.execution.ray.scratch import run_directory, sweep

DRIVER = """
import sys, time
from pathlib import Path
from benchmark.execution.ray.scratch import run_directory
with run_directory(Path(sys.argv[1])) as name:
    (Path(sys.argv[1]) / name / "trial").mkdir(parents=True)
    print(name, flush=True)
    time.sleep(60)
"""


def test_only_folders_of_dead_drivers_are_removed(tmp_path):
    root = tmp_path / "ray"
    sweep(root)
    command = [sys.executable, "-c", DRIVER, str(root)]
    driver = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    try:
        name = driver.stdout.readline().strip()
        sweep(root)
        assert (root / name / "trial").is_dir()
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    sweep(root)
    assert not list(root.iterdir())


def test_a_folder_is_removed_at_the_end_of_its_run(tmp_path):
    with run_directory(tmp_path) as name, run_directory(tmp_path) as other:
        assert name != other
        (tmp_path / name).mkdir()
        sweep(tmp_path)
        assert (tmp_path / name).is_dir()
    assert not list(tmp_path.iterdir())
