"""What all commands share: options, and how they speak."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmark.suite import RunnerName

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
CalibrateOption = Annotated[
    bool, typer.Option("--calibrate", help="Time what is not known yet: some seconds a kind of trial, kept.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

DEFAULT_WORKSPACE = Path("workspace")
DEFAULT_DATA = Path("data")


def print_json(value: Any) -> None:
    """For scripts, to standard output."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def tell(text: str) -> None:
    """For people, to standard error: how something is going on."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """For people, in red, to standard error."""
    text = text.encode(errors="backslashreplace").decode()  # a lone surrogate cannot be printed
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True, style="red")
