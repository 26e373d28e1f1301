"""`papers`: the papers with known published values, or one paper's tables, each value with its source."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.cli.logs import print_json, stdout
from benchmark.cli.options import SUITES, JsonOption, examples
from benchmark.config.published import (
    Paper,
    PublishedProtocol,
    PublishedReference,
    PublishedTable,
    PublishedValue,
    find_paper,
    load_paper,
    reference_rows,
    with_discrepancy_ids,
)
from benchmark.report.text import SPREADS, UNVERIFIED, UNVERIFIED_MEANING, published_value

app = typer.Typer()
FOLDER = SUITES / "papers"
FOOTNOTE = f"{UNVERIFIED} {UNVERIFIED_MEANING}"
OVERRIDABLE = ("status", "source", "dataset", "spread_kind", "n_seeds")  # facts of a table that a row may override


@app.command(epilog=examples("papers", "papers neurips2019"))
def papers(
    name: Annotated[
        str | None,
        typer.Argument(metavar="PAPER", help="A paper, to see its tables and where each value was read."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the papers whose published values are known, or show one paper's tables, each value with its source."""
    if name is not None:
        paper = find_paper(FOLDER, name)
        print_json(entry(paper)) if as_json else stdout.print(*render(name, paper), sep="\n")
        return
    known = all_papers(FOLDER)
    if as_json:
        print_json({key: entry(paper) for key, paper in known.items()})
    else:
        stdout.print(*render_list(known), sep="\n")


def all_papers(folder: Path) -> dict[str, Paper]:
    """Every paper of a folder by its file's name. Raises UserError about the first invalid file."""
    return {path.stem: load_paper(path) for path in sorted(folder.glob("*.yaml"))}


def entry(paper: Paper) -> dict[str, Any]:
    """A paper for scripts, with every value resolved."""
    tables = {name: [value.model_dump(mode="json") for value in values_of(paper, name)] for name in paper.tables}
    return {**paper.model_dump(mode="json", exclude={"tables"}), "tables": tables}


def values_of(paper: Paper, table: str) -> list[PublishedValue]:
    """The values of a table, row by row."""
    return [value for published in reference_rows(paper, table) for value in published.all_values]


def render_list(papers: dict[str, Paper]) -> Iterator[RenderableType]:
    """All papers, one line each."""
    grid = Table("name", "year", "tables", "values", UNVERIFIED, "title", box=None, pad_edge=False)
    for name, paper in papers.items():
        values = [value for table in paper.tables for value in values_of(paper, table)]
        unverified = sum(value.status == "unverified" for value in values)
        counts = (paper.year, len(paper.tables), len(values), unverified)
        grid.add_row(*map(Text, (name, *map(str, counts), paper.title)))
    yield grid
    yield Text(FOOTNOTE)


def render(name: str, paper: Paper) -> Iterator[RenderableType]:
    """A paper and its tables, each value with its source."""
    yield Text(f"{paper.title}\n{paper.authors}, {paper.venue} {paper.year}, {paper.url}")
    if paper.note:
        yield Text(paper.note)
    for key, table in paper.tables.items():
        yield Text(f"\n{name}/{key}: {table.title}", style="bold")
        yield _facts(table)
        yield _values(table, list(reference_rows(paper, key)))
    if any(value.status == "unverified" for key in paper.tables for value in values_of(paper, key)):
        yield Text(f"\n{FOOTNOTE}")


def protocol_words(protocol: PublishedProtocol) -> str:
    """`n_real 10,000, n_fake 5,000, codec jpeg`, without what the source does not state."""
    stated = protocol.stated.items()
    return ", ".join(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in stated)


def number(value: PublishedValue | None) -> str:
    """A value with its spread, and † if unverified; empty without a value."""
    return "" if value is None else published_value(value)


def _facts(table: PublishedTable) -> Table:
    lines = {
        "dataset": table.dataset,
        "status": table.status,
        "source": table.source,
        "protocol": protocol_words(table.protocol) or "not stated",
        "±": SPREADS.get(table.spread_kind, ""),
        "trainings": f"{table.n_seeds} per value" if table.n_seeds else "",
        "note": with_discrepancy_ids(table.note, table.discrepancies),
    }
    grid = Table(box=None, show_header=False, pad_edge=False)
    for key, value in lines.items():
        if value:
            grid.add_row(Text(f"  {key}"), Text(value))
    return grid


def _values(table: PublishedTable, references: list[PublishedReference]) -> Table:
    metrics = list(dict.fromkeys(metric for reference in references for metric in reference.values))
    grid = Table("  row", *metrics, "stated for this row", box=None, pad_edge=False)
    for reference in references:
        values = [number(reference.value(metric)) for metric in metrics]
        grid.add_row(*map(Text, (f"  {reference.row}", *values, _own_facts(table, reference))))
    return grid


def _own_facts(table: PublishedTable, reference: PublishedReference) -> str:
    """What the row states differently from its table, and the row's note."""
    row = table.rows[reference.row]
    own = [f"{key} {getattr(row, key)}" for key in OVERRIDABLE if key in row.model_fields_set and getattr(row, key)]
    if reference.protocol != table.protocol:
        own.append(protocol_words(reference.protocol) or "protocol not stated")
    return "; ".join([*own, *([reference.note] if reference.note else [])])
