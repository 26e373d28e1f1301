"""Training state to disk and back, bit-identical. A file is verified before it is read, and none of it is executed."""

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

MAGIC = b"ssgan-benchmark checkpoint 1\n"  # the number is raised when the file format changes
DIGEST = 64  # hexadecimal digits of a SHA-256
KEPT = 2  # checkpoints of a trial
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a trial id of these characters cannot lead out of a folder
NUMBERED = re.compile(r"\d{8,}\.ckpt")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values with their SHA-256, all or nothing. Raises OSError if the disk refuses."""
    buffer = io.BytesIO()
    torch.save(_without_views(state), buffer)
    content = buffer.getbuffer()
    write_atomically(path, MAGIC, hashlib.sha256(content).hexdigest().encode(), b"\n", content)


def save_weights(path: Path, state: dict[str, Any]) -> None:
    """Write final weights for people, all or nothing: `torch.load(path, weights_only=True)` reads them.

    Raises OSError if the disk refuses.
    """
    buffer = io.BytesIO()
    torch.save(_without_views(state), buffer)
    write_atomically(path, buffer.getbuffer())


def load_weights(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state that `save_weights` wrote, or None if the file is missing or damaged. Executes nothing it contains.

    Files of earlier versions, which have the header of a checkpoint, are read too.
    """
    return load(path, device) or _read(path, device)


def _read(source: Path | io.BytesIO, device: torch.device) -> dict[str, Any] | None:
    try:
        state = torch.load(source, map_location=device, weights_only=True)
    except Exception:  # torch raises many kinds of errors
        return None
    return state if isinstance(state, dict) else None


def _without_views(value: Any) -> Any:
    """The same value with slices of larger tensors copied: torch would write the whole tensor that a slice is of."""
    if isinstance(value, dict):
        return {key: _without_views(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_views(item) for item in value)
    if isinstance(value, Tensor) and value.nbytes < value.untyped_storage().nbytes():
        return value.clone()
    return value


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in a file, or None if the file is missing or damaged. Executes nothing that it contains."""
    try:
        file = path.read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + DIGEST + 1
    header, content = file[:start], memoryview(file)[start:]
    if header != MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n":
        return None
    return _read(io.BytesIO(content), device)


class Checkpoints:
    """The last two states of one trial, as numbered files in a folder of its own.

    Each file is written all or nothing, and its number is one above the highest before it: the newest one does not
    depend on a clock. Two processes that train the same trial write the same states, so they may share the folder.

    Attributes:
        damaged: number of damaged files that reading has passed over.
    """

    def __init__(self, folder: Path, trial_id: str) -> None:
        """Does not touch the disk. Raises UserError if the id cannot be the name of a folder."""
        if not SAFE.fullmatch(trial_id):
            raise UserError(f"trial id {trial_id!r}: only letters, digits, _ and - can be in one")
        self.folder = folder / trial_id
        self.trial_id = trial_id
        self.damaged = 0

    def save(self, state: dict[str, Any]) -> None:
        """Add a state, and remove all but the one before it. If it raises OSError, the earlier states stay."""
        earlier = self._newest_first()
        number = int(earlier[0].stem) + 1 if earlier else 1
        save(self.folder / f"{number:08d}.ckpt", {"trial_id": self.trial_id, "state": state})
        for path in earlier[KEPT - 1 :]:
            with suppress(OSError):
                path.unlink()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The newest undamaged state with its tensors on the device, or None if there is none."""
        return next(self.states(device), None)

    def states(self, device: torch.device) -> Iterator[dict[str, Any]]:
        """All undamaged states, the newest first, read one at a time. Removes partial writes of killed processes."""
        self._remove_partial_writes()
        for path in self._newest_first():
            file = load(path, device)
            if file and file.get("trial_id") == self.trial_id and isinstance(file.get("state"), dict):
                yield file["state"]
            else:
                self.damaged += 1

    def forget(self) -> None:
        """Remove all checkpoints that the disk allows to remove."""
        self._remove_partial_writes()
        for path in self._newest_first():
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _newest_first(self) -> list[Path]:
        try:
            paths = [path for path in self.folder.iterdir() if NUMBERED.fullmatch(path.name)]
        except OSError:
            return []
        return sorted(paths, key=lambda path: int(path.stem), reverse=True)

    def _remove_partial_writes(self) -> None:
        remove_partial_writes(self.folder, "*.ckpt")


def trials_with_checkpoints(checkpoints: Path) -> frozenset[str]:
    """Ids of the trials that have a checkpoint to resume from."""
    return frozenset(path.parent.name for path in checkpoints.glob("*/*.ckpt"))
