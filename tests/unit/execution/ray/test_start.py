"""Why Ray does not start on this machine."""

import errno
import shutil

import pytest

from benchmark.execution.ray import cluster


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x"), "too long"),
        (PermissionError(errno.EACCES, "Permission denied", "/home/x/.ray"), "/home/x/.ray is not writable"),
        (OSError(errno.ENOSPC, "No space left on device"), "is full; make room"),
    ],
)
def test_the_message_states_cause_and_remedy(error, cause):
    problem = cluster.start_problem(error)
    assert cause in problem
    assert "RAY_TMPDIR" in problem
    assert "--runner inprocess" in problem


def test_a_full_disk_is_found_when_ray_does_not_mention_it(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 10, 10))
    assert "is full" in cluster.start_problem(RuntimeError("Failed to start GCS"))


def test_another_cause_is_left_to_rays_own_words():
    assert cluster.start_problem(RuntimeError("The node died")) == ""
