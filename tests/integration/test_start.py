"""How a command ends: at once, and with nothing left undone."""

import subprocess
import sys

import pytest

BEFORE = "import atexit, os, sys, threading, time; sys.argv = ['benchmark', *sys.argv[1:]]"
START = "from benchmark.__main__ import start; start()"


def done(before, *arguments):
    script = f"{BEFORE}\n{before}\n{START}"
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("arguments", "status"), [(["--version"], 0), (["plan", "no such file.yaml"], 2)])
def test_what_is_registered_for_the_end_is_done_and_the_status_told(arguments, status):
    found = done("atexit.register(print, 'the end')", *arguments)
    assert found.returncode == status
    assert found.stdout.endswith("the end\n")


def test_a_thread_at_work_is_waited_for():
    found = done("threading.Timer(4.0, print, ['the end of a thread']).start()", "--version")
    assert found.stdout.endswith("the end of a thread\n")


def test_python_is_not_taken_apart_unless_somebody_may_have_something_to_end():
    noted = "class Noted:\n    def __del__(self): os.write(1, b'taken apart')\nnoted = Noted()"
    assert "taken apart" not in done(noted, "--version").stdout
    assert "taken apart" in done(f"{noted}\nsys.modules['ray'] = sys", "--version").stdout
