"""The commands. Bad input exits with code 2 and one message; a failed trial makes `run` exit with code 1."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmark import __version__
from benchmark.errors import UserError
from benchmark.suite import RunnerName, Suite, load_suite
from benchmark.workspace import Workspace

app = typer.Typer(
    name="benchmark",
    help="The reproducibility benchmark for self-supervised GANs: published beside measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(width=None if sys.stdout.isatty() else 120)

SuiteArgument = Annotated[Path, typer.Argument(help="A suite file, for example suites/quickstart.yaml.")]
WorkspaceOption = Annotated[
    Path,
    typer.Option(envvar="SSGAN_WORKSPACE", help="Results, checkpoints, prepared data and the MLflow store live here."),
]
DataOption = Annotated[
    Path, typer.Option(envvar="SSGAN_DATA_DIR", help="Where the raw files of datasets are looked for.")
]
ReportOption = Annotated[Path | None, typer.Option(help="Default: reports/<suite>/.")]
ScaleOption = Annotated[str | None, typer.Option(help="A scale of the suite; default: its first.")]
SeedsOption = Annotated[int | None, typer.Option(min=1, max=1000, help="Train seeds 0 .. N-1 instead of the suite's.")]
RunnerOption = Annotated[RunnerName, typer.Option(help="Where trials run. Both give the same numbers.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

DEFAULT_WORKSPACE = Path("workspace")
DEFAULT_DATA = Path("data")
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
        _complain("stopped; results and checkpoints are kept, and the same command continues with what is missing")
        raise typer.Exit(130) from None
    page = session.render(records)
    _print_results(session.suite, records)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    failed = [record for record in records.values() if record.status == "failed"]
    if failed:
        _complain(f"{len(failed)} of {len(session.suite.specs)} trials failed; see the report. `run` tries them again.")
        raise typer.Exit(1)


@app.command()
def plan(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would do, what is missing and what it would cost. Starts and writes nothing."""
    made = _session(suite, workspace, data_dir, None, scale, seeds).plan()
    if as_json:
        _print_json(made.as_json())
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
    records = session.records()
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
        _print_json({**method_page.entry(name), "recipes": recipe_list} if name else method_page.entries())
        return
    console.print(*(method_page.page(name, recipes, SUITES) if name else [method_page.listed()]), sep="\n")


@app.command()
def datasets(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """List the datasets, and whether they are here."""
    from benchmark.doctor import dataset_states

    states = dataset_states(Workspace.at(workspace), data_dir.expanduser().absolute())
    if as_json:
        _print_json(states)
        return
    table = Table("dataset", "images", "state", "what it is", "source", box=None, pad_edge=False)
    for name, state in states.items():
        table.add_row(name, "x".join(map(str, state["shape"])), state["state"], state["about"], state["source"])
    console.print(table)


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
        _print_json(found.as_json())
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


def _print_plan(plan: Any) -> None:
    from benchmark.view import duration

    suite: Suite = plan.suite
    seconds = plan.seconds()
    todo, total = len(plan.todo), len(suite.specs)
    estimate = "nothing to train" if not todo else duration(seconds) if seconds is not None else "not known yet"
    console.print(
        f"{suite.title}\nscale {suite.scale}, {len(suite.cells)} cells, {total} trials:"
        f" {total - todo} done, {todo} to train; estimated time: {estimate}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _print_results(suite: Suite, records: Any) -> None:
    from benchmark.report import summary_table

    console.print(summary_table(suite, records))


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def _complain(text: str) -> None:
    text = text.encode(errors="backslashreplace").decode()  # a lone surrogate cannot be printed
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True, style="red")


def main() -> None:
    """Entry point: user errors become one message and exit code 2."""
    try:
        app()
    except UserError as error:
        _complain(f"error: {error}")
        sys.exit(2)
    except BrokenPipeError:  # `benchmark methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
