"""Ray starts in the background while data are prepared, once, and always ends."""

import threading

import pytest

from benchmark.core.errors import ClusterLost
from benchmark.execution.ray import cluster


@pytest.fixture
def calls(monkeypatch):
    """What was done, in order; `start` waits for `released`."""
    done, released = [], threading.Event()

    def start():
        released.wait(10)
        done.append(f"start in {threading.current_thread().name.partition('_')[0]}")
        return "watchdog"

    monkeypatch.setattr(cluster, "_start_local", start)
    monkeypatch.setattr(cluster, "_stop_local", lambda watchdog: done.append(f"stop {watchdog}"))
    done.append(released)
    yield done
    assert cluster._starting is None


def test_the_cluster_starts_during_the_block_and_local_cluster_waits_for_it(calls):
    released = calls.pop()
    with cluster.starting_meanwhile():
        calls.append("prepare")
        released.set()
        with cluster.local_cluster() as is_own:
            assert is_own
            calls.append("train")
        calls.append("report")
    assert calls == ["prepare", "start in start of Ray", "train", "stop watchdog", "report"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_cluster_that_nobody_uses_ends_with_the_block(calls, error):
    released = calls.pop()
    released.set()
    with pytest.raises(error), cluster.starting_meanwhile():
        raise error
    assert calls == ["start in start of Ray", "stop watchdog"]


def test_a_start_that_fails_in_the_background_fails_where_the_cluster_is_needed(monkeypatch):
    def fail(**options):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(cluster, "_init", fail)
    with (
        cluster.starting_meanwhile(),
        pytest.raises(ClusterLost, match="timed out during startup"),
        cluster.local_cluster(),
    ):
        pass


def test_a_failing_preparation_is_reported_even_if_ray_does_not_start_either(monkeypatch):
    monkeypatch.setattr(cluster, "_start_local", lambda: 1 / 0)
    with pytest.raises(ValueError, match="no data"), cluster.starting_meanwhile():
        raise ValueError("no data")
