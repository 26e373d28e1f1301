"""One-line reasons for dead workers and Ray errors."""

import re

import pytest

from benchmark.core.errors import ClusterLost
from benchmark.execution.ray import cluster
from benchmark.execution.ray.cluster import first_line, local_cluster
from benchmark.execution.ray.failures import PREEMPTED, failure_reason

HEAD = "Failure # 1 (occurred at 2026-01-01_00-00-00)\n"
DIED = """The actor died unexpectedly before finishing this task.
\tclass_name: TrialWorker
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: {detail}
"""
CAUSES = " Some common causes include: (1) the process was killed by the OOM killer due to low on memory."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DIED.format(detail="Worker unexpectedly exits with a connection error code 2." + CAUSES), "killed or crashed"),
        (
            "Task was killed due to the node running low on memory.\nMemory was 15.9GB / 16GB",
            "out of memory",
        ),
        (DIED.format(detail="The node was terminated unexpectedly"), "its node is gone"),
        ("The actor 12 is unavailable: RpcError: Socket closed", "cannot be reached"),
        ("ray.exceptions.RayTaskError\nOSError: s3://bucket: no such host", "OSError: s3://bucket: no such host"),
        ("x" * 5000, "x" * 300 + "$"),
    ],
)
def test_a_reason_is_one_short_line(tmp_path, text, said):
    path = tmp_path / "error.txt"
    path.write_text(HEAD + text)
    reason = failure_reason(str(path))
    assert reason.startswith("the worker died: ")
    assert re.search(said, reason)
    assert len(reason) < 400


def test_a_preempted_worker_is_recognised(tmp_path):
    path = tmp_path / "error.txt"
    path.write_text(HEAD + DIED.format(detail=f"Worker exits with {PREEMPTED}: SIGTERM"))
    assert failure_reason(str(path)) == PREEMPTED
    assert "no reason" in failure_reason(None)


def test_first_line_skips_a_traceback():
    where = 'Traceback (most recent call last):\n  File "event_manager.py", line 110, in resolve_future\n    ^^^^^^\n'
    said = first_line(RuntimeError(where + "ray.exceptions.ActorDiedError: it died\n\tclass_name: TrialWorker\n"))
    assert said == "ray.exceptions.ActorDiedError: it died class_name: TrialWorker"
    assert first_line(RuntimeError("one\n\n two")) == "one two"
    assert first_line(RuntimeError(where)) == "RuntimeError"


def test_a_failing_start_of_ray_is_one_line(monkeypatch):
    def fail(**options):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(cluster, "_init", fail)
    with (
        pytest.raises(ClusterLost, match=re.escape("Ray could not be started (The current node timed out")),
        local_cluster(),
    ):
        pass
