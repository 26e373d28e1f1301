"""What a container may use of its machine: the limits of Linux control groups, of version 1 and 2.

A quota of CPU time or a limit of memory is shown neither by the number of processors nor by the free memory.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# In version 1, each controller has a tree of folders of its own.
CPU_TREES, MEMORY_TREES = ("", "cpu", "cpu,cpuacct"), ("", "memory")


def cpu_quota() -> float | None:
    """CPU time per time, such as 0.5 for half a processor; None without a quota. The tightest of nested groups."""
    quotas = []
    for folder in _folders(CPU_TREES):
        quota, period = [*_read(folder / "cpu.max").split(), "", ""][:2]
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):  # version 2 writes `max` for none, version 1 -1
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """Bytes; None without a limit. The tightest of nested groups. Version 1 writes a number near 2^63 for none."""
    files = (folder / name for folder in _folders(MEMORY_TREES) for name in ("memory.max", "memory.limit_in_bytes"))
    return min((int(text) for file in files if (text := _read(file)).isdigit()), default=None)


def _folders(trees: tuple[str, ...]) -> Iterator[Path]:
    """The folders of this process's groups and of the groups around them, in each of the trees."""
    paths = {Path(line.split(":", 2)[2].lstrip("/")) for line in _read(MEMBERSHIP).splitlines() if line.count(":") > 1}
    around = {path for own in (*paths, Path()) for path in (own, *own.parents)}
    for tree in trees:
        yield from (GROUPS / tree / path for path in sorted(around))


def _read(file: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text().strip()
    return ""
