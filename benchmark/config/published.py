"""Published values, each with its protocol and with where it was read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from benchmark.config.messages import format_errors
from benchmark.config.yaml_source import KeyPath, location, read_yaml
from benchmark.core.errors import UserError, did_you_mean
from benchmark.core.spec import FrozenModel

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Words = Annotated[str, Field(min_length=3)]
Status = Literal["verified", "unverified"]
SpreadKind = Literal["training_seeds", "sampling_seeds", "standard_error", "not_stated", "none"]
Discrepancies = tuple[Annotated[str, Field(pattern=r"^[A-Z]+-\d\d$")], ...]


def _pair(value: Any) -> Any:
    """A value alone has no spread."""
    if isinstance(value, list):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, None)
    raise ValueError(f"is {value!r} but must be a number, or a list of the value and its spread")


Measured = Annotated[tuple[Number, Annotated[Number, Field(ge=0)] | None], BeforeValidator(_pair)]


class PublishedProtocol(FrozenModel):
    """How the authors measured; None means that the source does not say.

    `images`: what is cut out of the source's pictures and how large it is made. `aggregation`: how the values of
    several trainings became one. `splits` and `n_fake` are of the Inception Score and KID too; a field that a metric
    has no use for says nothing about it. `step_unit` is what the steps count that `checkpoint` names.
    """

    images: str | None = None
    aggregation: str | None = None
    reference_split: str | None = None
    n_real: Count | None = None
    n_fake: Count | None = None
    feature_extractor: str | None = None
    splits: Count | None = None
    codec: str | None = None
    batch_norm: str | None = None
    checkpoint: str | None = None
    step_unit: str | None = None

    @property
    def stated(self) -> dict[str, str | int]:
        """The fields that the source states."""
        return self.model_dump(exclude_none=True)

    def replaced(self, other: "PublishedProtocol") -> "PublishedProtocol":
        """This protocol with every field that `other` sets, also to None, taken from there."""
        return self.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})


class PublishedRow(FrozenModel):
    """One method of a published table: its values, and what is stated for it instead of for the whole table.

    A value is a number, or a list of value and spread. Only keys that are set replace those of the table;
    `protocol` replaces field by field, `note` and `discrepancies` add.
    """

    values: Annotated[dict[str, Measured], Field(min_length=1)]
    dataset: str = ""
    status: Status = "unverified"
    source: Words = ""
    spread_kind: SpreadKind = "none"
    n_seeds: Count | None = None
    protocol: PublishedProtocol = PublishedProtocol()
    note: str = ""
    discrepancies: Discrepancies = ()


class PublishedTable(FrozenModel):
    """A table of a paper, and what is stated for all its rows that do not state it themselves.

    `status`: `verified` was read in the `source`, `unverified` is remembered: shown, marked, and never
    judged against. `spread_kind`: what the spreads are, of the values that have one. `n_seeds`: trainings
    behind each value, when known. `discrepancies`: ids of docs/discrepancies.md.
    """

    title: str
    dataset: str
    status: Status
    source: Words
    spread_kind: SpreadKind
    n_seeds: Count | None = None
    protocol: PublishedProtocol
    note: str = ""
    discrepancies: Discrepancies = ()
    rows: Annotated[dict[str, PublishedRow], Field(min_length=1)]


class Paper(FrozenModel):
    """A publication with tables of published values. A `reproduction` reports others' methods, trained again."""

    title: str
    authors: str
    venue: str
    year: int
    url: str
    kind: Literal["paper", "reproduction"] = "paper"
    note: str = ""
    tables: dict[str, PublishedTable]


class PublishedValue(FrozenModel):
    """One published number with all that was stated for it, by its row or else by its table."""

    table: str
    row: str
    metric: str
    value: float
    spread: float | None
    spread_kind: SpreadKind
    n_seeds: int | None
    status: Status
    source: str
    dataset: str
    protocol: PublishedProtocol
    note: str
    discrepancies: tuple[str, ...]


class PublishedReference(FrozenModel):
    """One row of a published table, with all that is needed to judge a measurement against it."""

    paper: str
    table: PublishedTable
    row: str

    @property
    def values(self) -> dict[str, tuple[float, float | None]]:
        """Metric -> (value, spread or None)."""
        return self._own.values

    @property
    def dataset(self) -> str:
        """The name of the data that the row is about."""
        return str(self._stated("dataset"))

    @property
    def protocol(self) -> PublishedProtocol:
        """How the row was measured."""
        return self.table.protocol.replaced(self._own.protocol)

    @property
    def note(self) -> str:
        """The row's own note, with its ids of discrepancies; the table's note is not repeated."""
        return with_discrepancy_ids(self._own.note, self._own.discrepancies)

    def value(self, metric: str) -> PublishedValue | None:
        """The row's value of a metric; None when none was published."""
        if metric not in self.values:
            return None
        number, spread = self.values[metric]
        return PublishedValue(
            table=self.table.title,
            row=self.row,
            metric=metric,
            value=number,
            spread=spread,
            spread_kind="none" if spread is None else self._stated("spread_kind"),
            n_seeds=self._stated("n_seeds"),
            status=self._stated("status"),
            source=self._stated("source"),
            dataset=self.dataset,
            protocol=self.protocol,
            note="; ".join(note for note in (self._own.note, self.table.note) if note),
            discrepancies=tuple(dict.fromkeys((*self._own.discrepancies, *self.table.discrepancies))),
        )

    @property
    def all_values(self) -> tuple[PublishedValue, ...]:
        """The values of all metrics, in the order of the file."""
        return tuple(value for metric in self.values if (value := self.value(metric)) is not None)

    @property
    def _own(self) -> PublishedRow:
        return self.table.rows[self.row]

    def _stated(self, name: str) -> Any:
        return getattr(self._own if name in self._own.model_fields_set else self.table, name)


def with_discrepancy_ids(note: str, discrepancies: tuple[str, ...]) -> str:
    """A note, and in brackets the ids of the discrepancies that explain it."""
    ids = ", ".join(discrepancies)
    return f"{note} ({ids})" if note and ids else note or ids


def load_paper(path: Path) -> Paper:
    """The paper in a YAML file. Raises UserError naming file, line, key and value."""
    data, lines = read_yaml(path)
    try:
        paper = Paper.model_validate(data)
    except ValidationError as error:
        raise UserError(format_errors(error, Paper, path, lines)) from None
    problems = [f"{location(path, at, lines)}: {problem}" for at, problem in _silences(paper)]
    if problems:
        raise UserError("\n".join(problems))
    return paper


def reference_rows(paper: Paper, table: str) -> Iterator[PublishedReference]:
    """The rows of one of the paper's tables."""
    for row in paper.tables[table].rows:
        yield PublishedReference(paper=named(paper), table=paper.tables[table], row=row)


def named(paper: Paper) -> str:
    """Title, venue and year."""
    return f"{paper.title} ({paper.venue} {paper.year})"


@dataclass
class PublishedTables:
    """The papers in a folder, each read once."""

    folder: Path
    papers: dict[str, Paper] = field(default_factory=dict)

    def table(self, reference: str) -> tuple[str, PublishedTable]:
        """The paper's title and the table that `paper/table` names. Raises UserError with the nearest name."""
        paper_name, _, table_name = reference.partition("/")
        if paper_name not in self.papers:
            self.papers[paper_name] = find_paper(self.folder, paper_name)
        paper = self.papers[paper_name]
        if table_name not in paper.tables:
            path = self.folder / paper_name
            raise UserError(f"{path}.yaml has no table '{table_name}'; {did_you_mean(table_name, paper.tables)}")
        return named(paper), paper.tables[table_name]


def find_paper(folder: Path, name: str) -> Paper:
    """The paper in `folder/name.yaml`. Raises UserError with the nearest name when there is none."""
    known = [path.stem for path in folder.glob("*.yaml")]
    if name not in known:
        raise UserError(f"unknown paper '{name}'; {did_you_mean(name, known)}")
    return load_paper(folder / f"{name}.yaml")


def _silences(paper: Paper) -> Iterator[tuple[KeyPath, str]]:
    """Where a file leaves open what it must say, though each key by itself is right."""
    if not paper.tables and not paper.note:
        yield ("tables",), "holds no table; say why in the paper's 'note'"
    for name, table in paper.tables.items():
        for published in reference_rows(paper, name):
            at: KeyPath = ("tables", name, "rows", published.row)
            for value in published.all_values:
                if value.spread is not None and value.spread_kind == "none":
                    yield (*at, "values", value.metric), "has a spread, but 'spread_kind' is none; say what it is"
            if not published.protocol.stated and not (table.note or published.note):
                yield (*at, "protocol"), "the protocol states nothing; say in a 'note' what the source says of it"
