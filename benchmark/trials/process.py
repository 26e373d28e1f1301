"""Threads, memory and failures of the process that trains a trial."""

import resource
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from benchmark.core import memory


@contextmanager
def thread_settings(cpus: int) -> Iterator[None]:
    """As many threads as the trial has CPUs; denormal numbers are flushed to zero, and freed memory is kept.

    Flushing is a setting of the whole process, so it ends with the context.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(cpus)
    torch.set_flush_denormal(True)
    try:
        with memory.keep_freed_memory():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def forget_peak_memory(device: torch.device) -> None:
    """Reset the peak memory: a process may train several trials, one after the other."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float:
    """Most MiB since `forget_peak_memory`: allocated on a GPU, or resident in the memory of the host."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def failure_message(problem: Exception, device: torch.device, step: int) -> str:
    """One line for the report: the remedy if it is known, else the innermost frames of the traceback."""
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
    """The text in one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
