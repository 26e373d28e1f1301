"""Names, sizes and times of raw files: a quick check of whether they are those that arrays were prepared from.

Only files without a published checksum need it. It reads no content, so a file that was replaced by one of equal size
and time goes unnoticed until `datasets verify` reads all of them.
"""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

FILE = "files.json.gz"  # in a prepared folder
NAMED = 3  # examples in a message

FileStates = dict[str, tuple[int, int]]  # name -> size in bytes, and time of the last change in ns


def write_states(folder: Path, states: FileStates) -> None:
    """Write the states to a prepared folder, in a file whose bytes depend on nothing else."""
    content = json.dumps(states, sort_keys=True, separators=(",", ":"))
    (folder / FILE).write_bytes(gzip.compress(content.encode(), mtime=0))


def read_states(folder: Path) -> FileStates:
    """The states in a prepared folder; empty if it has none, or if they are damaged."""
    try:
        states = json.loads(gzip.decompress((folder / FILE).read_bytes()))
        return {str(name): (int(size), int(changed)) for name, (size, changed) in states.items()}
    except (OSError, EOFError, ValueError, TypeError, AttributeError):
        return {}


def differences(before: FileStates, now: FileStates) -> str:
    """What was added, removed and replaced, each with examples; "" if nothing was."""
    kinds = {
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
        "replaced": sorted(name for name in now.keys() & before.keys() if now[name] != before[name]),
    }
    return ", ".join(f"{len(names):,} {kind}{for_example(names)}" for kind, names in kinds.items() if names)


def for_example(names: Sequence[str]) -> str:
    """The first names, in brackets."""
    return f" (for example {', '.join(map(display_path, names[:NAMED]))})"


def display_path(path: str) -> str:
    """The path, with escapes if it contains characters that a terminal cannot show."""
    return path if path.isprintable() else ascii(path)
