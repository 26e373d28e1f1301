"""What `reproduce` prints."""

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.analysis.reproduction import MetricDifference, Reproduction, ReproductionVerdict

STYLES = {
    ReproductionVerdict.IDENTICAL: "green",
    ReproductionVerdict.WITHIN_NOISE: "green",
    ReproductionVerdict.DIFFERENT: "yellow",
    ReproductionVerdict.FAILED: "red",
}


def page(made: Reproduction) -> Iterator[RenderableType]:
    """The metrics side by side, where the trainings part, what differs around them, and the verdict at the end."""
    yield _metrics(made)
    yield Text(f"{made.n_identical} of {made.n_compared} groups of numbers are the same to the bit")
    if made.first_divergence:
        yield Text(f"the trainings part first in {made.first_divergence}")
    if made.environment_changes:
        yield _table("What differs around the training", ("", "recorded", "again"), made.environment_changes)
    else:
        yield Text("nothing that is recorded of machine, versions, source, data and instruments differs")
    for doubt in made.caveats:
        yield Text(f"note: {doubt}")
    yield Text(f"{made.verdict.value}: ", style=STYLES[made.verdict]) + Text(made.reason, style="default")


def _metrics(made: Reproduction) -> Table:
    rows = [(f.key, _number(f.recorded), _number(f.again), _number(f.difference), _noise(f)) for f in made.metrics]
    title = f"{made.recorded.spec.name} ({made.recorded.trial_id})"
    return _table(title, ("metric", "recorded", "again", "difference", "chance explains up to"), rows)


def _noise(finding: MetricDifference) -> str:
    if finding.noise is None:
        return "not known"
    return f"{finding.noise.bound:.6g} ({finding.noise.n} {finding.noise.source})"


def _number(value: float | None) -> str:
    return "-" if value is None else repr(value)


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
