"""`reproduce`: train a recorded trial again and compare the numbers."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.cli.logs import live_console, print_json, print_line, stdout, stoppable
from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    DataOption,
    JsonOption,
    WorkspaceOption,
    examples,
)
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace, absolute

if TYPE_CHECKING:  # importing it for real would load numpy
    from benchmark.analysis.reproduction import MetricDifference, Reproduction

app = typer.Typer()


@app.command(epilog=examples("reproduce e1439184cfc7a5c8", "reproduce e143 --json"))
def reproduce(
    trial_id: Annotated[
        str,
        typer.Argument(metavar="TRIAL_ID", help="A trial id, or at least its first four characters."),
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Train a recorded trial again and report whether the numbers agree, and what differs in the environment.

    The new record is stored beside the old one and replaces nothing; `results.csv` of a report lists the trial ids.
    Exit code 0: bit-identical, or within noise. 1: different, or the training failed.
    """
    from benchmark.analysis.reproduction import ReproductionVerdict, judge_reproduction
    from benchmark.execution import rerun

    place = Workspace.at(workspace)
    store = RecordStore(place.results)
    recorded = rerun.find_record(store, trial_id)
    with stoppable("the same command resumes from the last checkpoint, if there is one"):
        again = rerun.retrain(recorded, place, absolute(data_dir, "--data-dir"), live_console())
    result = judge_reproduction(recorded, again, rerun.readable_records(store))
    if as_json:
        print_json(result.as_json())
    else:
        stdout.print(*render(result), sep="\n", soft_wrap=True)
        print_line(f"record: {RecordStore(place.reproductions).path(again.trial_id)}")
    if result.verdict not in (ReproductionVerdict.IDENTICAL, ReproductionVerdict.WITHIN_NOISE):
        raise typer.Exit(1)


def render(result: "Reproduction") -> Iterator[RenderableType]:
    """The metrics of both trainings, the first difference, what differs in the environment, and the verdict."""
    styles = {"IDENTICAL": "green", "WITHIN_NOISE": "green", "DIFFERENT": "yellow", "FAILED": "red"}
    metrics = [(f.key, _number(f.recorded), _number(f.again), _number(f.difference), _noise(f)) for f in result.metrics]
    title = f"{result.recorded.spec.name} ({result.recorded.trial_id})"
    yield _table(title, ("metric", "recorded", "again", "difference", "chance explains up to"), metrics)
    yield Text(f"{result.n_identical} of {result.n_compared} groups of numbers are bit-identical")
    if result.first_divergence:
        yield Text(f"the trainings first differ in {result.first_divergence}")
    if result.environment_changes:
        yield _table("What differs in the environment", ("", "recorded", "again"), result.environment_changes)
    else:
        yield Text("the recorded machine, versions, source, data and evaluation networks are the same")
    for caveat in result.caveats:
        yield Text(f"note: {caveat}")
    yield Text(f"{result.verdict.value}: ", style=styles[result.verdict.name]) + Text(result.reason, style="default")


def _noise(metric: "MetricDifference") -> str:
    if metric.noise is None:
        return "not known"
    return f"{metric.noise.bound:.6g} ({metric.noise.n} {metric.noise.source})"


def _number(value: float | None) -> str:
    return "-" if value is None else repr(value)


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
