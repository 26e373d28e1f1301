"""Trains a recorded trial again, for `reproduce`. The new record lies beside the store and overwrites no result."""

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
from benchmark.execution.live_view import LiveView, TrialLine
from benchmark.execution.result_sink import ResultSink
from benchmark.execution.runners import InProcessRunner
from benchmark.planning.prerequisites import find_missing
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace, require_writable
from benchmark.trials.make_jobs import make_jobs

MIN_PREFIX = 4  # characters of a trial id
MAX_REVISION = 100  # characters of a source revision, or of a recipe version, in a message
MAX_SUGGESTIONS = 3  # trial ids that a message about an unknown one lists


def find_record(store: RecordStore, prefix: str) -> TrialRecord:
    """The record whose trial id starts with `prefix`.

    Raises:
        UserError: if no record or several match, or if this version of the code cannot train the trial.
    """
    wanted, known = prefix.lower(), store.ids()
    matches = [wanted] if wanted in known else [trial_id for trial_id in known if trial_id.startswith(wanted)]
    if matches and len(wanted) < MIN_PREFIX:
        raise UserError(f"trial id '{prefix}': give at least {MIN_PREFIX} characters of it")
    if not matches:
        close = get_close_matches(wanted, known, n=MAX_SUGGESTIONS, cutoff=0.3)
        nearest = f"; nearest: {', '.join(close)}" if close else ""
        raise UserError(
            f"no trial '{prefix}' among the {len(known)} records in {store.folder}{nearest}; --workspace says where to"
            " look, and results.csv of a report lists the ids"
        )
    if len(matches) > 1:
        raise UserError(f"trial id '{prefix}' is ambiguous: {', '.join(matches)}")
    return _trainable_record(store, matches[0])


def _trainable_record(store: RecordStore, trial_id: str) -> TrialRecord:
    """The record, if this version of the code can train its trial."""
    raw: dict[str, Any] = {}
    with suppress(OSError, ValueError, TypeError):
        raw = dict(json.loads(store.path(trial_id).read_bytes()))
    version = _section(raw, "spec").get("version", RECIPE_VERSION)
    source = _section(raw, "environment").get("source")
    revision = source if isinstance(source, str) and len(source) < MAX_REVISION else "unknown"
    made_by = f"it was made with revision {revision} of this project"
    if version != RECIPE_VERSION:
        raise UserError(
            f"trial {trial_id} is of recipe version {str(version)[:MAX_REVISION]}, and this code trains version"
            f" {RECIPE_VERSION}, with other numbers; {made_by}: check that out to run it again"
        )
    try:
        record = store.read(trial_id)
    except UserError as error:
        raise UserError(f"{error}" + (f"; {made_by}" if raw else "")) from None
    if record is None:
        raise UserError(f"{store.path(trial_id)}: the record was removed while it was read; run the command again")
    try:
        _check_recipe(record.spec)
    except (UserError, ValidationError) as error:
        raise UserError(f"trial {trial_id}: this code does not know its recipe; {made_by}\n{error}") from None
    return record


def _section(raw: dict[str, Any], key: str) -> dict[str, Any]:
    section = raw.get(key)
    return section if isinstance(section, dict) else {}


def _check_recipe(spec: TrialSpec) -> None:
    """Raise UserError or ValidationError if a plug-in of the recipe is not registered or refuses its options."""
    registry.methods[spec.method].Options.model_validate(spec.options)
    registry.networks[spec.network].Options.model_validate(spec.network_options)
    registry.datasets.check(spec.dataset)
    list(bind_metrics(spec.protocol))


def readable_records(store: RecordStore) -> Iterator[TrialRecord]:
    """All records of a store, without the damaged ones."""
    for trial_id in store.ids():
        with suppress(UserError):
            record = store.read(trial_id)
            if record is not None:
                yield record


def retrain(recorded: TrialRecord, workspace: Workspace, data_dir: Path, console: Console) -> TrialRecord:
    """Train a recorded trial from its first step, with as many threads as before and on a GPU if it was on one.

    The new record goes to `workspace.reproductions`. A training that is stopped resumes from its last checkpoint, as
    long as the machine, the package versions and the source are unchanged.

    Raises:
        UserError: before the training, if data is missing or the workspace is not writable.
        ResultsNotStored: if the new record cannot be stored.
    """
    spec = recorded.spec
    if message := find_missing([spec], workspace, data_dir).message:
        raise UserError(message)
    require_writable(workspace.root, "--workspace")
    resources = _recorded_resources(recorded)
    scratch = workspace.reproductions / f".{spec.trial_id}"
    fingerprint = content_hash(environment.describe("cuda" if resources.gpus else "cpu", resources.cpus))
    jobs = make_jobs([spec], workspace=workspace, data_dir=data_dir, resources=resources, scratch=scratch / fingerprint)
    view = LiveView({spec.trial_id: TrialLine(label=spec.name, steps=spec.steps)}, console)
    sink = ResultSink(store=RecordStore(workspace.reproductions))
    with view.live(), sink.flushing():
        InProcessRunner().run(jobs, [sink, view])
    if sink.pending:
        raise ResultsNotStored(sink.pending_message())
    record = sink.store.read(spec.trial_id)
    assert record is not None
    if record.status != "failed":
        shutil.rmtree(scratch, ignore_errors=True)
    return record


def _recorded_resources(recorded: TrialRecord) -> Resources:
    """The resources that the trial had: numbers may depend on the number of threads."""
    if recorded.cost:
        return Resources(cpus=recorded.cost.cpus, gpus=recorded.cost.gpus)
    return Resources(cpus=max(int(recorded.environment.get("threads", 1)), 1))
