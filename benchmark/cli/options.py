"""What all commands share: options, and how they speak."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from benchmark.config.suite import RunnerName, Suite
from benchmark.core.errors import printable
from benchmark.store.workspace import DATA_VARIABLE, DEFAULT_DATA, DEFAULT_WORKSPACE, WORKSPACE_VARIABLE

__all__ = ["DEFAULT_DATA", "DEFAULT_WORKSPACE"]  # with the options that they are the defaults of

Told = Callable[[str, int, int | None], None]  # what, how much of it is done, of how much
console = Console(width=None if sys.stdout.isatty() else 120)


def _folder(text: str | Path) -> Path:
    """Refuses an empty name, which would silently be the working directory: an unset variable, as a rule."""
    if not str(text):
        raise typer.BadParameter("the name of the folder is empty")
    return Path(text)


SuiteArgument = Annotated[Path, typer.Argument(help="A suite file, for example suites/quickstart.yaml.")]
WorkspaceOption = Annotated[
    Path,
    typer.Option(
        envvar=WORKSPACE_VARIABLE,
        parser=_folder,
        metavar="DIR",
        help="Results, checkpoints, prepared data and the MLflow store live here.",
    ),
]
DataOption = Annotated[
    Path,
    typer.Option(
        envvar=DATA_VARIABLE, parser=_folder, metavar="DIR", help="Where the raw files of datasets are looked for."
    ),
]
ReportOption = Annotated[Path | None, typer.Option(parser=_folder, metavar="DIR", help="Default: reports/<suite>/.")]
ScaleOption = Annotated[str | None, typer.Option(help="A scale of the suite; default: its first.")]
SeedsOption = Annotated[int | None, typer.Option(min=1, max=1000, help="Train seeds 0 .. N-1 instead of the suite's.")]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TABLE/ROW",
        help="Only this cell, or every row of that name; can be repeated. The report goes to reports/<suite>-only/.",
    ),
]
RunnerOption = Annotated[RunnerName, typer.Option(help="Where trials run. Both give the same numbers.")]
AddressOption = Annotated[
    str | None,
    typer.Option(metavar="auto|HOST:PORT", help="Run the trials in the Ray cluster there, which goes on afterwards."),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="A folder or s3://BUCKET/FOLDER for results and checkpoints, where nodes share no disk."
    ),
]
CalibrateOption = Annotated[
    bool, typer.Option("--calibrate", help="Time what is not known yet: some seconds a kind of trial, kept.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def report_folder(chosen: Path | None, suite: Suite) -> Path:
    """Where the report of a suite stands; that of a part of it never takes the place of the whole."""
    return chosen or Path("reports") / (f"{suite.name}-only" if suite.only else suite.name)


def print_json(value: Any) -> None:
    """For scripts, to standard output."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def print_status(text: str) -> None:
    """For people, to standard error: how something is going on."""
    Console(stderr=True).print(printable(text), markup=False, highlight=False, soft_wrap=True)


def print_error(text: str) -> None:
    """For people, in red, to standard error."""
    Console(stderr=True).print(printable(text), markup=False, highlight=False, soft_wrap=True, style="red")


@contextmanager
def status() -> Iterator[Told]:
    """A bar for each thing that is under way."""
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:

        def told(what: str, done: int, total: int | None) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        yield told
