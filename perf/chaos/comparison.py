"""Whether two workspaces, their reports and MLflow hold bit-identical results. Every fault is one line."""

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

# Fields of a record that describe how the result came about. All others must be equal.
PROVENANCE_FIELDS = {"cost", "attempts", "events", "started", "finished"}


def compare_workspaces(suite: Suite, baseline: Workspace, chaos: Workspace) -> Iterator[str]:
    """Compare records, final weights, sample grids, prepared data and file names with those of the baseline."""
    yield from _compare_records(suite, RecordStore(baseline.results), RecordStore(chaos.results))
    yield from _compare_weights(suite, baseline.checkpoints, chaos.checkpoints)
    for folder in ("samples", "data"):
        yield from _compare_bytes(baseline.root / folder, chaos.root / folder)
    yield from _compare_names(baseline.root, chaos.root)


def _compare_records(suite: Suite, baseline: RecordStore, chaos: RecordStore) -> Iterator[str]:
    expected, stored = set(suite.specs), set(chaos.ids())
    yield from (f"result lost: {trial_id}" for trial_id in sorted(expected - stored))
    yield from (f"a result of no trial: {trial_id}" for trial_id in sorted(stored - expected))
    for trial_id in sorted(expected & stored):
        left, right = (_stored_fields(store.read(trial_id)) for store in (baseline, chaos))
        yield from (f"record {trial_id}: {key} differs" for key in left if left[key] != right.get(key))


def _stored_fields(record: TrialRecord | None) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude=PROVENANCE_FIELDS) if record else {}


def _compare_weights(suite: Suite, baseline: Path, chaos: Path) -> Iterator[str]:
    for trial_id in sorted(suite.specs):
        paths = (folder / f"{trial_id}.final.pt" for folder in (baseline, chaos))
        left, right = (checkpoint.load_weights(path, torch.device("cpu")) for path in paths)
        if left is None or right is None:
            yield f"final weights of {trial_id}: missing or damaged"
        elif not bit_identical(left, right):
            yield f"final weights of {trial_id}: differ"


def bit_identical(left: Any, right: Any) -> bool:
    """Whether two nested states are equal, their tensors bit by bit."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.dtype == right.dtype and left.shape == right.shape and _bits(left) == _bits(right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(bit_identical(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(bit_identical, left, right))
    return type(left) is type(right) and bool(left == right)


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()


def _files(folder: Path) -> dict[str, Path]:
    """Every file in a folder, hidden ones too, by its path relative to the folder."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _compare_bytes(baseline: Path, chaos: Path) -> Iterator[str]:
    left, right = _files(baseline), _files(chaos)
    for name in sorted(left.keys() & right.keys()):
        if left[name].read_bytes() != right[name].read_bytes():
            yield f"{baseline.name}/{name}: other bytes"


def _compare_names(baseline: Path, chaos: Path) -> Iterator[str]:
    """Names in only one workspace: scratch folders, partial files, checkpoints of finished trials."""

    def all_names(root: Path) -> set[str]:
        names = {path.relative_to(root).as_posix() for path in root.rglob("*")}
        return {name for name in names if name != "ray" and not name.startswith("mlflow")}

    left, right = all_names(baseline), all_names(chaos)
    yield from (f"left behind: {name}" for name in sorted(right - left))
    yield from (f"missing: {name}" for name in sorted(left - right))


def compare_mlflow(suite: Suite, chaos: Workspace, uri: str) -> Iterator[str]:
    """Compare the runs in MLflow with the records: every trial must have one run, and the report must have one."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(suite.name)
    if experiment is None:
        yield "MLflow: no experiment"
        return
    runs = defaultdict(list)
    for run in client.search_runs([experiment.experiment_id], max_results=10_000):
        runs[run.data.tags.get("trial_id", "report")].append(run)
    for trial_id, record in RecordStore(chaos.results).read_many(suite.specs).items():
        yield from _compare_runs(trial_id, record, runs.pop(trial_id, []), client)
    if (count := len(runs.pop("report", []))) != 1:
        yield f"MLflow: {count} runs of the report"
    yield from (f"MLflow: a run of no trial: {trial_id}" for trial_id in runs)


def _compare_runs(trial_id: str, record: TrialRecord, runs: list[Any], client: Any) -> Iterator[str]:
    if len(runs) != 1:
        yield f"MLflow: {len(runs)} runs of trial {trial_id}"
        return
    run = runs[0]
    if not run.data.tags.get("mirrored"):
        yield f"MLflow: the run of trial {trial_id} is incomplete"
    for key, value in record.metrics.items():
        if run.data.metrics.get(f"evaluation/{key}") != value:
            yield f"MLflow: {key} of trial {trial_id} differs"
        history = client.get_metric_history(run.info.run_id, f"evaluation/{key}")
        expected = sorted((entry.step, entry.metrics[key]) for entry in record.history if key in entry.metrics)
        if sorted((point.step, point.value) for point in history) != expected:
            yield f"MLflow: history of {key} of trial {trial_id} differs"


def compare_reports(suite: Suite, baseline: Path, chaos: Path) -> Iterator[str]:
    """Compare two reports, except for times and costs."""
    left, right = (json.loads((folder / "results.json").read_text()) for folder in (baseline, chaos))
    if _without_times(left) != _without_times(right):
        yield "report: results.json differs"
    if differing := sorted(_files(baseline).keys() ^ _files(chaos).keys()):
        yield f"report: other files: {differing}"
    page = (chaos / "leaderboard.md").read_text()
    yield from (f"report: no row of {cell.row}" for cell in suite.cells if cell.row not in page)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(inner) for key, inner in value.items() if key not in PROVENANCE_FIELDS}
    if isinstance(value, list):
        return [_without_times(inner) for inner in value]
    return value
