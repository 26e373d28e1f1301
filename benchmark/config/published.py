"""Published values and values in theory, each with its protocol and the place where it was read or derived."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from benchmark.config.messages import validate_model
from benchmark.config.yaml_source import KeyPath, read_yaml
from benchmark.core.errors import UserError, did_you_mean
from benchmark.core.spec import FrozenModel

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Words = Annotated[str, Field(min_length=3)]
Status = Literal["verified", "unverified"]
SpreadKind = Literal[
    "training_seeds", "sampling_seeds", "standard_error", "not_stated", "reading_error", "exact", "none"
]
ValueKind = Literal["published", "read from a figure", "theory"]
Aggregation = Literal["mean", "best", "single"]
Discrepancies = tuple[Annotated[str, Field(pattern=r"^[A-Z]+-\d\d$")], ...]


def _with_spread(value: Any) -> Any:
    """A number alone is a value without a spread."""
    if isinstance(value, list):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, None)
    raise ValueError(f"is {value!r} but must be a number, or a list of the value and its spread")


ValueAndSpread = Annotated[tuple[Number, Annotated[Number, Field(ge=0)] | None], BeforeValidator(_with_spread)]


class PublishedProtocol(FrozenModel):
    """How the authors evaluated. None means that the source does not say.

    `images`: how the source's images are cropped and resized. `aggregation`: how the values of several trainings became
    one: their mean, the best of them, or the value of a single training. `splits` and `n_fake` also apply to the
    Inception Score and to KID; a field that a metric does not use is ignored for it. `checkpoint`: `last`, `best` over
    training, or a phrase. `evaluate_every`: steps between the evaluations among which the best was selected.
    `step_unit`: the unit of the steps in both.
    """

    images: str | None = None
    aggregation: Aggregation | None = None
    reference_split: str | None = None
    n_real: Count | None = None
    n_fake: Count | None = None
    feature_extractor: str | None = None
    splits: Count | None = None
    codec: str | None = None
    batch_norm: str | None = None
    checkpoint: str | None = None
    evaluate_every: Count | None = None
    step_unit: str | None = None

    @property
    def stated(self) -> dict[str, str | int]:
        """The fields that the source states."""
        return self.model_dump(exclude_none=True)

    def updated(self, other: "PublishedProtocol") -> "PublishedProtocol":
        """This protocol with every field that `other` sets, including those set to None."""
        return self.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})

    def missing_from(self, other: "PublishedProtocol") -> dict[str, str | int]:
        """The fields that this protocol states and `other` does not."""
        return {name: value for name, value in self.stated.items() if name not in other.stated}


class PublishedRow(FrozenModel):
    """One method of a published table: its values, and whatever the source states for it in particular.

    A value is a number, or a list of value and spread. Keys that are set override those of the table: `protocol` field
    by field, `released_code` as a whole, while `note` and `discrepancies` are added to the table's.
    """

    values: Annotated[dict[str, ValueAndSpread], Field(min_length=1)]
    dataset: str = ""
    status: Status = "unverified"
    source: Words = ""
    spread_kind: SpreadKind = "none"
    n_seeds: Count | None = None
    protocol: PublishedProtocol = PublishedProtocol()
    released_code: PublishedProtocol = PublishedProtocol()
    released_code_source: Words = ""
    note: str = ""
    discrepancies: Discrepancies = ()


class PublishedTable(FrozenModel):
    """A table of a paper; its fields hold for every row that does not override them.

    `status`: a `verified` value was read in the `source`; an `unverified` one is quoted from memory, so it is shown
    and marked but gets no verdict. `spread_kind`: what the values' spreads are; `reading_error` for values read off a
    figure, with the largest error of reading as spread, and `exact` for those of a theory. `n_seeds`: the trainings
    behind each value, if known. `protocol`: what the source itself states. `released_code`: what it leaves open and its
    authors' code settles, read in `released_code_source`. `discrepancies`: ids in docs/discrepancies.md.
    """

    title: str
    dataset: str
    status: Status
    source: Words
    spread_kind: SpreadKind
    n_seeds: Count | None = None
    protocol: PublishedProtocol
    released_code: PublishedProtocol = PublishedProtocol()
    released_code_source: Words = ""
    note: str = ""
    discrepancies: Discrepancies = ()
    rows: Annotated[dict[str, PublishedRow], Field(min_length=1)]


class PublishedClaim(FrozenModel):
    """A statement of a paper about an experiment, without a number: only its sign can be tested.

    `sentence`: the statement; words in quotation marks are the paper's, all others ours. `experiment`: what was
    compared, as far as the source says. `status`: as for a table; an `unverified` claim is shown and never judged.
    `scale`: whether the source states how long was trained; if it does not, the claim is judged at reduced scales too.
    `discrepancies`: ids in docs/discrepancies.md.
    """

    sentence: Words
    experiment: Words
    source: Words
    status: Status
    scale: Literal["stated", "not_stated"] = "stated"
    note: str = ""
    discrepancies: Discrepancies = ()


class Paper(FrozenModel):
    """A publication with tables of published values, and claims without numbers.

    A `reproduction` retrains the methods of others; a `theory` holds exact values, derived and not measured.
    """

    title: str
    authors: str
    venue: str
    year: int
    url: str
    kind: Literal["paper", "reproduction", "theory"] = "paper"
    note: str = ""
    tables: dict[str, PublishedTable]
    claims: dict[str, PublishedClaim] = Field(default_factory=dict)


class PublishedValue(FrozenModel):
    """One number of a paper with everything that its row, or else its table, states.

    `kind`: whether it was printed, read off a figure or derived. `from_code`: the fields of `protocol` that the source
    leaves open and the code in `released_code_source` settles.
    """

    table: str
    row: str
    metric: str
    kind: ValueKind
    value: float
    spread: float | None
    spread_kind: SpreadKind
    n_seeds: int | None
    status: Status
    source: str
    dataset: str
    protocol: PublishedProtocol
    from_code: tuple[str, ...]
    released_code_source: str
    note: str
    discrepancies: tuple[str, ...]


class PublishedReference(FrozenModel):
    """One row of a published table, with which the measurements of a cell are compared."""

    paper: str
    table: PublishedTable
    row: str

    @property
    def values(self) -> dict[str, tuple[float, float | None]]:
        """Metric -> (value, spread or None)."""
        return self._own.values

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return str(self._stated("dataset"))

    @property
    def stated_protocol(self) -> PublishedProtocol:
        """How the row was evaluated, as far as the source itself states it."""
        return self.table.protocol.updated(self._own.protocol)

    @property
    def protocol(self) -> PublishedProtocol:
        """How the row was evaluated: what the source states, completed from its authors' released code."""
        return self.stated_protocol.model_copy(update=self._completion)

    @property
    def from_code(self) -> tuple[str, ...]:
        """The fields of `protocol` that the source does not state and its authors' released code settles."""
        return tuple(self._completion)

    @property
    def released_code(self) -> PublishedProtocol:
        """How the authors' released code evaluates."""
        found: PublishedProtocol = self._stated("released_code")
        return found

    @property
    def released_code_source(self) -> str:
        """Where `from_code` was read; empty if no field was."""
        return str(self._stated("released_code_source")) if self.from_code else ""

    @property
    def kind(self) -> ValueKind:
        """What the row's values are."""
        kinds: dict[SpreadKind, ValueKind] = {"exact": "theory", "reading_error": "read from a figure"}
        return kinds.get(self._stated("spread_kind"), "published")

    @property
    def n_seeds(self) -> int | None:
        """The number of trainings behind each value, if known."""
        found: int | None = self._stated("n_seeds")
        return found

    @property
    def note(self) -> str:
        """The row's own note and discrepancy ids, without the table's."""
        return with_discrepancy_ids(self._own.note, self._own.discrepancies)

    def value(self, metric: str) -> PublishedValue | None:
        """The row's value of a metric; None if none was published."""
        if metric not in self.values:
            return None
        number, spread = self.values[metric]
        return PublishedValue(
            table=self.table.title,
            row=self.row,
            metric=metric,
            kind=self.kind,
            value=number,
            spread=spread,
            spread_kind="none" if spread is None and self.kind != "theory" else self._stated("spread_kind"),
            protocol=self.protocol,
            from_code=self.from_code,
            released_code_source=self.released_code_source,
            note="; ".join(note for note in (self._own.note, self.table.note) if note),
            discrepancies=tuple(dict.fromkeys((*self._own.discrepancies, *self.table.discrepancies))),
            **{name: self._stated(name) for name in ("n_seeds", "status", "source", "dataset")},
        )

    @property
    def all_values(self) -> tuple[PublishedValue, ...]:
        """The row's values, in the order of the file."""
        return tuple(value for metric in self.values if (value := self.value(metric)) is not None)

    @property
    def _completion(self) -> dict[str, str | int]:
        return self.released_code.missing_from(self.stated_protocol)

    @property
    def _own(self) -> PublishedRow:
        return self.table.rows[self.row]

    def _stated(self, name: str) -> Any:
        return getattr(self._own if name in self._own.model_fields_set else self.table, name)


def with_discrepancy_ids(note: str, discrepancies: tuple[str, ...]) -> str:
    """A note, followed by the ids of the discrepancies that explain it, in brackets."""
    ids = ", ".join(discrepancies)
    return f"{note} ({ids})" if note and ids else note or ids


def load_paper(path: Path) -> Paper:
    """The paper in a YAML file. Raises UserError naming file, line, key and value."""
    source = read_yaml(path)
    paper = validate_model(Paper, source.data, source.location)
    if problems := [f"{source.location(key)}: {problem}" for key, problem in _omissions(paper)]:
        raise UserError("\n".join(problems))
    return paper


def find_paper(folder: Path, name: str) -> Paper:
    """The paper in `folder/name.yaml`. Raises UserError with the nearest name if there is none."""
    known = [path.stem for path in folder.glob("*.yaml")]
    if name not in known:
        raise UserError(f"unknown paper '{name}'; {did_you_mean(name, known)}")
    return load_paper(folder / f"{name}.yaml")


def reference_rows(paper: Paper, table: str) -> Iterator[PublishedReference]:
    """The rows of one of the paper's tables."""
    for row in paper.tables[table].rows:
        yield PublishedReference(paper=_citation(paper), table=paper.tables[table], row=row)


@dataclass
class PublishedTables:
    """The published tables and claims in a folder of papers; each paper is read once."""

    folder: Path
    _papers: dict[str, Paper] = field(default_factory=dict)

    def table(self, reference: str) -> tuple[str, PublishedTable]:
        """The citation and the table of `paper/table`. Raises UserError with the nearest name."""
        paper, name = self._named(reference)
        if name not in paper.tables:
            raise UserError(f"{self._path(reference)} has no table '{name}'; {did_you_mean(name, paper.tables)}")
        return _citation(paper), paper.tables[name]

    def claim(self, reference: str) -> tuple[str, PublishedClaim]:
        """The citation and the claim of `paper/claim`. Raises UserError with the nearest name."""
        paper, name = self._named(reference)
        if name not in paper.claims:
            raise UserError(f"{self._path(reference)} has no claim '{name}'; {did_you_mean(name, paper.claims)}")
        return _citation(paper), paper.claims[name]

    def _named(self, reference: str) -> tuple[Paper, str]:
        """The paper of `paper/name`, and the name."""
        paper_name, _, name = reference.partition("/")
        if paper_name not in self._papers:
            self._papers[paper_name] = find_paper(self.folder, paper_name)
        return self._papers[paper_name], name

    def _path(self, reference: str) -> Path:
        return self.folder / f"{reference.partition('/')[0]}.yaml"


def _citation(paper: Paper) -> str:
    return f"{paper.title} ({paper.venue} {paper.year})"


def _omissions(paper: Paper) -> Iterator[tuple[KeyPath, str]]:
    """What a file must say and does not, or says twice in different ways, though each of its keys is valid."""
    if not paper.tables and not paper.claims and not paper.note:
        yield ("tables",), "holds no table; say why in the paper's 'note'"
    for name in paper.tables:
        for published in reference_rows(paper, name):
            if (published.kind == "theory") != (paper.kind == "theory"):
                problem = f"values are {published.kind}, but the paper's 'kind' is {paper.kind}"
                yield ("tables", name, "rows", published.row), f"{problem}; 'spread_kind: exact' means theory"
            for key, problem in _omissions_of_row(published):
                yield ("tables", name, "rows", published.row, *key), problem


def _omissions_of_row(published: PublishedReference) -> Iterator[tuple[KeyPath, str]]:
    for value in published.all_values:
        if value.spread is not None and value.spread_kind == "none":
            yield ("values", value.metric), "has a spread, but 'spread_kind' is none; say what it is"
        if value.spread is not None and value.kind == "theory":
            yield ("values", value.metric), "has a spread, but 'spread_kind' is exact"
        if value.spread is None and value.kind == "read from a figure":
            yield ("values", value.metric), "was read off a figure; give its largest error as a spread"
    protocol, n_seeds = published.protocol, published.n_seeds
    if not protocol.stated and not (published.table.note or published.note):
        yield ("protocol",), "the protocol states nothing; say in a 'note' what the source says of it"
    if protocol.aggregation == "best" and (n_seeds is None or n_seeds < 2):
        yield ("protocol",), "'aggregation' is best, but 'n_seeds' does not say of how many trainings"
    if protocol.aggregation == "single" and n_seeds not in (None, 1):
        yield ("protocol",), f"'aggregation' is single, but 'n_seeds' is {n_seeds}"
    if published.from_code and not published.released_code_source:
        yield ("released_code",), "says how the code evaluates; say in 'released_code_source' where it was read"
    stated = published.stated_protocol.stated
    for name, here in published.released_code.stated.items():
        if stated.get(name, here) != here:
            problem = f"the code has {here}, the source states {stated[name]}, which counts"
            yield ("released_code", name), f"{problem}; remove it here, and list the discrepancy"
