"""Short timings on this machine: `calibration.json` in the workspace.

Timings are stored per machine and cost key. Those of other hardware or another torch version are ignored.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from benchmark.core.errors import printable
from benchmark.core.files import write_atomically
from benchmark.core.spec import FrozenModel, content_hash
from benchmark.planning.cost_keys import CostKey

K = TypeVar("K", bound=CostKey)

VERSION = 1  # raised when the meaning of a timing changes
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Timing(FrozenModel):
    """The cost of one key (`kind`), timed alone on the machine. `error`: why timing it failed, else empty.

    `seconds` is per training step, or per image of a feature pass; `sample_seconds` per generated image.
    `peak_memory_mib` is the whole process's on a CPU, and what was allocated on a GPU.
    """

    kind: dict[str, Any]
    seconds: Amount = 0.0
    sample_seconds: Amount = 0.0
    peak_memory_mib: Amount = 0.0
    error: Annotated[str, AfterValidator(printable)] = ""


class _Machine(FrozenModel):
    hardware: dict[str, Any]
    timings: dict[str, Timing]


class _File(FrozenModel):
    version: int
    machines: dict[str, _Machine]


@dataclass
class Calibration:
    """The timings of one machine in a calibration file; those of other machines are left unchanged."""

    path: Path
    hardware: dict[str, Any]
    timings: dict[str, Timing] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, hardware: dict[str, Any]) -> "Calibration":
        """The timings of the machine with this hardware fingerprint. A damaged file counts as empty."""
        machine = _read(path).machines.get(content_hash(hardware))
        return cls(path, hardware, dict(machine.timings) if machine else {})

    def get(self, key: CostKey) -> Timing | None:
        """The timing of a key, which may have failed; None if it was never tried."""
        return self.timings.get(key.key)

    def save(self, key: CostKey, timing: Timing) -> None:
        """Remember a timing, here and in the file."""
        self.timings[key.key] = timing
        machine = _Machine(hardware=self.hardware, timings=self.timings)
        file = _File(version=VERSION, machines=_read(self.path).machines | {content_hash(self.hardware): machine})
        write_atomically(self.path, (json.dumps(file.model_dump(mode="json"), indent=1) + "\n").encode())

    def untimed(self, keys: Iterable[K]) -> list[K]:
        """The keys without a timing, or with one that failed."""
        return [key for key in keys if (timing := self.get(key)) is None or timing.error]


def _read(path: Path) -> _File:
    with suppress(OSError, ValidationError):
        file = _File.model_validate_json(path.read_bytes())
        if file.version == VERSION:
            return file
    return _File(version=VERSION, machines={})
