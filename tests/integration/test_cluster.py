"""A cluster of two Ray nodes on this machine: one of them dies, and another one joins."""

import socket
import time

import pytest

from benchmark.config.schema import Resources
from benchmark.core.errors import UserError
from benchmark.execution.ray.cluster import connect
from tests.support.runs import (
    LONG,
    numbers_of,
    output_of,
    records_of,
    started,
    trials_started,
    undisturbed_numbers,
    wait_until,
)


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stored", [False, True], ids=["shared disk", "storage"])
def test_a_node_dies_and_another_one_joins(cluster, tmp_path, small_suite, stored):
    suite, workspace = small_suite(defaults=LONG, seeds=[0]), tmp_path / "ws"
    options = ["--storage", str(tmp_path / "store")] if stored else []
    second = cluster.add_node(num_cpus=1)
    with started(suite, workspace, "--address", cluster.address, *options) as run:
        wait_until(trials_started(workspace, 2))  # on both
        time.sleep(1)
        cluster.remove_node(second, allow_graceful=False)  # SIGKILL for all of its processes
        cluster.add_node(num_cpus=1)
        assert run.wait(900) == 0, output_of(workspace)
    found = records_of(workspace)
    assert {record.status for record in found.values()} == {"finished"}
    assert sorted(len(record.attempts) for record in found.values()) == [0, 1]
    assert "failed, will be tried again from its checkpoint: the worker died" in output_of(workspace)
    assert "raylet" not in output_of(workspace)
    assert (tmp_path / "ws-report" / "leaderboard.md").is_file()
    assert numbers_of(workspace) == undisturbed_numbers(suite, tmp_path / "calm")
    assert cluster.list_all_nodes()  # the cluster goes on
    if stored:
        store = tmp_path / "store"
        assert {path.stem for path in (store / "results").iterdir()} == set(found)
        assert not list((store / "checkpoints").glob("*/*.ckpt"))
        assert len(list((store / "checkpoints").glob("*.final.pt"))) == 2
        with started(suite, tmp_path / "other", *options) as again:  # another machine needs nothing but the storage
            assert again.wait(300) == 0
        assert numbers_of(tmp_path / "other") == numbers_of(workspace)
        assert "2 records taken over" in output_of(tmp_path / "other")


@pytest.mark.parametrize("address", ["here", "ray://here:10001", "here:port", ":6379"])
def test_an_invalid_address_is_refused(address):
    with pytest.raises(UserError, match="HOST:PORT"), connect(address, Resources(), None):
        pass


def test_an_unreachable_address_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"{address}: nobody answers"), connect(address, Resources(), None):
            pass


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_trial_that_no_node_can_hold_is_refused_at_once(cluster, tmp_path, small_suite):
    suite = small_suite(resources={"cpus": 64})
    with started(suite, tmp_path / "ws", "--address", cluster.address) as run:
        assert run.wait(120) == 2
    assert "no node can hold a trial, which needs 64 CPUs" in output_of(tmp_path / "ws")
    assert not (tmp_path / "ws").exists()
