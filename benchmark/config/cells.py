"""The cells of a suite: what each trains, and what was published for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmark.config.layers import Provenance, location_of
from benchmark.config.published import PublishedReference, PublishedTables
from benchmark.config.resolve import RowResolver, SuiteRow
from benchmark.config.scales import apply_scale
from benchmark.config.schema import SuiteFile
from benchmark.config.validate import check_measures, validate_spec
from benchmark.config.yaml_source import KeyPath, YamlFile
from benchmark.core.errors import UserError, did_you_mean, with_location
from benchmark.core.protocol import all_output_keys, metric_outputs
from benchmark.core.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place in a table: the trials for it, one per seed, and the published value, if one is known.

    `provenance` has the key path of every value that a file sets; all other values are defaults. `looks`: the numbers
    of seeds after which the cell is judged, in increasing order, if seeds are added until it is decided; empty for a
    fixed list of seeds.
    """

    table: str
    row: str
    published: PublishedReference | None
    note: str
    specs: tuple[TrialSpec, ...]
    provenance: dict[KeyPath, Provenance] = field(default_factory=dict, compare=False, repr=False)
    looks: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """`TABLE/ROW`, as `--only` takes it."""
        return f"{self.table}/{self.row}"

    def location(self, path: KeyPath) -> str:
        """`file:line: key` of the value at a path, or else of the innermost part of the path that a file sets."""
        return location_of(self.provenance, path)


def build_cells(
    source: YamlFile, suite: SuiteFile, scale: str, seeds: tuple[int, ...] | None = None
) -> tuple[Cell, ...]:
    """All cells of a suite at a scale, in the order of the file. `seeds` replaces those of scale, tables and suite.

    Raises UserError with every problem, each once.
    """
    resolver, papers = RowResolver(source, suite, scale), PublishedTables(source.path.parent / "papers")
    cells: list[Cell] = []
    problems = _unknown_rows(source, suite)
    protocols = []
    reduction = suite.scales[scale]
    first_rows: dict[tuple[KeyPath, str], str] = {}  # table and trial -> the first row that trains it
    for row in resolver.rows():
        try:
            merged = resolver.resolve(row)
            row_seeds = seeds or _seeds_of(source, row, suite, scale)
            spec = validate_spec(merged, row_seeds[0])
            published = _find_published(source, row, papers)
            _check_published(source, row, published, spec)
            specs = apply_scale(spec, reduction).with_seeds(row_seeds)
            with with_location(source.location(("scales", scale))):
                check_measures(specs[0])
        except UserError as error:
            problems.append(str(error))
            continue
        twin = first_rows.setdefault((row.table_key, spec.trial_id), row.label)
        if twin != row.label:
            where = source.location(row.key)
            problems.append(f"{where}: the same cell as row '{twin}'; remove one or change its recipe")
        protocols.append(spec.protocol)
        cells.append(
            Cell(
                table=row.table.title,
                row=row.label,
                published=None if reduction.synthetic else published,
                note=row.config.note,
                specs=specs,
                provenance=merged.provenance,
            )
        )
    outputs = {key for protocol in protocols for key in metric_outputs(protocol)}
    problems += _unknown_tolerances(source, suite, outputs) if protocols else []
    if problems:
        raise UserError("\n".join(dict.fromkeys("\n".join(problems).splitlines())))
    return tuple(cells)


def _seeds_of(source: YamlFile, row: SuiteRow, suite: SuiteFile, scale: str) -> tuple[int, ...]:
    """The seeds of a row: those of the scale, or else of its table, or else of the suite."""
    candidates = (
        (suite.scales[scale].seeds, ("scales", scale, "seeds")),
        (row.table.seeds, (*row.table_key, "seeds")),
        (suite.seeds, ("seeds",)),
    )
    seeds, key = next((seeds, key) for seeds, key in candidates if seeds)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{source.location(key)}: a seed appears twice")
    return tuple(seeds)


def _unknown_rows(source: YamlFile, suite: SuiteFile) -> list[str]:
    """Labels under `published_as` that are labels of no row."""
    return [
        f"{source.location(('tables', index, 'published_as', label))}: there is no row '{label}';"
        f" {did_you_mean(label, table.rows)}"
        for index, table in enumerate(suite.tables)
        for label in table.published_as
        if label not in table.rows
    ]


def _unknown_tolerances(source: YamlFile, suite: SuiteFile, outputs: Iterable[str]) -> list[str]:
    return [
        f"{source.location(('tolerance', key))}: no cell of this suite measures '{key}'; {did_you_mean(key, outputs)}"
        for key in suite.tolerance
        if key not in outputs
    ]


def _find_published(source: YamlFile, row: SuiteRow, papers: PublishedTables) -> PublishedReference | None:
    """The published row that a suite's row names, or the one of its label in the table's `published`.

    Raises UserError if there is no such row.
    """
    table, hint = row.table.published, ""
    name, key = row.config.published, (*row.key, "published")
    if not name and (name := row.table.published_as.get(row.label)):
        key = (*row.table_key, "published_as", row.label)
    if name == "none":
        return None
    if name and name.count("/") == 2:
        table, name = name.rsplit("/", 1)
    elif table is None:
        if name:
            raise UserError(
                f"{source.location(key)}: '{name}' is a row of no table; write paper/table/row, or give the table"
                " 'published'"
            )
        return None
    else:
        with with_location(source.location((*row.table_key, "published"))):
            papers.table(table)
        hint = "; write 'published: none' when no value is known"
    with with_location(source.location(key if name else row.key)):
        paper, published = papers.table(table)
        name = name or row.label
        if name not in published.rows:
            raise UserError(f"{table} has no row '{name}'; {did_you_mean(name, published.rows)}{hint}")
    return PublishedReference(paper=paper, table=published, row=name)


def _check_published(source: YamlFile, row: SuiteRow, published: PublishedReference | None, spec: TrialSpec) -> None:
    """A published value must be about the cell's dataset, and of a metric that exists."""
    if published is None:
        return
    where = source.location((*row.table_key, "published"))
    if published.dataset != spec.dataset:
        raise UserError(f"{where}: is about dataset '{published.dataset}', the cell about '{spec.dataset}'")
    known = all_output_keys() | metric_outputs(spec.protocol).keys()
    for key in published.values:
        if key not in known:
            hint = did_you_mean(key, known)
            raise UserError(f"{where}: row '{published.row}': no metric gives '{key}'; {hint}")
