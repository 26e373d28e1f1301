"""Published values, each with its protocol and with where it was read."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from benchmark.errors import UserError, hint
from benchmark.spec import Frozen
from benchmark.validation import explain
from benchmark.yaml_file import read_yaml

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class PublishedProtocol(Frozen):
    """How the authors measured; None means that the source does not say."""

    reference_split: str | None = None
    n_real: int | None = None
    n_fake: int | None = None
    feature_extractor: str | None = None
    codec: str | None = None
    batch_norm: str | None = None
    checkpoint: str | None = None
    step_unit: str | None = None


class PublishedRow(Frozen):
    """One method of a published table: per metric the value, or the pair of value and spread."""

    values: dict[str, tuple[Number, Number | None]]
    note: str = ""


class PublishedTable(Frozen):
    """A table of a paper. `status: unverified` values are shown, marked, and never judged against."""

    title: str
    dataset: str
    status: Literal["verified", "unverified"]
    source: Annotated[str, Field(min_length=3)]
    spread_kind: Literal["training_seeds", "sampling_seeds", "standard_error", "not_stated", "none"]
    protocol: PublishedProtocol
    note: str = ""
    rows: dict[str, PublishedRow]


class Paper(Frozen):
    """A publication with tables of published values."""

    title: str
    authors: str
    venue: str
    year: int
    url: str
    tables: dict[str, PublishedTable]


class Published(Frozen):
    """One row of a published table, with all that is needed to judge a measurement against it."""

    paper: str
    table: PublishedTable
    row: str

    @property
    def values(self) -> dict[str, tuple[float, float | None]]:
        """Metric -> (value, spread or None)."""
        return self.table.rows[self.row].values


def load_paper(path: Path) -> Paper:
    """The paper in a YAML file. Raises UserError naming file, key and value."""
    data, lines = read_yaml(path)
    try:
        return Paper.model_validate(data)
    except ValidationError as error:
        raise UserError(explain(error, Paper, path, lines)) from None


def load_table(folder: Path, reference: str) -> tuple[str, PublishedTable]:
    """The paper's title and the table that `paper/table` names, looked up under `folder`."""
    paper_name, _, table_name = reference.partition("/")
    known = [path.stem for path in folder.glob("*.yaml")]
    if paper_name not in known:
        raise UserError(f"unknown paper '{paper_name}'; {hint(paper_name, known)}")
    paper = load_paper(folder / f"{paper_name}.yaml")
    if table_name not in paper.tables:
        raise UserError(f"{folder / paper_name}.yaml has no table '{table_name}'; {hint(table_name, paper.tables)}")
    return f"{paper.title} ({paper.venue} {paper.year})", paper.tables[table_name]
