"""The hardware at hand, as a suite's trials will use it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.config.schema import Resources
from benchmark.core import environment

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Hardware:
    """`slots`: how many trials run side by side. `memory_mib` is what they share: the machine's, or that of all GPUs.

    `hardware` is what timings depend on besides their kind, in the words of a record's environment.
    """

    device: str
    slots: int
    memory_mib: float
    hardware: dict[str, Any]

    @classmethod
    def detect(cls, resources: Resources) -> "Hardware":
        """A GPU counts only when the suite gives its trials a share of one, as it does in a run."""
        import torch

        gpus = torch.cuda.device_count() if resources.gpus and torch.cuda.is_available() else 0
        device, cores = "cuda" if gpus else "cpu", environment.available_cores()
        slots = cores // resources.cpus
        if gpus:
            slots = min(slots, int(gpus / resources.gpus))
        memory = sum(torch.cuda.get_device_properties(i).total_memory for i in range(gpus)) if gpus else _memory()
        described = {
            "cpu": environment.cpu_name(),
            "cores": cores,
            "threads": resources.cpus,
            "device": device,
            "gpu": environment.gpu_name() if gpus else "",
            "packages": {"torch": environment.package_version("torch")},
        }
        return cls(device, max(slots, 1), memory / 2**20, hardware_of(described))


def hardware_of(described: dict[str, Any]) -> dict[str, Any]:
    """Of the environment that a record tells, what its timings depend on."""
    found = {key: described.get(key) for key in ("cpu", "cores", "threads", "device", "gpu")}
    return found | {"torch": described.get("packages", {}).get("torch")}


def _memory() -> int:
    """Bytes of the machine, or of the container that this process is confined to."""
    import psutil

    total: int = psutil.virtual_memory().total
    try:
        limit = CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
