"""Whether two workspaces, and MLflow, hold the same results to the bit."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.config.suite import Suite
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.training import checkpoint

# What a record tells of its way to the result. All else must be the same.
WAY = {"cost", "attempts", "events", "started", "finished"}


def differences(suite: Suite, calm: Workspace, storm: Workspace) -> Iterator[str]:
    """Everything in which the storm's workspace is not that of the calm run, one line each."""
    yield from _records(suite, RecordStore(calm.results), RecordStore(storm.results))
    yield from _weights(suite, calm.checkpoints, storm.checkpoints)
    for folder in ("samples", "data"):
        yield from _bytes(calm.root / folder, storm.root / folder)
    yield from _names(calm.root, storm.root)


def _records(suite: Suite, calm: RecordStore, storm: RecordStore) -> Iterator[str]:
    wanted, found = set(suite.specs), storm.ids()
    yield from (f"result lost: {one}" for one in sorted(wanted - set(found)))
    yield from (f"a result of no trial: {one}" for one in sorted(set(found) - wanted))
    for trial_id in sorted(wanted & set(found)):
        one, other = calm.read(trial_id), storm.read(trial_id)
        assert one is not None
        assert other is not None
        left, right = (record.model_dump(mode="json", exclude=WAY) for record in (one, other))
        yield from (f"record {trial_id}: {key} differs" for key in left if left[key] != right[key])


def _weights(suite: Suite, calm: Path, storm: Path) -> Iterator[str]:
    for trial_id in sorted(suite.specs):
        one, other = (checkpoint.load(path / f"{trial_id}.final.pt", torch.device("cpu")) for path in (calm, storm))
        if one is None or other is None:
            yield f"final weights of {trial_id}: missing or damaged"
        elif not same(one, other):
            yield f"final weights of {trial_id}: differ"


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are the same, tensors bit by bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and _bits(one) == _bits(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()


def files(folder: Path) -> dict[str, Path]:
    """Every file under a folder, hidden ones too, by its path below it."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _bytes(calm: Path, storm: Path) -> Iterator[str]:
    one, other = files(calm), files(storm)
    shared = sorted(one.keys() & other.keys())
    yield from (f"{calm.name}/{n}: other bytes" for n in shared if one[n].read_bytes() != other[n].read_bytes())


def _names(calm: Path, storm: Path) -> Iterator[str]:
    """Files and folders that one workspace has and the other has not: scratch, halves, checkpoints of ended trials."""

    def all_of(root: Path) -> set[str]:
        names = {path.relative_to(root).as_posix() for path in root.rglob("*")}
        return {name for name in names if name != "ray" and not name.startswith("mlflow")}

    one, other = all_of(calm), all_of(storm)
    yield from (f"left behind: {name}" for name in sorted(other - one))
    yield from (f"not there: {name}" for name in sorted(one - other))


def mirrored(suite: Suite, storm: Workspace, uri: str) -> Iterator[str]:
    """What is wrong with the mirror: every trial must have one run with the record's numbers, the report one."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(suite.name)
    if experiment is None:
        yield "MLflow: no experiment"
        return
    runs = defaultdict(list)
    for run in client.search_runs([experiment.experiment_id], max_results=10_000):
        runs[run.data.tags.get("trial_id", "report")].append(run)
    for trial_id, record in RecordStore(storm.results).read_many(suite.specs).items():
        yield from _mirrored(trial_id, record, runs.pop(trial_id, []), client)
    if (count := len(runs.pop("report", []))) != 1:
        yield f"MLflow: {count} runs of the report"
    yield from (f"MLflow: a run of no trial: {one}" for one in runs)


def _mirrored(trial_id: str, record: TrialRecord, runs: list[Any], client: Any) -> Iterator[str]:
    if len(runs) != 1:
        yield f"MLflow: {len(runs)} runs of trial {trial_id}"
        return
    run = runs[0]
    if not run.data.tags.get("mirrored"):
        yield f"MLflow: the run of trial {trial_id} is not whole"
    for key, value in record.metrics.items():
        if run.data.metrics.get(f"evaluation/{key}") != value:
            yield f"MLflow: {key} of trial {trial_id} differs"
    history = [(entry.step, key, value) for entry in record.history for key, value in entry.metrics.items()]
    for key in record.metrics:
        told = sorted(
            (one.step, key, one.value) for one in client.get_metric_history(run.info.run_id, f"evaluation/{key}")
        )
        if told != sorted(one for one in history if one[1] == key):
            yield f"MLflow: history of {key} of trial {trial_id} differs"


def reported(suite: Suite, calm: Path, storm: Path) -> Iterator[str]:
    """In what two reports differ, but for times and costs."""
    one, other = (json.loads((folder / "results.json").read_text()) for folder in (calm, storm))
    if _timeless(one) != _timeless(other):
        yield "report: results.json differs"
    if files(calm).keys() != files(storm).keys():
        yield f"report: other files: {sorted(files(calm).keys() ^ files(storm).keys())}"
    page = (storm / "leaderboard.md").read_text()
    yield from (f"report: no row of {cell.row}" for cell in suite.cells if cell.row not in page)


def _timeless(value: Any) -> Any:
    """Without what depends on how long things took."""
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in WAY}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return value
