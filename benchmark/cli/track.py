"""`track sync`: MLflow brought up to date with the store, at any time."""

import json
from contextlib import suppress
from pathlib import Path

import typer

from benchmark.cli.options import (
    DEFAULT_WORKSPACE,
    OnlyOption,
    ReportOption,
    ScaleOption,
    SeedsOption,
    SuiteArgument,
    WorkspaceOption,
    console,
    print_error,
    report_folder,
)
from benchmark.config.suite import Suite, load_suite, select_cells
from benchmark.store.workspace import Workspace

app = typer.Typer(no_args_is_help=True)


@app.callback()
def track() -> None:
    """The mirror of results in MLflow."""


@app.command()
def sync(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
) -> None:
    """Write to MLflow what it lacks of a suite: every stored record, and the report if one is rendered.

    `run` does it by itself; this is for after a time when MLflow was away. Exit code 1: MLflow could not be reached.
    """
    loaded = select_cells(load_suite(suite, scale, seeds), only or ())
    from benchmark.store.record_store import RecordStore
    from benchmark.tracking.mirror import MLflowMirror
    from benchmark.tracking.writer import REPORT

    place = Workspace.at(workspace)
    records = RecordStore(place.results).read_without_samples(loaded.specs)
    if not records:
        _say(f"nothing to mirror: no trial of {loaded.path} has a record in {place.results}")
        return
    folder = report_folder(report_dir, loaded)
    mirror = MLflowMirror(loaded, place)
    mirror.sync(records.values())
    rendered = _is_of(folder, loaded)
    if rendered:
        mirror.submit_report(folder)
    try:
        mirror.close(timeout=None)
    except KeyboardInterrupt:
        print_error("stopped; the same command goes on with what is missing")
        raise typer.Exit(130) from None
    new = [name for name in mirror.synced_ids if name != REPORT]
    told = "not rendered yet" if not rendered else "written" if REPORT in mirror.synced_ids else "there already"
    if mirror.last_error:
        print_error(
            f"MLflow: {len(new)} of {len(records)} trials written; {mirror.last_error}; run the same command again"
        )
        raise typer.Exit(1)
    _say(f"MLflow at {mirror.uri}: {len(new)} of {len(records)} trials written, the others were there; report {told}")
    _say(mirror.ui_hint)


def _is_of(folder: Path, suite: Suite) -> bool:
    """Whether a folder holds the report of this suite at this scale."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / "results.json").read_bytes())
        return isinstance(found, dict) and (found.get("suite"), found.get("scale")) == (suite.name, suite.scale)
    return False


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
