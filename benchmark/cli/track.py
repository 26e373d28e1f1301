"""`track sync`: bring MLflow up to date with the stored results."""

import json
from contextlib import suppress
from pathlib import Path

import typer

from benchmark.cli.logs import print_error, print_line, stoppable
from benchmark.cli.options import (
    DEFAULT_WORKSPACE,
    OnlyOption,
    ReportOption,
    ScaleOption,
    SeedsOption,
    SuiteArgument,
    WorkspaceOption,
    examples,
    load_cells,
    report_folder,
)
from benchmark.config.suite import Suite
from benchmark.store.workspace import Workspace

app = typer.Typer()
track = typer.Typer(no_args_is_help=True, help="Keep the copy of the results in MLflow up to date.")
app.add_typer(track, name="track")


@track.callback()
def _track() -> None:
    """Keep `sync` a command of `track`, which is the only one."""


@track.command(epilog=examples("track sync suites/quickstart.yaml"))
def sync(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
) -> None:
    """Write to MLflow what it lacks of a suite: the records, and the report if there is one.

    `run` does this automatically; use it when MLflow was unreachable. Exit code 1: MLflow is still unreachable.
    """
    place = Workspace.at(workspace)
    from benchmark.planning.looks import with_recorded_looks
    from benchmark.store.record_store import RecordStore
    from benchmark.tracking.mirror import MLflowMirror
    from benchmark.tracking.writer import REPORT

    loaded = with_recorded_looks(load_cells(suite, scale, seeds, only), place)
    records = RecordStore(place.results).read_without_samples(loaded.specs)
    if not records:
        print_line(f"nothing to write to MLflow: no trial of {loaded.path} has a record in {place.results}")
        return
    folder = report_folder(report_dir, loaded)
    mirror = MLflowMirror(loaded, place)
    mirror.sync(records.values())
    has_report = _holds_report(folder, loaded)
    if has_report:
        mirror.submit_report(folder)
    with stoppable("the same command writes the rest"):
        mirror.close(timeout=None)
    count = f"{sum(name != REPORT for name in mirror.synced_ids)} of {len(records)} trials written"
    if mirror.last_error:
        print_error(f"MLflow: {count}; {mirror.last_error}; run the same command again")
        raise typer.Exit(1)
    state = "not rendered yet" if not has_report else "written" if REPORT in mirror.synced_ids else "already there"
    print_line(f"MLflow at {mirror.uri}: {count}, the others were already there; report {state}")
    print_line(mirror.ui_hint)


def _holds_report(folder: Path, suite: Suite) -> bool:
    """Whether a folder holds the report of this suite at this scale."""
    with suppress(OSError, ValueError):
        results = json.loads((folder / "results.json").read_bytes())
        return isinstance(results, dict) and (results.get("suite"), results.get("scale")) == (suite.name, suite.scale)
    return False
