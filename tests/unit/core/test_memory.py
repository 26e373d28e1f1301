"""Freed memory is kept inside the block, and returned to the system at its end."""

import json
import platform
import subprocess
import sys

import pytest

from benchmark.core import memory

BLOCK = 48 << 20  # bytes: by default, glibc does not take blocks of this size from its heap
SCRIPT = f"""
import ctypes, json, resource
from pathlib import Path
from benchmark.core import memory

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = library.free.argtypes = [ctypes.c_void_p]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def touch(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = library.malloc({BLOCK})
        library.memset(block, 1, {BLOCK})
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

found = {{"before": touch(4)}}
with memory.keep_freed_memory():
    touch(1)
    found |= {{"within": touch(4), "held": resident()}}
found["left"] = resident()
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_block_that_is_allocated_repeatedly_is_zeroed_once():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["within"] < found["before"] / 10
    assert found["held"] - found["left"] > BLOCK / 2, "returned at the end"


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("the C library was called"))
    with memory.keep_freed_memory():
        pass
