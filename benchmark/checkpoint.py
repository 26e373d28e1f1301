"""State to disk and back, to the bit."""

import io
from pathlib import Path
from typing import Any

import torch

from benchmark.store import write_atomically


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, all or nothing."""
    content = io.BytesIO()
    torch.save(state, content)
    write_atomically(path, content.getvalue())


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in a file, or None when there is none or it is damaged. Executes nothing that it contains."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        return None
    except Exception:  # a damaged file raises many kinds; the trial then starts from its first step
        return None
    return state
