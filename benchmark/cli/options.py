"""The arguments and options that several commands share, and how they are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from benchmark.cli.logs import live_console
from benchmark.config.suite import RunnerName, Suite, load_suite, select_cells
from benchmark.core.errors import UserError
from benchmark.store.workspace import (
    DATA_VARIABLE,
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    WORKSPACE_VARIABLE,
    Workspace,
    absolute,
)

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.execution.suite_run import SuiteRun

__all__ = ["DEFAULT_DATA", "DEFAULT_WORKSPACE"]  # with the options that they are the defaults of

SUITES = Path("suites")


def _folder(text: str | Path) -> Path:
    """Refuse an empty name, which would silently be the working directory: usually an unset variable."""
    if not str(text):
        raise typer.BadParameter("the name of the folder is empty")
    return Path(text)


SuiteArgument = Annotated[
    Path, typer.Argument(metavar="SUITE", help="A suite file, for example suites/quickstart.yaml.", show_default=False)
]
WorkspaceOption = Annotated[
    Path,
    typer.Option(
        envvar=WORKSPACE_VARIABLE,
        parser=_folder,
        metavar="DIR",
        help="The folder of results, checkpoints, prepared data and the MLflow store.",
    ),
]
DataOption = Annotated[
    Path,
    typer.Option(
        envvar=DATA_VARIABLE, parser=_folder, metavar="DIR", help="The folder of the raw dataset files and weights."
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(parser=_folder, metavar="DIR", help="The folder of the report. Default: reports/SUITE/."),
]
ScaleOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="One of the suite's scales. Default: the suite's first.")
]
SeedsOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1000, help="Use seeds 0 to N-1 instead of the suite's own.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TABLE/ROW",
        help="Use only this cell, or every row of this name. Repeat the option for several. The report goes to"
        " reports/SUITE-only/.",
    ),
]
UntilDecidedOption = Annotated[
    bool,
    typer.Option(
        "--until-decided",
        help="Add seeds to every judged cell until it is decided or has --max-seeds, with a correction for the repeated"
        " looks.",
    ),
]
MaxSeedsOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1000, help="The most seeds of a cell, with --until-decided.")
]
RunnerOption = Annotated[
    RunnerName,
    typer.Option(
        metavar="|".join(get_args(RunnerName)),
        help="Train in parallel with Ray, or one trial after the other in this process; same numbers.",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(metavar="auto|HOST:PORT", help="Train on this running Ray cluster, and leave it running."),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="A folder or s3://BUCKET/FOLDER that holds results and checkpoints of nodes without a shared filesystem.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def examples(*commands: str) -> str:
    """The epilog of a command's help: command lines without `python -m benchmark`."""
    return "\n\n".join(["Examples:", *(f"$ python -m benchmark {command}" for command in commands)])


def load_cells(path: Path, scale: str | None, seeds: int | None, only: list[str] | None) -> Suite:
    """The suite of a file, at a scale, with the selected cells only. Raises UserError."""
    return select_cells(load_suite(path, scale, seeds), only or ())


def limit_of_seeds(until_decided: bool, max_seeds: int | None) -> int | None:
    """The limit of `--until-decided`; None without that option. Raises UserError unless both options go together."""
    if until_decided and max_seeds is None:
        raise UserError("--until-decided: also state the most seeds that a cell may get, for example --max-seeds 10")
    if max_seeds is not None and not until_decided:
        raise UserError(f"--max-seeds {max_seeds}: goes with --until-decided only; --seeds sets a fixed number")
    return max_seeds


def report_folder(chosen: Path | None, suite: Suite) -> Path:
    """The report's folder. The report of some cells never replaces that of the whole suite."""
    return chosen or Path("reports") / (f"{suite.name}-only" if suite.only else suite.name)


def open_suite(
    path: Path,
    workspace: Path,
    data_dir: Path,
    report_dir: Path | None,
    scale: str | None,
    seeds: int | None,
    only: list[str] | None,
) -> "SuiteRun":
    """A suite with its folders. Raises UserError if the suite or a path is invalid."""
    suite = load_cells(path, scale, seeds, only)
    from benchmark.execution.suite_run import SuiteRun

    folder, data = report_folder(report_dir, suite), absolute(data_dir, "--data-dir")
    return SuiteRun(
        suite=suite, workspace=Workspace.at(workspace), data_dir=data, report_dir=folder, console=live_console()
    )
