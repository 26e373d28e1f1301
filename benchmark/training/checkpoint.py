"""State to disk and back, to the bit. What a file holds is checked before it is read, and never executed."""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.core.files import remove_partial_writes, write_atomically

MAGIC = b"ssgan-benchmark checkpoint 1\n"  # the number is raised when the way that a file is written changes
DIGEST = 64  # hexadecimal digits of a SHA-256
KEPT = 2
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # of a trial id: none of them leads out of a folder
NUMBERED = re.compile(r"\d{8,}\.ckpt")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values with their SHA-256, all or nothing. Raises OSError when the disk refuses."""
    content = io.BytesIO()
    torch.save(_by_itself(state), content)
    whole = content.getbuffer()
    write_atomically(path, MAGIC, hashlib.sha256(whole).hexdigest().encode(), b"\n", whole)


def _by_itself(value: Any) -> Any:
    """The same, slices of larger tensors copied: torch would write all of what they are slices of."""
    if isinstance(value, dict):
        return {key: _by_itself(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_by_itself(item) for item in value)
    if isinstance(value, Tensor) and value.nbytes < value.untyped_storage().nbytes():
        return value.clone()
    return value


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in a file, or None when there is none or a bit of it is wrong. Executes nothing that it contains."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + DIGEST + 1
    head, content = whole[:start], memoryview(whole)[start:]
    if head != MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n":
        return None
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception:  # whole, but not what `save` writes: torch refuses it in many ways
        return None
    return state if isinstance(state, dict) else None


class Checkpoints:
    """The last two states of one trial, as numbered files in a folder of its own.

    Each is written all or nothing and numbered one above the highest before it: no clock has a say in which of them is
    the newest. Two processes that train the same trial write the same states, so it does not matter whose file it is.
    """

    def __init__(self, folder: Path, trial_id: str) -> None:
        """Touches nothing. Raises UserError when the id is no name for a folder."""
        if not SAFE.fullmatch(trial_id):
            raise UserError(f"trial id {trial_id!r}: only letters, digits, _ and - can be in one")
        self.folder = folder / trial_id
        self.trial_id = trial_id
        self.damaged = 0  # files that were passed over while reading

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state, and drop all but the one before it. Raises OSError when the disk refuses; those before stay."""
        before = self._newest_first()
        number = int(before[0].stem) + 1 if before else 1
        save(self.folder / f"{number:08d}.ckpt", {"trial_id": self.trial_id, "state": state})
        for path in before[KEPT - 1 :]:
            with suppress(OSError):
                path.unlink()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The newest whole state, its tensors on the device, or None when there is none."""
        return next(self.states(device), None)

    def states(self, device: torch.device) -> Iterator[dict[str, Any]]:
        """All whole states, the newest first, read one by one. Clears what a killed process left half written."""
        self._sweep()
        for path in self._newest_first():
            found = load(path, device)
            if found and found.get("trial_id") == self.trial_id and isinstance(found.get("state"), dict):
                yield found["state"]
            else:
                self.damaged += 1

    def forget(self) -> None:
        """Remove them all. What the disk refuses to remove stays."""
        self._sweep()
        for path in self._newest_first():
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _newest_first(self) -> list[Path]:
        try:
            found = [path for path in self.folder.iterdir() if NUMBERED.fullmatch(path.name)]
        except OSError:
            return []
        return sorted(found, key=lambda path: int(path.stem), reverse=True)

    def _sweep(self) -> None:
        remove_partial_writes(self.folder, "*.ckpt")


def trials_with_checkpoints(checkpoints: Path) -> frozenset[str]:
    """The trials that have a checkpoint to go on from."""
    return frozenset(path.parent.name for path in checkpoints.glob("*/*.ckpt"))
