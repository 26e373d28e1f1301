"""Threads, memory and failures of the process that trains a trial."""

import resource
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from benchmark.core import memory


@contextmanager
def thread_settings(cpus: int) -> Any:
    """As many threads as the trial was given CPUs; no time lost on denormal numbers or memory that comes and goes."""
    before = torch.get_num_threads()
    torch.set_num_threads(cpus)
    torch.set_flush_denormal(True)
    try:
        with memory.keep_freed_memory():
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)  # a setting of the whole processor state: leave it as others expect it


def forget_peak_memory(device: torch.device) -> None:
    """Start counting anew: a process may train one trial after the other."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float:
    """MiB allocated on the GPU, or resident, at the most since the trial began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def synchronize(device: torch.device) -> None:
    """Until the device has done all that it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def failure_message(problem: Exception, device: torch.device, step: int) -> str:
    """One line for the report: what to do where that is known, else the innermost frames for whoever mends it."""
    text = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, torch.OutOfMemoryError):
        return (
            f"out of memory on the {device.type.upper()} at step {step}: give each trial a larger share of it"
            f" (resources.gpus in the suite), or close what else uses it; then run again ({truncate(text)})"
        )
    if isinstance(problem, MemoryError) or "can't allocate memory" in text:
        return (
            f"out of memory at step {step}: train fewer trials side by side (a larger resources.cpus in the suite), or"
            f" close what else uses the memory; then run again ({truncate(text)})"
        )
    frames = traceback.extract_tb(problem.__traceback__)[-3:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{text} (at {where})"


def truncate(text: str, length: int = 160) -> str:
    """In one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
