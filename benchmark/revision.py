"""Which code this is: all machines of a cluster must run the same."""

import hashlib
from functools import cache
from pathlib import Path

import baselines
import benchmark
from benchmark.errors import UserError


@cache
def revision() -> str:
    """The version, and the start of a SHA-256 over every source file of the harness and the methods."""
    found = hashlib.sha256()
    for package in (benchmark, baselines):
        root = Path(package.__file__ or "").parent
        for path in sorted(root.rglob("*.py")):
            found.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return f"{benchmark.__version__}-{found.hexdigest()[:12]}"


def check_revision(wanted: str | None) -> None:
    """Raises UserError when this machine runs other code than the driver, if that is told."""
    if wanted and revision() != wanted:
        raise UserError(
            f"this machine has version {revision()} of the benchmark, the driver {wanted}; install the same"
        )
