"""`run`: train what a suite lacks, then write its report."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from benchmark.cli.logs import print_error, print_line, stdout, stoppable
from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    AddressOption,
    DataOption,
    MaxSeedsOption,
    OnlyOption,
    ReportOption,
    RunnerOption,
    ScaleOption,
    SeedsOption,
    StorageOption,
    SuiteArgument,
    UntilDecidedOption,
    WorkspaceOption,
    examples,
    limit_of_seeds,
    open_suite,
)
from benchmark.cli.plan import render_plan
from benchmark.core.errors import ClusterLost

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.config.suite import Suite
    from benchmark.planning.plan import Plan
    from benchmark.store.records import TrialRecord

app = typer.Typer()
KEPT = "results and checkpoints are kept, and the same command continues"


@app.command(
    epilog=examples(
        "run suites/quickstart.yaml",
        "run suites/quickstart.yaml --only Line/SSGAN --seeds 10",
        "run suites/neurips2019.yaml --until-decided --max-seeds 10",
    )
)
def run(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    until_decided: UntilDecidedOption = False,
    max_seeds: MaxSeedsOption = None,
    runner: RunnerOption = "ray",
    address: AddressOption = None,
    storage: StorageOption = None,
) -> None:
    """Train the trials of a suite that have no result yet, then write its report.

    Results and checkpoints are stored as they arrive, so you can stop with Ctrl-C and run the same command again to
    resume. Exit code 1: a trial failed, or a result could not be stored.
    """
    from benchmark.execution.remote_storage import RemoteFiles

    limit = limit_of_seeds(until_decided, max_seeds)
    suite_run = open_suite(suite, workspace, data_dir, report_dir, scale, seeds, only)
    try:
        with stoppable(KEPT):
            suite_run = replace(suite_run, address=address, storage=RemoteFiles.at(storage) if storage else None)
            for look in suite_run.looks(limit) if limit else [suite_run]:
                look.pull()
                plan = look.plan()
                for line in looks_due(plan):
                    print_line(line)
                stdout.print(render_plan(plan))
                records, path = look.run_and_report(runner, plan)
    except ClusterLost as error:
        print_error(f"{error}; {KEPT}")
        raise typer.Exit(1) from None
    print_results(look.suite, records, path)
    if limit:
        print_line(looks_summary(look.suite, records))
    failed = sum(record.status == "failed" for record in records.values())
    if failed:
        print_error(f"{failed} of {len(look.suite.specs)} trials failed; see the report. `run` retries them.")
        raise typer.Exit(1)


def print_results(suite: "Suite", records: "Mapping[str, TrialRecord]", path: Path) -> None:
    """Print the leaderboard, and the path of the report."""
    from benchmark.report.render import summary_table

    stdout.print(summary_table(suite, records))
    print_line(f"report: {path}")


def looks_due(plan: "Plan") -> Iterator[str]:
    """The looks that wait for trials of the plan, one line for each number of seeds."""
    waiting = (cell for cell in plan.suite.cells if cell.looks and any(s.trial_id in plan.todo for s in cell.specs))
    for seeds, cells in sorted(Counter(cell.looks[-1] for cell in waiting).items()):
        yield f"next look: at {seeds} seeds, for {cells} of {len(plan.suite.cells)} cells"


def looks_summary(suite: "Suite", records: "Mapping[str, TrialRecord]") -> str:
    """How many judged cells are decided, and why the others are not: one line."""
    from benchmark.analysis.leaderboard import leaderboard_rows
    from benchmark.planning.looks import cell_state

    rows = [row for row in leaderboard_rows(suite, records) if row.cell.looks]
    states = Counter(cell_state(row, suite.max_seeds or 0) for row in rows)
    trials = sum(row.counts.total for row in rows)
    by_state = "; ".join(f"{count} {state.value}" for state, count in states.items())
    return f"judged cells: {len(rows)}, with {trials} seeds; {by_state}"
