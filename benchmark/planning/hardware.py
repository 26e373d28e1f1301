"""The hardware that a suite's trials will run on."""

from dataclasses import dataclass
from typing import Any

from benchmark.config.schema import Resources
from benchmark.core import environment


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The device, the number of trials in parallel (`slots`), and the memory of the machine, or its GPUs, in MiB.

    `fingerprint` is what timings depend on besides the cost key, with the keys of a record's environment.
    """

    device: str
    slots: int
    memory_mib: float
    fingerprint: dict[str, Any]

    @classmethod
    def detect(cls, resources: Resources) -> "Hardware":
        """The hardware here. As in a run, GPUs count only if the suite gives its trials a share of one."""
        import torch

        gpus = torch.cuda.device_count() if resources.gpus and torch.cuda.is_available() else 0
        device, cores = "cuda" if gpus else "cpu", environment.available_cores()
        slots = cores // resources.cpus
        if gpus:
            slots = min(slots, int(gpus / resources.gpus))
        memory = (
            sum(torch.cuda.get_device_properties(i).total_memory for i in range(gpus))
            if gpus
            else environment.available_memory()
        )
        fingerprint = {
            "cpu": environment.cpu_name(),
            "cores": cores,
            "threads": resources.cpus,
            "device": device,
            "gpu": environment.gpu_name() if gpus else "",
            "torch": environment.package_version("torch"),
        }
        return cls(device=device, slots=max(slots, 1), memory_mib=memory / 2**20, fingerprint=fingerprint)

    def as_json(self) -> dict[str, Any]:
        """The `machine` of `plan --json`."""
        known = {"device": self.device, "slots": self.slots, "memory_mib": self.memory_mib}
        return known | {"hardware": self.fingerprint}


def hardware_fingerprint(described: dict[str, Any]) -> dict[str, Any]:
    """The part of a record's environment that its timings depend on."""
    fingerprint = {key: described.get(key) for key in ("cpu", "cores", "threads", "device", "gpu")}
    return fingerprint | {"torch": described.get("packages", {}).get("torch")}
