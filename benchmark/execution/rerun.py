"""Finds a recorded trial, and trains it once more beside the store: no result is overwritten."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from benchmark.config.schema import Resources
from benchmark.core import environment, registry
from benchmark.core.errors import ResultsNotStored, UserError
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import RECIPE_VERSION, TrialSpec, content_hash
from benchmark.execution.in_process import InProcessRunner
from benchmark.execution.live_view import LiveView, TrialLine
from benchmark.execution.result_sink import ResultSink
from benchmark.planning.prerequisites import find_missing
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace, require_writable
from benchmark.trials.make_jobs import make_jobs

MIN_PREFIX = 4
LONGEST = 100  # characters in the name of a revision
NEAREST = 3  # ids that a message about an unknown one names


def find(store: RecordStore, prefix: str) -> TrialRecord:
    """The record whose id begins so. Raises UserError when there is none or several, or this code cannot train it."""
    wanted, known = prefix.lower(), store.ids()
    hits = [trial_id for trial_id in known if trial_id.startswith(wanted)]
    if wanted in known:
        hits = [wanted]
    if hits and len(wanted) < MIN_PREFIX:
        raise UserError(f"trial id '{prefix}': give at least {MIN_PREFIX} characters of it")
    if not hits:
        near = get_close_matches(wanted, known, n=NEAREST, cutoff=0.3)
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise UserError(
            f"no trial '{prefix}' among the {len(known)} records in {store.folder}{nearest}; --workspace says where to"
            " look, and results.csv of a report lists the ids"
        )
    if len(hits) > 1:
        raise UserError(f"trial id '{prefix}' is not the only one that begins so: {', '.join(hits)}")
    return _readable(store, hits[0])


def _readable(store: RecordStore, trial_id: str) -> TrialRecord:
    """The record, when this code makes the trials that it is of."""
    raw: Any = None
    with suppress(OSError, ValueError):
        raw = json.loads(store.path(trial_id).read_bytes())
    written = raw if isinstance(raw, dict) else {}
    version = _inner(written, "spec").get("version", RECIPE_VERSION)
    source = _inner(written, "environment").get("source")
    revision = source if isinstance(source, str) and len(source) < LONGEST else "unknown"
    made_by = f"it was made with revision {revision} of this project"
    if version != RECIPE_VERSION:
        raise UserError(
            f"trial {trial_id} is of recipe version {str(version)[:LONGEST]}, and this code trains version"
            f" {RECIPE_VERSION}, with other numbers; {made_by}: check that out to run it again"
        )
    try:
        record = store.read(trial_id)
    except UserError as error:
        raise UserError(f"{error}" + (f"; {made_by}" if written else "")) from None
    if record is None:
        raise UserError(f"{store.path(trial_id)}: went away while it was read")
    try:
        _check_recipe(record.spec)
    except (UserError, ValidationError) as error:
        raise UserError(f"trial {trial_id}: this code does not know its recipe; {made_by}\n{error}") from None
    return record


def _inner(written: dict[str, Any], key: str) -> dict[str, Any]:
    inner = written.get(key)
    return inner if isinstance(inner, dict) else {}


def _check_recipe(spec: TrialSpec) -> None:
    """Every name is registered, and every option is one that there is."""
    registry.methods[spec.method].Options.model_validate(spec.options)
    registry.networks[spec.network].Options.model_validate(spec.network_options)
    registry.datasets.check(spec.dataset)
    for one in bind_metrics(spec.protocol):
        registry.metrics.check(one.measure.metric)


def same_recipe_records(store: RecordStore) -> Iterator[TrialRecord]:
    """All records that can be read: one that cannot says nothing about noise."""
    for trial_id in store.ids():
        with suppress(UserError):
            record = store.read(trial_id)
            if record is not None:
                yield record


def retrain(recorded: TrialRecord, workspace: Workspace, data_dir: Path, console: Console) -> TrialRecord:
    """Train a recorded trial from its first step with as many threads as before, on a GPU if it was on one.

    The new record is kept under `workspace.reproductions`. One that is stopped goes on from its last checkpoint, as
    long as machine, versions and source are still the same. Raises UserError, before anything is trained, when data
    is missing or the workspace cannot be written to; Unwritten when the new record cannot be stored.
    """
    spec = recorded.spec
    if told := find_missing([spec], workspace, data_dir).message:
        raise UserError(told)
    require_writable(workspace.root, "--workspace")
    each = _resources(recorded)
    scratch = workspace.reproductions / f".{spec.trial_id}"
    surroundings = content_hash(environment.describe("cuda" if each.gpus else "cpu", each.cpus))

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    jobs = make_jobs([spec], workspace=workspace, data_dir=data_dir, resources=each, scratch=scratch / surroundings)
    view = LiveView({spec.trial_id: TrialLine(spec.name, spec.steps)}, console)
    kept = RecordStore(workspace.reproductions)
    keeper = ResultSink(kept, None, view, say=say)
    with view.shown(), keeper.settled():
        InProcessRunner().run(jobs, keeper)
    if keeper.unstored:
        raise ResultsNotStored(keeper.told())
    record = kept.read(spec.trial_id)
    assert record is not None
    if record.status != "failed":
        shutil.rmtree(scratch, ignore_errors=True)
    return record


def _resources(recorded: TrialRecord) -> Resources:
    """What the trial was given: numbers may depend on the number of threads."""
    if recorded.cost:
        return Resources(cpus=recorded.cost.cpus, gpus=recorded.cost.gpus)
    return Resources(cpus=max(int(recorded.environment.get("threads", 1)), 1))
