"""Ray itself: a cluster of our own on this machine, or one that is there already. Imports Ray only when it is used."""

import logging
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path
from typing import Any

from benchmark.config.schema import Resources
from benchmark.core.environment import revision
from benchmark.core.errors import ClusterLost, UserError
from benchmark.execution.ray import watchdog as ray_watchdog
from benchmark.execution.signals import handlers_restored, signals_ignored

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 120.0
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",  # so many slots start at a time, where a search would start one after the other
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": str(10**9),  # waiting for a node that comes back is no news
}


def silence_ray() -> None:
    """Ray's own boxes, warnings and statistics would drown our view. A user's own setting is kept."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a lost trial is told once, by us


def _hush() -> None:
    """Ray prints a page to our output when a node dies, whatever it was told; we tell of it in a line."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


@contextmanager
def local_cluster() -> Iterator[bool]:
    """A cluster on this machine that ends with this process, however that ends; or the one that was joined before.

    Gives whether it is our own. Raises ClusterLost when it does not start.
    """
    silence_ray()
    import ray

    if ray.is_initialized():
        yield False
        return
    watchdog = None
    try:
        with handlers_restored():
            _started()
        watchdog = ray_watchdog.watch(_agents())
        yield True
    finally:
        with signals_ignored():
            ray.shutdown()
            if watchdog:
                _close(watchdog)


def _started() -> None:
    """Start Ray on this machine. Raises ClusterLost when that fails: a process was killed, or took too long."""
    try:
        _init(address="local")
    except Exception as error:  # Ray raises many kinds
        raise ClusterLost(f"Ray could not be started ({first_line(error)})") from error


@contextmanager
def connect(address: str | None, each: Resources, workspace: Path | None) -> Iterator[None]:
    """In a cluster that is there already, which goes on afterwards; without an address nothing is joined.

    `workspace` is what all nodes must see, or None when they need not. Raises UserError when nobody answers there, or
    no node can hold a trial, or one of them runs other code.
    """
    if address is None:
        yield
        return
    silence_ray()
    import ray

    _reachable(address)
    try:
        with handlers_restored():
            _init(address=address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"--address {address}: {first_line(error)}") from None
    try:
        _check_room(address, each)
        _check_nodes(address, workspace)
        yield
    finally:
        with signals_ignored():
            ray.shutdown()


def cluster_has_gpus() -> bool:
    """Whether a node of the cluster that was joined has a GPU."""
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return bool(there.get("GPU"))


def _init(**options: Any) -> None:
    import ray

    _hush()
    if options["address"] == "local":
        options["include_dashboard"] = False
    ray.init(log_to_driver=False, configure_logging=True, logging_level=logging.ERROR, **options)


def _reachable(address: str) -> None:
    """Raises UserError at once, where Ray would try for a minute."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise UserError(
            f"--address {address}: must be `auto` or HOST:PORT of the head node, as `ray start --head` prints it"
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address {address}: nobody answers there ({error}); `ray status` on the head node tells its address"
        ) from None


def first_line(error: Exception) -> str:
    """Ray's messages go on for a page, and some begin with a traceback."""
    said = dropwhile(lambda line: line.startswith((" ", "Traceback")), str(error).splitlines())
    lines = [line.strip() for line in said if line.strip()]
    return " ".join(lines[:4]) or type(error).__name__


def nodes() -> list[dict[str, Any]]:
    """The nodes that are alive."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _check_room(address: str, each: Resources) -> None:
    """Raises UserError when no node could ever hold a trial."""
    gpus = each.gpus if cluster_has_gpus() else 0.0
    rooms = [(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)) for node in nodes()]
    if not any(room[0] >= each.cpus and room[1] >= gpus for room in rooms):
        there = "; ".join(f"{cpus:g} CPUs, {held:g} GPUs" for cpus, held in sorted(set(rooms))) or "none"
        raise UserError(
            f"--address {address}: no node can hold a trial, which needs {each.cpus} CPUs and {gpus:g} GPUs on one node"
            f" (`resources` of the suite); nodes: {there}"
        )


def _check_nodes(address: str, workspace: Path | None) -> None:
    """Raises UserError naming every node that runs other code or does not see the workspace."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def probe(wanted: str, folder: str | None) -> str | None:
        """Runs on a node, and must not need any of our code there."""
        import sys
        from pathlib import Path

        try:
            from benchmark.core.environment import revision
        except ImportError as error:
            return f"cannot import the benchmark ({error}); install it for {sys.executable}"
        if revision() != wanted:
            return f"has version {revision()} of the benchmark, here is {wanted}; install the same"
        if folder and not Path(folder).is_dir():
            return f"does not see {folder}; put --workspace on a disk that all nodes share, or give --storage"
        return None

    remote = ray.remote(num_cpus=0, max_retries=0)(probe)
    asked = {
        node["NodeManagerHostname"]: remote.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(revision(), str(workspace) if workspace else None)
        for node in nodes()
    }
    problems = []
    for host, answer in asked.items():
        try:
            problem = ray.get(answer, timeout=PROBE_SECONDS)
        except RayError as error:
            problem = f"does not answer ({first_line(error)})"
        problems += [f"--address {address}: node {host} {problem}"] if problem else []
    if problems:
        raise UserError("\n".join(problems))


def _agents() -> list[int]:
    """Ray's helpers of our raylet: after a `kill -9` of the driver they go on for minutes."""
    import psutil

    agents = []
    for process in psutil.Process().children(recursive=True):
        try:
            is_agent = process.parent().name() == "raylet" and "Agent" in process.name() + " ".join(process.cmdline())
        except (psutil.Error, AttributeError):
            continue
        if is_agent:
            agents.append(process.pid)
    return agents


def _close(watchdog: "subprocess.Popen[bytes]") -> None:
    """Let it look after what is left, and wait for it."""
    assert watchdog.stdin is not None
    watchdog.stdin.close()
    try:
        watchdog.wait(ray_watchdog.GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        watchdog.kill()
