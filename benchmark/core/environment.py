"""The machine, the package versions and the source code that produce a number."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import baselines
import benchmark
from benchmark.core.container import cpu_quota, memory_limit
from benchmark.core.errors import UserError

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "ray", "mlflow", "ssgan-benchmark")


def describe(device: str, threads: int) -> dict[str, Any]:
    """Everything outside a trial's spec that may influence its numbers. It becomes part of the record."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": available_cores(),
        "threads": threads,
        "device": device,
        "gpu": gpu_name() if device != "cpu" else "",
        "packages": {name: package_version(name) for name in PACKAGES},
        "source": source_revision(),
    }


@cache
def package_version(name: str) -> str:
    """The installed version of a package, or `missing`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


@cache
def cpu_name() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def available_cores() -> int:
    """The number of whole cores that this process may use: its CPU affinity, and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def available_memory() -> int:
    """Bytes of the machine's main memory, or of the container that limits this process."""
    import psutil

    total, limit = int(psutil.virtual_memory().total), memory_limit()
    return total if limit is None else min(total, limit)


def gpu_name() -> str:
    """The name of the first GPU, or an empty string."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


@cache
def source_revision() -> str:
    """The git commit of the project, with `+changes` if the tree differs from it; `unknown` outside git."""
    root = Path(__file__).resolve().parents[2]
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--", "benchmark", "baselines") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(root: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


@cache
def revision() -> str:
    """The version, and the start of a SHA-256 over all source files: equal on two machines with the same code."""
    digest = hashlib.sha256()
    for package in (benchmark, baselines):
        root = Path(package.__file__ or "").parent
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return f"{benchmark.__version__}-{digest.hexdigest()[:12]}"


def check_revision(wanted: str | None) -> None:
    """Raise UserError if this machine runs other code than `wanted`, the driver's revision; None is not checked."""
    if wanted and revision() != wanted:
        raise UserError(
            f"this machine has version {revision()} of the benchmark, the driver {wanted}; install the same"
        )
