"""The commands. Bad input exits with code 2 and one message; a failed trial makes `run` exit with code 1."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import __version__, cli_datasets
from benchmark.cli_options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    CalibrateOption,
    DataOption,
    JsonOption,
    ReportOption,
    RunnerOption,
    ScaleOption,
    SeedsOption,
    SuiteArgument,
    WorkspaceOption,
    complain,
    console,
    print_json,
    tell,
)
from benchmark.errors import UserError
from benchmark.suite import Suite, load_suite
from benchmark.workspace import Workspace, require_writable

app = typer.Typer(
    name="benchmark",
    help="The reproducibility benchmark for self-supervised GANs: published beside measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SUITES = Path("suites")


@app.command()
def run(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    runner: RunnerOption = "ray",
) -> None:
    """Train what is missing of a suite, then render its leaderboard."""
    session = _session(suite, workspace, data_dir, report_dir, scale, seeds)
    plan = session.plan()
    _print_plan(plan)
    try:
        records = session.run(runner, plan)
    except KeyboardInterrupt:
        complain("stopped; results and checkpoints are kept, and the same command continues with what is missing")
        raise typer.Exit(130) from None
    page = session.render(records)
    _print_results(session.suite, records)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    failed = [record for record in records.values() if record.status == "failed"]
    if failed:
        complain(f"{len(failed)} of {len(session.suite.specs)} trials failed; see the report. `run` tries them again.")
        raise typer.Exit(1)


@app.command()
def plan(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    calibrate: CalibrateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would do, what is missing and what it would cost. Trains nothing."""
    made = _session(suite, workspace, data_dir, None, scale, seeds).plan()
    if calibrate:
        _calibrate(made, Workspace.at(workspace), data_dir)
    if as_json:
        print_json(made.as_json())
        return
    _print_plan(made)
    for problem in made.missing_data.values():
        console.print(problem, markup=False, highlight=False, soft_wrap=True)


@app.command()
def report(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
) -> None:
    """Render the leaderboard from what is stored, at any time, also while trials run."""
    session = _session(suite, workspace, data_dir, report_dir, scale, seeds)
    records = session.shown_records()
    page = session.render(records)
    _print_results(session.suite, records)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="A method, to see every constant of its recipes.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only recipes for this dataset.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the methods that suites can name, or print one with its recipes, every constant with its source."""
    from benchmark import method_page
    from benchmark.recipes import recipes_of

    if name is None and dataset is not None:
        raise UserError("--dataset: also name the method whose recipes to print")
    recipes = recipes_of(name, dataset, SUITES) if name else []
    if as_json:
        recipe_list = [recipe.as_json() for recipe in recipes]
        print_json({**method_page.entry(name), "recipes": recipe_list} if name else method_page.entries())
        return
    console.print(*(method_page.page(name, recipes, SUITES) if name else [method_page.listed()]), sep="\n")


app.add_typer(cli_datasets.app, name="datasets")


@app.command()
def doctor(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Tell what was found on this machine, and what is missing for which suite."""
    from benchmark.doctor import examine

    found = examine(Workspace.at(workspace), data_dir.expanduser().absolute(), SUITES)
    if as_json:
        print_json(found.as_json())
        return
    console.print(found.table())


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The reproducibility benchmark for self-supervised GANs: published beside measured."""
    if show:
        console.print(__version__, highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        console.print(context.get_help())
        raise typer.Exit


def _session(
    path: Path,
    workspace: Path,
    data_dir: Path,
    report_dir: Path | None,
    scale: str | None,
    seeds: int | None,
) -> Any:
    suite = load_suite(path, scale, seeds)
    from benchmark.session import Session

    folder = report_dir or Path("reports") / suite.name
    return Session(suite, Workspace.at(workspace), data_dir.expanduser().absolute(), folder, console)


def _calibrate(plan: Any, workspace: Workspace, data_dir: Path) -> None:
    """Time what is not known yet; progress goes to standard error, where it is in nobody's way."""
    from benchmark.calibrate import calibrate

    require_writable(workspace.root, "--workspace")
    try:
        calibrate(plan, data_dir.expanduser().absolute(), tell)
    except KeyboardInterrupt:
        complain("stopped; what was timed is kept, and the same command continues with what is missing")
        raise typer.Exit(130) from None


def _print_plan(plan: Any) -> None:
    from benchmark.plan_table import shown

    console.print(shown(plan))


def _print_results(suite: Suite, records: Any) -> None:
    from benchmark.report import summary_table

    console.print(summary_table(suite, records))


def main() -> None:
    """Entry point: user errors become one message and exit code 2."""
    try:
        app()
    except UserError as error:
        complain(f"error: {error}")
        sys.exit(2)
    except BrokenPipeError:  # `benchmark methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
