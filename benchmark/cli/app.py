"""The commands. Bad input exits with code 2 and one message; a failed trial makes `run` exit with code 1."""

import errno
import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmark import __version__
from benchmark.cli import datasets, track
from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    AddressOption,
    CalibrateOption,
    DataOption,
    JsonOption,
    OnlyOption,
    ReportOption,
    RunnerOption,
    ScaleOption,
    SeedsOption,
    StorageOption,
    SuiteArgument,
    WorkspaceOption,
    console,
    print_error,
    print_json,
    print_status,
    report_folder,
    status,
)
from benchmark.config.suite import Suite, load_suite, select_cells
from benchmark.core.errors import ClusterLost, ResultsNotStored, UserError
from benchmark.core.memory import gc_disabled, gc_frozen
from benchmark.store.workspace import Workspace, absolute, require_writable

app = typer.Typer(
    name="benchmark",
    help="The reproducibility benchmark for self-supervised GANs: published beside measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SUITES = Path("suites")
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE}  # by a disk


@app.command()
def run(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    runner: RunnerOption = "ray",
    address: AddressOption = None,
    storage: StorageOption = None,
) -> None:
    """Train what is missing of a suite, then render its leaderboard."""
    from benchmark.execution.signals import sigterm_as_interrupt

    session = _session(suite, workspace, data_dir, report_dir, scale, seeds, only)
    try:
        with sigterm_as_interrupt():
            session = _placed(session, address, storage)
            plan = session.plan()
            _print_plan(plan)
            records, page = session.run_and_render(runner, plan)
    except KeyboardInterrupt:
        print_error("stopped; results and checkpoints are kept, and the same command continues with what is missing")
        raise typer.Exit(130) from None
    except ClusterLost as error:
        print_error(f"{error}; results and checkpoints are kept, and the same command continues with what is missing")
        raise typer.Exit(1) from None
    _print_results(session.suite, records)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    failed = [record for record in records.values() if record.status == "failed"]
    if failed:
        print_error(
            f"{len(failed)} of {len(session.suite.specs)} trials failed; see the report. `run` tries them again."
        )
        raise typer.Exit(1)


@app.command()
def plan(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    calibrate: CalibrateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would do, what is missing and what it would cost. Trains nothing."""
    made = _session(suite, workspace, data_dir, None, scale, seeds, only).plan()
    if calibrate:
        _calibrate(made, Workspace.at(workspace), data_dir)
    if as_json:
        print_json(made.as_json())
        return
    _print_plan(made)
    if made.missing.message:
        console.print(made.missing.message, markup=False, highlight=False, soft_wrap=True)


@app.command()
def report(
    suite: Annotated[Path | None, typer.Argument(help="A suite file; none with --compare of two suites.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B", help="Set two workspaces, or two suites, side by side instead; in reports/compare/."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts; with --compare.")] = False,
) -> None:
    """Render the leaderboard from what is stored, at any time, also while trials run; or compare two of them."""
    if compare is not None:
        from benchmark.cli import compare as cli_compare

        made = cli_compare.comparison(suite, compare, workspace, scale, seeds, only or ())
        cli_compare.show(made, report_dir or Path("reports") / "compare", as_json)
        return
    if suite is None or as_json:
        raise UserError("report: name a suite file" if suite is None else "report --json: only with --compare A B")
    session = _session(suite, workspace, data_dir, report_dir, scale, seeds, only)
    records = session.shown_records()
    with gc_frozen():  # records are many, and stay
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
    from benchmark.cli import methods as method_page
    from benchmark.config.recipes import recipes_of

    if name is None and dataset is not None:
        raise UserError("--dataset: also name the method whose recipes to print")
    recipes = recipes_of(name, dataset, SUITES) if name else []
    if as_json:
        recipe_list = [recipe.as_json() for recipe in recipes]
        print_json({**method_page.entry(name), "recipes": recipe_list} if name else method_page.entries())
        return
    console.print(*(method_page.page(name, recipes, SUITES) if name else [method_page.listed()]), sep="\n")


@app.command()
def papers(
    name: Annotated[
        str | None, typer.Argument(help="A paper, to see its tables and where each value was read.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the papers whose published values are known, or print one's tables, each value with its source."""
    from benchmark.cli import papers as papers_page
    from benchmark.config.published import find_paper

    folder = SUITES / "papers"
    if as_json:
        found = {name: find_paper(folder, name)} if name else papers_page.all_papers(folder)
        entries = {key: papers_page.entry(paper) for key, paper in found.items()}
        print_json(entries[name] if name else entries)
        return
    page = papers_page.page(folder, name) if name else papers_page.listed(papers_page.all_papers(folder))
    console.print(*page, sep="\n")


@app.command()
def reproduce(
    trial_id: Annotated[str, typer.Argument(help="A trial id, or the first four or more characters of one.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Train a recorded trial again and say whether the numbers are the same, and what differs around it.

    Exit code 0: the same to the bit, or within noise. 1: different, or it failed.
    """
    from benchmark.analysis.reproduction import ReproductionVerdict, judge_reproduction
    from benchmark.cli.reproduce import page
    from benchmark.execution import rerun
    from benchmark.store.record_store import RecordStore

    place = Workspace.at(workspace)
    store = RecordStore(place.results)
    recorded = rerun.find(store, trial_id)
    shown = Console(stderr=True) if as_json else console
    try:
        again = rerun.retrain(recorded, place, absolute(data_dir, "--data-dir"), shown)
    except KeyboardInterrupt:
        print_error("stopped; the same command goes on from the last checkpoint, if there is one yet")
        raise typer.Exit(130) from None
    made = judge_reproduction(recorded, again, rerun.same_recipe_records(store))
    if as_json:
        print_json(made.as_json())
    else:
        console.print(*page(made), sep="\n", soft_wrap=True)
        console.print(
            f"record: {RecordStore(place.reproductions).path(again.trial_id)}", highlight=False, soft_wrap=True
        )
    if made.verdict not in (ReproductionVerdict.IDENTICAL, ReproductionVerdict.WITHIN_NOISE):
        raise typer.Exit(1)


app.add_typer(datasets.app, name="datasets")
app.add_typer(track.app, name="track")


@app.command()
def doctor(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    metrics: Annotated[bool, typer.Option("--metrics", help="Hold the metrics against what is known instead.")] = False,
    samples: Annotated[
        int | None, typer.Option(min=100, help="With --metrics: a quick look at so many images.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what was found on this machine, and what is missing for which suite.

    With --metrics: exit code 1 when a check fails, 2 when Inception or CIFAR-10 is missing.
    """
    place, data = Workspace.at(workspace), absolute(data_dir, "--data-dir")
    if metrics:
        _check_metrics(place, data, samples, as_json)
        return
    if samples is not None:
        raise UserError("--samples: is of --metrics only")
    from benchmark.diagnostics.doctor import run_doctor

    found = run_doctor(place, data, SUITES)
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


@gc_disabled()
def _session(
    path: Path,
    workspace: Path,
    data_dir: Path,
    report_dir: Path | None,
    scale: str | None,
    seeds: int | None,
    only: list[str] | None,
) -> Any:
    suite = select_cells(load_suite(path, scale, seeds), only or ())
    from benchmark.execution.suite_run import SuiteRun

    folder, data = report_folder(report_dir, suite), absolute(data_dir, "--data-dir")
    return SuiteRun(suite, Workspace.at(workspace), data, folder, console)


def _placed(session: Any, address: str | None, storage: str | None) -> Any:
    """The session in a cluster, or with a storage whose records it has taken over."""
    from benchmark.execution.remote_storage import RemoteFiles

    placed = replace(session, address=address, storage=RemoteFiles.at(storage) if storage else None)
    placed.pull()
    return placed


def _check_metrics(workspace: Workspace, data_dir: Path, samples: int | None, as_json: bool) -> None:
    from benchmark.diagnostics.metrics import check_metrics, summary

    with status() as told:
        verdict = check_metrics(workspace, data_dir, samples, told)
    if as_json:
        print_json(verdict.as_json())
    else:
        console.print(verdict.table())
    said = summary(verdict)
    if verdict.failed:
        print_error(said)
        raise typer.Exit(1)
    if not as_json:
        console.print(said, highlight=False)


def _calibrate(plan: Any, workspace: Workspace, data_dir: Path) -> None:
    """Time what is not known yet; progress goes to standard error, where it is in nobody's way."""
    from benchmark.planning.calibrate import calibrate

    require_writable(workspace.root, "--workspace")
    try:
        calibrate(plan, absolute(data_dir, "--data-dir"), print_status)
    except KeyboardInterrupt:
        print_error("stopped; what was timed is kept, and the same command continues with what is missing")
        raise typer.Exit(130) from None


def _print_plan(plan: Any) -> None:
    from benchmark.cli.plan import shown

    console.print(shown(plan))


def _print_results(suite: Suite, records: Any) -> None:
    from benchmark.report.render import summary_table

    console.print(summary_table(suite, records))


def main() -> None:
    """Entry point: user errors become one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold bytes that are no text
    try:
        app()
    except UserError as error:
        print_error(f"error: {error}")
        sys.exit(2)
    except ResultsNotStored as error:
        print_error(f"error: {error}")
        sys.exit(1)
    except PermissionError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"error: {where}{error.strerror or error}; make it accessible, or choose another place")
        sys.exit(2)
    except BrokenPipeError:  # `benchmark methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a name too long, a loop of links, a full disk
        where = f"{error.filename}: " if error.filename else ""
        advice = "; make room there, or choose another place, and run it again" if error.errno in REFUSED else ""
        print_error(f"error: {where}{error.strerror or error}{advice}")
        sys.exit(2)
