"""Published values on the terminal: the list of all papers, and one with its tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

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

DAGGER = f"{UNVERIFIED} {UNVERIFIED_MEANING}"
OWN = ("status", "source", "dataset", "spread_kind", "n_seeds")  # what a row may state otherwise than its table


def all_papers(folder: Path) -> dict[str, Paper]:
    """Every paper of a folder by its file's name. Raises UserError about the first file that is wrong."""
    return {path.stem: load_paper(path) for path in sorted(folder.glob("*.yaml"))}


def entry(paper: Paper) -> dict[str, Any]:
    """A paper with every value resolved, for scripts."""
    tables = {name: [value.model_dump(mode="json") for value in values_of(paper, name)] for name in paper.tables}
    return {**paper.model_dump(mode="json", exclude={"tables"}), "tables": tables}


def values_of(paper: Paper, table: str) -> list[PublishedValue]:
    """The values of a table, row by row."""
    return [value for published in reference_rows(paper, table) for value in published.all_values]


def listed(papers: dict[str, Paper]) -> Iterator[RenderableType]:
    """All papers, a line each."""
    grid = Table("name", "year", "tables", "values", f"{UNVERIFIED}", "title", box=None, pad_edge=False)
    for name, paper in papers.items():
        values = [value for table in paper.tables for value in values_of(paper, table)]
        unverified = sum(value.status == "unverified" for value in values)
        counts = (paper.year, len(paper.tables), len(values), unverified)
        grid.add_row(*map(Text, (name, *map(str, counts), paper.title)))
    yield grid
    yield Text(DAGGER)


def page(folder: Path, name: str) -> Iterator[RenderableType]:
    """A paper and its tables, each value with its source. Raises UserError when there is no such paper."""
    paper = find_paper(folder, name)
    yield Text(f"{paper.title}\n{paper.authors}, {paper.venue} {paper.year}, {paper.url}")
    if paper.note:
        yield Text(paper.note)
    for key, table in paper.tables.items():
        yield Text(f"\n{name}/{key}: {table.title}", style="bold")
        yield _facts(table)
        yield _grid(table, list(reference_rows(paper, key)))
    if any(value.status == "unverified" for key in paper.tables for value in values_of(paper, key)):
        yield Text(f"\n{DAGGER}")


def protocol_words(protocol: PublishedProtocol) -> str:
    """`n_real 10,000, n_fake 5,000, codec jpeg`; what the source leaves open is left out."""
    stated = protocol.stated.items()
    return ", ".join(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in stated)


def number(value: PublishedValue | None) -> str:
    """A value with its spread, † when unverified; empty when there is none."""
    return "" if value is None else published_value(value)


def _facts(table: PublishedTable) -> Table:
    trainings = f"{table.n_seeds} per value" if table.n_seeds else ""
    spread = SPREADS.get(table.spread_kind, "")
    lines = {
        "dataset": table.dataset,
        "status": table.status,
        "source": table.source,
        "protocol": protocol_words(table.protocol) or "not stated",
        "±": spread,
        "trainings": trainings,
        "note": with_discrepancy_ids(table.note, table.discrepancies),
    }
    grid = Table(box=None, show_header=False, pad_edge=False)
    for key, value in lines.items():
        if value:
            grid.add_row(Text(f"  {key}"), Text(value))
    return grid


def _grid(table: PublishedTable, members: list[PublishedReference]) -> Table:
    metrics = list(dict.fromkeys(metric for published in members for metric in published.values))
    grid = Table("  row", *metrics, "stated for this row", box=None, pad_edge=False)
    for published in members:
        values = [published.value(metric) for metric in metrics]
        grid.add_row(*map(Text, (f"  {published.row}", *map(number, values), _own(table, published))))
    return grid


def _own(table: PublishedTable, published: PublishedReference) -> str:
    """What the row states otherwise than its table, and its note."""
    row = table.rows[published.row]
    own = [f"{key} {getattr(row, key)}" for key in OWN if key in row.model_fields_set and getattr(row, key)]
    if published.protocol != table.protocol:
        own.append(protocol_words(published.protocol) or "protocol not stated")
    return "; ".join([*own, *([published.note] if published.note else [])])
