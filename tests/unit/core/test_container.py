"""The limits of containers, read from folders as Linux lays them out."""

import pytest

from benchmark.config.schema import Resources
from benchmark.core import container, environment
from benchmark.core.errors import UserError
from benchmark.planning.prerequisites import require_room

NONE_V1 = 9223372036854771712  # what version 1 writes for no limit of memory


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Writes the files of a layout, and the groups of the process: {file: content}, membership."""

    def write(files, membership="0::/"):
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        (tmp_path / "membership").write_text(membership)

    monkeypatch.setattr(container, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(container, "MEMBERSHIP", tmp_path / "membership")
    return write


@pytest.mark.parametrize(
    "files, membership, quota, memory",
    [
        ({}, "", None, None),
        ({"cpu.max": "max 100000", "memory.max": "max"}, "0::/", None, None),
        ({"cpu.max": "50000 100000", "memory.max": 2**30}, "0::/", 0.5, 2**30),
        ({"a/b/cpu.max": "150000 100000", "a/memory.max": 5}, "0::/a/b", 1.5, 5),
        ({"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, "0::/a/b", 2.0, None),
        ({"cpu.max": "300000 100000"}, "0::/docker/not-seen-in-here", 3.0, None),
        ({"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}, "4:cpu,cpuacct:/", None, None),
        (
            {
                "cpu,cpuacct/d/cpu.cfs_quota_us": 250000,
                "cpu,cpuacct/d/cpu.cfs_period_us": 100000,
                "memory/d/memory.limit_in_bytes": 7,
                "memory/memory.limit_in_bytes": NONE_V1,
            },
            "4:cpu,cpuacct:/d\n5:memory:/d\n0::/",
            2.5,
            7,
        ),
        ({"cpu.max": "nonsense", "memory.max": ""}, "0::/", None, None),
    ],
)
def test_limits_of_both_versions_and_of_nested_groups(groups, files, membership, quota, memory):
    groups(files, membership)
    assert container.cpu_quota() == quota
    assert container.memory_limit() == memory


@pytest.mark.parametrize("quota, cores", [("50000 100000", 1), ("150000 100000", 1), ("200000 100000", 2)])
def test_available_cores_follow_the_quota(groups, monkeypatch, quota, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    groups({"cpu.max": quota})
    assert environment.available_cores() == cores


def test_available_memory_follows_the_limit(groups):
    groups({"memory.max": 2**20})
    assert environment.available_memory() == 2**20


def test_a_trial_that_needs_more_cores_than_there_are_is_refused(groups, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(4)), raising=False)
    groups({"cpu.max": "200000 100000"})
    require_room(Resources(cpus=2))
    with pytest.raises(UserError, match=r"a trial needs 3 cores, and this machine has 2 cores to give"):
        require_room(Resources(cpus=3))
