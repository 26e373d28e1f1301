"""What short timings said of this machine: `calibration.json` in the workspace.

Timings are kept by machine and by kind. A timing of other hardware, or of another version of torch, is none of here.
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


class Timing(FrozenModel):
    """One kind, timed alone on the machine. `error`: why it could not be, else empty.

    `seconds` is of one step of training, or of one look at an image; `sample_seconds` of one generated image.
    `peak_memory_mib` is of the whole process on a CPU, allocated on a GPU.
    """

    kind: dict[str, Any]
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    sample_seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    peak_memory_mib: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    error: Annotated[str, AfterValidator(printable)] = ""


class _Machine(FrozenModel):
    hardware: dict[str, Any]
    timings: dict[str, Timing]


class _File(FrozenModel):
    version: int
    machines: dict[str, _Machine]


@dataclass
class Calibration:
    """The timings of one machine; all others in the file are kept as they are."""

    path: Path
    hardware: dict[str, Any]
    timings: dict[str, Timing] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, hardware: dict[str, Any]) -> "Calibration":
        """What the file holds of this machine. A damaged file is taken for an empty one."""
        found = _read(path).machines.get(content_hash(hardware))
        return cls(path, hardware, dict(found.timings) if found else {})

    def get(self, kind: CostKey) -> Timing | None:
        """The timing of a kind, which may tell why there is none; None when it was never tried."""
        return self.timings.get(kind.key)

    def save(self, kind: CostKey, timing: Timing) -> None:
        """Remember a timing, in the file too."""
        self.timings[kind.key] = timing
        machines = _read(self.path).machines | {
            content_hash(self.hardware): _Machine(hardware=self.hardware, timings=self.timings)
        }
        whole = _File(version=VERSION, machines=machines)
        write_atomically(self.path, (json.dumps(whole.model_dump(mode="json"), indent=1) + "\n").encode())

    def untimed(self, kinds: Iterable[K]) -> list[K]:
        """Those that have no timing, or failed to get one."""
        return [kind for kind in kinds if (timing := self.get(kind)) is None or timing.error]


def _read(path: Path) -> _File:
    with suppress(OSError, ValidationError):
        file = _File.model_validate_json(path.read_bytes())
        if file.version == VERSION:
            return file
    return _File(version=VERSION, machines={})
