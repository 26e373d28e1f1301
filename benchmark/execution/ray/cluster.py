"""Ray clusters: start one on this machine, or join one that exists. Imports Ray only when it is used."""

import errno
import logging
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path
from typing import Any

from benchmark.config.schema import Resources
from benchmark.core.environment import available_cores, revision
from benchmark.core.errors import ClusterLost, UserError
from benchmark.execution.ray import watchdog as ray_watchdog
from benchmark.execution.signals import handlers_restored, signals_ignored

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 120.0
MIN_FREE_BYTES = 2**25  # Ray needs less than 1 MB for logs and sockets, but more to start its object store
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # we handle Ctrl-C
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",  # start so many workers at a time; a search would start one after the other
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": str(10**9),  # waiting for a node that returns needs no warning
}


def silence_ray() -> None:
    """Turn off Ray's own tables, warnings and statistics, unless the user has set them."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # we report a lost trial ourselves


_starting: "Future[subprocess.Popen[bytes]] | None" = None  # a cluster that nobody uses yet


@contextmanager
def starting_meanwhile() -> Iterator[None]:
    """A context in which a cluster on this machine starts in the background, for `local_cluster` to use.

    A cluster that was not used ends with the context.
    """
    global _starting
    silence_ray()
    with ThreadPoolExecutor(1, thread_name_prefix="start of Ray") as pool:
        _starting = pool.submit(_start_local)
        try:
            yield
        finally:
            if unused := _take_start():
                with signals_ignored():
                    if not unused.exception():
                        _stop_local(unused.result())


@contextmanager
def local_cluster() -> Iterator[bool]:
    """A cluster on this machine that ends with this process, even if it is killed; or the one joined before.

    Yields whether the cluster is our own.

    Raises:
        UserError: if Ray cannot start in its temporary folder; the message states why.
        ClusterLost: if Ray does not start for another reason.
    """
    silence_ray()
    import ray

    start = _take_start()
    if not start and ray.is_initialized():
        yield False
        return
    watchdog = start.result() if start else _start_local()
    try:
        yield True
    finally:
        with signals_ignored():
            _stop_local(watchdog)


def _take_start() -> "Future[subprocess.Popen[bytes]] | None":
    """The start in the background, if there is one, which is the caller's to end."""
    global _starting
    start, _starting = _starting, None
    return start


def _start_local() -> "subprocess.Popen[bytes]":
    """Start a cluster on this machine. Returns its watchdog; raises as `local_cluster` does."""
    try:
        with handlers_restored():
            _init(address="local")
        return ray_watchdog.watch(_session_folder(), _agent_pids())
    except BaseException as error:  # of many types: a process was killed, or took too long
        import ray

        with signals_ignored():
            ray.shutdown()
        if not isinstance(error, Exception):
            raise
        if problem := start_problem(error):
            raise UserError(problem) from error
        raise ClusterLost(f"Ray could not be started ({first_line(error)})") from error


def _stop_local(watchdog: "subprocess.Popen[bytes]") -> None:
    import ray

    ray.shutdown()
    _close(watchdog)


@contextmanager
def connect(address: str | None, resources: Resources, workspace: Path | None) -> Iterator[None]:
    """Join an existing cluster, which keeps running afterwards; without an address, do nothing.

    Args:
        address: `auto` or HOST:PORT.
        resources: what a trial needs on one node.
        workspace: the folder that all nodes must see, or None if they need not.

    Raises:
        UserError: if the cluster is unreachable, no node can hold a trial, or a node runs other code.
    """
    if address is None:
        yield
        return
    silence_ray()
    import ray

    _check_reachable(address)
    try:
        with handlers_restored():
            _init(address=address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"--address {address}: {first_line(error)}") from None
    try:
        _check_capacity(address, resources)
        _check_nodes(address, workspace)
        yield
    finally:
        with signals_ignored():
            ray.shutdown()


def cluster_has_gpus() -> bool:
    """Whether a node of the joined cluster has a GPU."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return bool(resources.get("GPU"))


def start_problem(error: Exception) -> str:
    """Why Ray does not start on this machine, with a remedy; empty if its temporary folder is not the reason."""
    parent = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
    advice = "set RAY_TMPDIR to another folder, or use --runner inprocess"
    if "AF_UNIX path length" in str(error):
        return f"Ray cannot start: the path of its temporary folder, {parent}/ray, is too long for sockets; {advice}"
    if getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS):
        refused = getattr(error, "filename", None) or parent
        return f"Ray cannot start: {refused} is not writable; make it writable, {advice}"
    try:
        free = shutil.disk_usage(parent).free
    except OSError:
        return f"Ray cannot start: its temporary folder {parent} is missing; {advice}"
    if free < MIN_FREE_BYTES or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return f"Ray cannot start: the disk of its temporary folder {parent} is full; make room there, {advice}"
    return ""


def first_line(error: Exception) -> str:
    """The gist of one of Ray's messages, which fill a page and may start with a traceback."""
    message = dropwhile(lambda line: line.startswith((" ", "Traceback")), str(error).splitlines())
    lines = [line.strip() for line in message if line.strip()]
    return " ".join(lines[:4]) or type(error).__name__


def _init(**options: Any) -> None:
    import ray
    from ray._private import services, utils, worker

    vars(services)["ConsolePopen"] = _start_shielded
    utils.set_sigterm_handler = lambda _: None
    if hasattr(worker, "print_to_stdstream"):
        # Ray prints a page when a node dies, even with log_to_driver=False; we report it in a line.
        worker.print_to_stdstream = lambda *_, **__: None
    if options["address"] == "local":
        options |= {"include_dashboard": False, "num_cpus": available_cores()}  # Ray rounds half a core down to none
    ray.init(log_to_driver=False, configure_logging=True, logging_level=logging.ERROR, **options)


def _start_shielded(command: list[str], *, preexec_fn: Callable[[], None], **options: Any) -> Any:
    """Start a process of Ray that a signal to our process group, or to every process of a job, does not end.

    The driver alone reacts to such a signal: it needs Ray until running trials have written a checkpoint.
    """

    def block_signals() -> None:
        preexec_fn()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})

    return subprocess.Popen(command, process_group=0, preexec_fn=block_signals, **options)


def _check_reachable(address: str) -> None:
    """Raise UserError at once if nothing listens at the address; Ray would try for a minute."""
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


def _alive_nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _check_capacity(address: str, resources: Resources) -> None:
    """Raise UserError if no node could ever hold a trial."""
    cpus, gpus = resources.cpus, resources.gpus if cluster_has_gpus() else 0.0
    capacities = {(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)) for node in _alive_nodes()}
    if not any(node_cpus >= cpus and node_gpus >= gpus for node_cpus, node_gpus in capacities):
        nodes = "; ".join(f"{node_cpus:g} CPUs, {node_gpus:g} GPUs" for node_cpus, node_gpus in sorted(capacities))
        raise UserError(
            f"--address {address}: no node can hold a trial, which needs {cpus} CPUs and {gpus:g} GPUs on one node"
            f" (`resources` of the suite); nodes: {nodes or 'none'}"
        )


def _check_nodes(address: str, workspace: Path | None) -> None:
    """Raise UserError naming every node that runs other code or does not see the workspace."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def probe(wanted: str, folder: str | None) -> str | None:
        """Runs on a node where our code may be missing, so it must not refer to anything outside itself."""
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

    remote_probe = ray.remote(num_cpus=0, max_retries=0)(probe)
    answers = {
        node["NodeManagerHostname"]: remote_probe.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(revision(), str(workspace) if workspace else None)
        for node in _alive_nodes()
    }
    problems = []
    for host, answer in answers.items():
        try:
            problem = ray.get(answer, timeout=PROBE_SECONDS)
        except RayError as error:
            problem = f"does not answer ({first_line(error)})"
        if problem:
            problems.append(f"--address {address}: node {host} {problem}")
    if problems:
        raise UserError("\n".join(problems))


def _session_folder() -> Path | None:
    """Ray's folder of logs and sockets of this run, which Ray would leave behind."""
    from ray._private import worker

    node = getattr(worker, "_global_node", None)
    return Path(node.get_session_dir_path()) if node else None


def _agent_pids() -> list[int]:
    """Ray's agent processes of our raylet, which would live for minutes after a `kill -9` of the driver."""
    import psutil

    pids = []
    for process in psutil.Process().children(recursive=True):
        try:
            is_agent = process.parent().name() == "raylet" and "Agent" in process.name() + " ".join(process.cmdline())
        except (psutil.Error, AttributeError):
            continue
        if is_agent:
            pids.append(process.pid)
    return pids


def _close(watchdog: "subprocess.Popen[bytes]") -> None:
    """Let the watchdog end what is left, and wait for it."""
    assert watchdog.stdin is not None
    watchdog.stdin.close()
    try:
        watchdog.wait(ray_watchdog.GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        watchdog.kill()
