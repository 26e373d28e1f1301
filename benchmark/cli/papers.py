"""`papers`: the papers with known published values, or one paper's tables and claims, each with its source."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from benchmark.cli.logs import print_json, stdout
from benchmark.cli.options import SUITES, JsonOption, examples
from benchmark.config.published import (
    Paper,
    PublishedClaim,
    PublishedReference,
    PublishedTable,
    PublishedValue,
    find_paper,
    load_paper,
    reference_rows,
    with_discrepancy_ids,
)
from benchmark.core.errors import UserError
from benchmark.report.text import SPREADS, UNVERIFIED, UNVERIFIED_MEANING, published_value

app = typer.Typer()
FOLDER = SUITES / "papers"
FOOTNOTE = f"{UNVERIFIED} {UNVERIFIED_MEANING}"
OVERRIDABLE = ("status", "source", "dataset", "spread_kind", "n_seeds")  # facts of a table that a row may override
KINDS: dict[str, str] = {
    "exact": "theory: exact values, derived and not measured",
    "reading_error": "read from a figure: no number was printed",
}
MAX_COLUMNS = 3  # metrics beside each other; 80 columns hold no more


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
    if not known:
        raise UserError(f"{FOLDER.absolute()}: no papers there; run the command in the project's folder")
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
    grid = Table("name", "year", "tables", "values", UNVERIFIED, "claims", "title", box=None, pad_edge=False)
    for name, paper in papers.items():
        values = [value for table in paper.tables for value in values_of(paper, table)]
        unverified = sum(value.status == "unverified" for value in values)
        counts = (paper.year, len(paper.tables), len(values), unverified, len(paper.claims))
        grid.add_row(*map(Text, (name, *map(str, counts), paper.title)))
    yield grid
    yield Text(FOOTNOTE)


def render(name: str, paper: Paper) -> Iterator[RenderableType]:
    """A paper with its tables and claims, each value and claim with its source."""
    yield Text(f"{paper.title}\n{paper.authors}, {paper.venue} {paper.year}, {paper.url}")
    if paper.note:
        yield Text(paper.note)
    for key, table in paper.tables.items():
        yield Text(f"\n{name}/{key}: {table.title}", style="bold")
        yield _facts(table)
        yield from _values(table, list(reference_rows(paper, key)))
    for key, claim in paper.claims.items():
        yield Text(f"\n{name}/{key}, a claim", style="bold")
        yield _claim_facts(claim)
    if any(value.status == "unverified" for key in paper.tables for value in values_of(paper, key)):
        yield Text(f"\n{FOOTNOTE}")


def protocol_words(fields: Mapping[str, str | int]) -> str:
    """`n_real 10,000, n_fake 5,000, codec jpeg`."""
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in fields.items()
    )


def number(value: PublishedValue | None) -> str:
    """A value with its spread, and † if unverified; empty without a value."""
    return "" if value is None else published_value(value)


def _facts(table: PublishedTable) -> Table:
    completed = table.released_code.missing_from(table.protocol)
    lines = [
        ("dataset", table.dataset),
        ("kind", KINDS.get(table.spread_kind, "")),
        ("status", table.status),
        ("source", table.source),
        ("protocol", f"stated: {protocol_words(table.protocol.stated) or 'nothing'}"),
        ("", _code_words(completed, table.released_code_source)),
        ("±", SPREADS.get(table.spread_kind, "")),
        ("trainings", f"{table.n_seeds} per value" if table.n_seeds else ""),
        ("note", with_discrepancy_ids(table.note, table.discrepancies)),
    ]
    return _fact_grid(lines)


def _claim_facts(claim: PublishedClaim) -> Table:
    return _fact_grid(
        [
            ("sentence", claim.sentence),
            ("experiment", claim.experiment),
            ("status", claim.status),
            ("source", claim.source),
            ("scale", "" if claim.scale == "stated" else "not stated, so that every scale is judged"),
            ("note", with_discrepancy_ids(claim.note, claim.discrepancies)),
        ]
    )


def _fact_grid(lines: Iterable[tuple[str, str]]) -> Table:
    """A line per fact; those without a value are left out."""
    grid = Table(box=None, show_header=False, pad_edge=False)
    for key, value in lines:
        if value:
            grid.add_row(Text(f"  {key}"), Text(value, overflow="fold"))
    return grid


def _code_words(fields: Mapping[str, str | int], source: str) -> str:
    return f"released code: {protocol_words(fields)}; read in {source}" if fields else ""


def _values(table: PublishedTable, references: list[PublishedReference]) -> Iterator[RenderableType]:
    """The rows with their values, and below them what only single rows state; many metrics are rows instead."""
    footnotes: dict[str, int] = {}  # equal notes share a number
    labels = []
    for reference in references:
        notes = _own_facts(table, reference), ", ".join(table.rows[reference.row].discrepancies)
        marks = [footnotes.setdefault(note, len(footnotes) + 1) for note in notes if note]
        labels.append(f"{reference.row} [{', '.join(map(str, marks))}]" if marks else reference.row)
    metrics = list(dict.fromkeys(metric for reference in references for metric in reference.values))
    values = [[number(reference.value(metric)) for metric in metrics] for reference in references]
    if len(metrics) > MAX_COLUMNS:
        labels, metrics, values = metrics, labels, [list(column) for column in zip(*values, strict=True)]
    grid = Table("  row", *map(escape, metrics), box=None, pad_edge=False)
    for label, cells in zip(labels, values, strict=True):
        grid.add_row(Text(f"  {label}"), *map(Text, cells))
    yield grid
    if footnotes:
        lines = Table(box=None, show_header=False, pad_edge=False)
        for note, index in footnotes.items():
            lines.add_row(Text(f"  [{index}]"), Text(note, overflow="fold"))
        yield lines


def _own_facts(table: PublishedTable, reference: PublishedReference) -> str:
    """The note of a row, and what the row states differently from its table."""
    row = table.rows[reference.row]
    own = {name: getattr(row, name) for name in OVERRIDABLE if name in row.model_fields_set}
    facts = [
        row.note,
        *(f"{name} {value}" for name in ("status", "source", "dataset") if (value := own.get(name))),
        f"± is the {SPREADS[row.spread_kind]}" if own.get("spread_kind", "none") in SPREADS else "",
        f"{row.n_seeds} trainings" if own.get("n_seeds") else "",
        *_protocol_changes(table, reference),
    ]
    return "; ".join(filter(None, facts))


def _protocol_changes(table: PublishedTable, reference: PublishedReference) -> Iterator[str]:
    """How the protocol of a row differs from that of its table, by origin."""
    own, general = reference.stated_protocol.stated, table.protocol.stated
    yield protocol_words({name: value for name, value in own.items() if general.get(name) != value})
    if silent := [name for name in general if name not in own]:
        yield f"{', '.join(silent)} not stated"
    completed = reference.released_code.missing_from(reference.stated_protocol)
    if completed != table.released_code.missing_from(table.protocol):
        yield _code_words(completed, reference.released_code_source) or "released code does not apply"
