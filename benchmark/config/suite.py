"""A suite: what a suite file describes, at one of its scales.

A suite file is written like the table that it reproduces. It is parsed in three steps: reading (`yaml_source`) turns
text into plain values with positions, resolving (`resolve`) merges everything that sets a row's values, and validating
(`validate`) turns those into trials. Every value keeps the file and key that it comes from, so messages point there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, count, islice
from pathlib import Path
from typing import Literal

from benchmark.config.cells import Cell, build_cells
from benchmark.config.claims import Claim, build_claims
from benchmark.config.messages import validate_model
from benchmark.config.schema import Resources, SuiteFile
from benchmark.config.yaml_source import read_yaml
from benchmark.core.errors import UserError, did_you_mean
from benchmark.core.spec import TrialSpec

RunnerName = Literal["ray", "inprocess"]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A validated suite at one scale."""

    name: str
    path: Path
    title: str
    about: str
    scale: str
    scale_about: str
    scales: tuple[str, ...]  # all scales of the file
    seeds: tuple[int, ...]  # of all cells; a table may have more than others
    seeds_option: int | None  # the number of seeds that `--seeds` asked for instead of the file's
    resources: Resources
    tolerance: dict[str, float]
    tables: dict[str, str]  # title -> note, in the order of the file
    cells: tuple[Cell, ...]
    claims: tuple[Claim, ...] = ()
    only: tuple[str, ...] = ()  # the names that `--only` selected; empty for all cells
    max_seeds: int | None = None  # the limit of `--until-decided`; None: every cell has the seeds of the list

    @property
    def is_reduced(self) -> bool:
        """Whether trials are smaller than the published recipe, so that no verdict is given."""
        return self.scale != "paper"

    @cached_property
    def specs(self) -> dict[str, TrialSpec]:
        """Trial id -> trial, each once: the first seed of every cell first, in the order of the file."""
        ranked = [(rank, spec) for cell in self.cells for rank, spec in enumerate(cell.specs)]
        return {spec.trial_id: spec for _, spec in sorted(ranked, key=lambda pair: pair[0])}

    def with_looks(self, looks: Sequence[tuple[int, ...]], max_seeds: int) -> "Suite":
        """The suite with seeds added to some cells, until they are decided or have `max_seeds`.

        `looks`: for each cell, the numbers of seeds after which it is judged. It gets as many seeds as the last one:
        those of the list, then the smallest numbers that are not in it. Empty: the cell keeps the seeds of the list.
        """
        cells = tuple(
            replace(cell, looks=counts, specs=_with_seeds(cell.specs, counts[-1])) if counts else cell
            for cell, counts in zip(self.cells, looks, strict=True)
        )
        return replace(self, cells=cells, max_seeds=max_seeds)


def _with_seeds(specs: Sequence[TrialSpec], n: int) -> tuple[TrialSpec, ...]:
    """`n` trials of a cell: those with its seeds, then those with the smallest numbers that are none of them."""
    seeds = [spec.seed for spec in specs]
    unused = (seed for seed in count() if seed not in seeds)
    return specs[0].with_seeds(islice(chain(seeds, unused), n))


def load_suite(path: Path, scale: str | None = None, seeds: int | None = None) -> Suite:
    """Read and validate a suite file at a scale (default: its first). `seeds` replaces the file's by 0 .. seeds - 1.

    Raises UserError with every problem found: file, line, key, value and the nearest valid spelling.
    """
    if not any(map(str.isalnum, path.stem)):  # reports go to reports/<name>/, and `..` is not a name
        raise UserError(f"{path}: a suite is called after its file, and '{path.stem}' is no name; rename the file")
    source = read_yaml(path)
    file = validate_model(SuiteFile, source.data, source.location)
    scale = scale or next(iter(file.scales))
    if scale not in file.scales:
        raise UserError(f"{source.location(('scales',))}: unknown scale '{scale}'; {did_you_mean(scale, file.scales)}")
    reduction = file.scales[scale]
    if len({table.title for table in file.tables}) < len(file.tables):
        raise UserError(f"{source.location(('tables',))}: two tables have the same title")
    cells = build_cells(source, file, scale, tuple(range(seeds)) if seeds else None)
    claims = build_claims(source, file, scale, cells)
    if reduction.rows:
        where = source.location(("scales", scale, "rows"))
        cells = _select(cells, {name: f"{where}: no such row: '{name}'" for name in reduction.rows})
    return Suite(
        name=path.stem,
        path=path,
        title=file.title,
        about=file.about.strip(),
        scale=scale,
        scale_about=reduction.about,
        scales=tuple(file.scales),
        seeds=tuple(dict.fromkeys(spec.seed for cell in cells for spec in cell.specs)),
        seeds_option=seeds,
        resources=file.resources,
        tolerance=dict(file.tolerance),
        tables={table.title: table.note for table in file.tables},
        cells=cells,
        claims=_claims_on(cells, claims),
    )


def select_cells(suite: Suite, names: Sequence[str]) -> Suite:
    """The suite with only the cells named, as `table/row` or `row`; case and spacing are ignored.

    Raises UserError if a name matches no cell.
    """
    if not names:
        return suite
    cells = _select(suite.cells, {name: f"--only '{name}': no such cell in {suite.path}" for name in names})
    return replace(suite, cells=cells, claims=_claims_on(cells, suite.claims), only=tuple(names))


def _claims_on(cells: tuple[Cell, ...], claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """The claims whose rows are all among the cells."""
    rows = {(cell.table, cell.row) for cell in cells}
    return tuple(claim for claim in claims if {(claim.table, row) for row in claim.rows} <= rows)


def _select(cells: tuple[Cell, ...], problems: Mapping[str, str]) -> tuple[Cell, ...]:
    """The cells with one of these names. `problems`: name -> the message if it matches no cell."""
    names_of = [{cell.name, cell.row} for cell in cells]
    known = {name for names in names_of for name in names}
    folded = set(map(_fold, known))
    for name, problem in problems.items():
        if _fold(name) not in folded:
            raise UserError(f"{problem}; {did_you_mean(name, known)}")
    selected = set(map(_fold, problems))
    return tuple(cell for cell, names in zip(cells, names_of, strict=True) if selected & set(map(_fold, names)))


def _fold(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()).casefold()
