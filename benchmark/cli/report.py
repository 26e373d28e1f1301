"""`report`: write a suite's report from the stored results, or compare two sets of results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.logs import logger, print_json, print_line, stdout
from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    DataOption,
    OnlyOption,
    ReportOption,
    ScaleOption,
    SeedsOption,
    WorkspaceOption,
    examples,
    load_cells,
    open_suite,
)
from benchmark.cli.run import print_results
from benchmark.config.suite import Suite
from benchmark.core.errors import UserError
from benchmark.core.files import write_atomically
from benchmark.core.spec import RECIPE_VERSION
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace, require_writable

if TYPE_CHECKING:  # importing it for real would load NumPy, which help texts do not need
    from benchmark.analysis.compare import Comparison, ComparisonSide

app = typer.Typer()
USAGE = (
    "two workspaces with results of one suite: `report SUITE --compare WORKSPACE_A WORKSPACE_B`; two suites in one"
    " workspace: `report --compare SUITE_A SUITE_B`"
)
OptionalSuiteArgument = Annotated[
    Path | None, typer.Argument(metavar="SUITE", help="A suite file. Omit it to compare two suites.")
]
CompareOption = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="A B", help="Compare two workspaces, or two suites. The page goes to reports/compare/."),
]


@app.command(
    epilog=examples(
        "report suites/quickstart.yaml",
        "report suites/quickstart.yaml --compare workspace other_workspace",
        "report --compare suites/quickstart.yaml suites/methods.yaml",
    )
)
def report(
    suite: OptionalSuiteArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    report_dir: ReportOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    compare: CompareOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON; with --compare only.")] = False,
) -> None:
    """Write the report of a suite from the stored results. It trains nothing and may run while `run` is training."""
    if compare is not None:
        comparison = _compare(suite, compare, workspace, scale, seeds, only)
        _show_comparison(comparison, report_dir or Path("reports") / "compare", as_json)
        return
    if suite is None or as_json:
        advice = "give a suite file, or --compare A B" if suite is None else "--json goes with --compare A B only"
        raise UserError(f"report: {advice}")
    suite_run = open_suite(suite, workspace, data_dir, report_dir, scale, seeds, only).as_recorded()
    records = suite_run.report_records()
    missing = len(suite_run.suite.specs) - len(records)
    others = _records_of_other_versions(suite_run.workspace) if missing else ""
    if not records:
        root = suite_run.workspace.root
        raise UserError(f"{root}: has no results of {suite}; `run` trains them, and no report was written{others}")
    if others:
        logger.warning("%s: %d of its trials have no result%s", suite, missing, others)
    print_results(suite_run.suite, records, suite_run.render(records))


def _records_of_other_versions(workspace: Workspace) -> str:
    """The end of a message about missing results, if other versions of the recipes have trained in this workspace."""
    counts = sorted(RecordStore(workspace.results).recipe_versions().items())
    others = [f"{count} of recipe version {version}" for version, count in counts if version != RECIPE_VERSION]
    if not others:
        return ""
    return (
        f". This release trains recipe version {RECIPE_VERSION}, whose numbers differ (CHANGELOG.md says why). The"
        f" workspace also holds records of other versions ({', '.join(others)}): they stay as they are, and the release"
        " that made them reports them"
    )


def _compare(
    suite: Path | None,
    operands: tuple[Path, Path],
    workspace: Path,
    scale: str | None,
    seeds: int | None,
    only: list[str] | None,
) -> "Comparison":
    """Compare one suite in two workspaces, or two suites in one. Raises UserError for anything else."""
    from benchmark.analysis.compare import compare_runs

    for operand in operands:
        if not operand.exists():
            raise UserError(f"--compare {operand}: no such file or folder; {USAGE}")
    named = f"--compare {operands[0]} {operands[1]}"
    are_folders = [operand.is_dir() for operand in operands]
    if all(are_folders):
        if suite is None:
            raise UserError(f"{named}: also name the suite; {USAGE}")
        loaded = load_cells(suite, scale, seeds, only)
        sides = [_side(loaded, operand, str(operand)) for operand in operands]
    elif any(are_folders):
        raise UserError(f"{named}: one is a folder and the other a file; {USAGE}")
    elif suite is not None:
        raise UserError(f"{suite}: omit this suite, because --compare names two suites; {USAGE}")
    else:
        pair = [load_cells(operand, scale, seeds, only) for operand in operands]
        sides = [_side(loaded, workspace, str(loaded.path)) for loaded in pair]
    comparison = compare_runs(*sides)
    if not comparison.pairs:
        raise UserError(f"{named}: they have no cell in common, neither by name nor by method")
    return comparison


def _side(suite: Suite, folder: Path, name: str) -> "ComparisonSide":
    from benchmark.analysis.compare import ComparisonSide
    from benchmark.planning.looks import with_recorded_looks

    place = Workspace.at(folder)
    store = RecordStore(place.results)
    if not store.folder.is_dir():
        raise UserError(f"{folder}: not a workspace, because it has no results/; name a folder that --workspace named")
    recorded = with_recorded_looks(suite, place)
    return ComparisonSide(name, recorded, store.read_many(recorded.specs))


def _show_comparison(comparison: "Comparison", folder: Path, as_json: bool) -> None:
    from benchmark.report.compare import markdown, terminal

    require_writable(folder, "--report-dir")
    path = folder / "compare.md"
    write_atomically(path, markdown(comparison).encode("utf-8", errors="replace"))
    if as_json:
        print_json(comparison.as_json())
        return
    stdout.print(*terminal(comparison), sep="\n")
    print_line(f"report: {path}")
