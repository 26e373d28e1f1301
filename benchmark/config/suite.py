"""Suite YAML -> validated cells -> trials.

A suite is written like the table that it reproduces. What a cell trains is layered from general to special: the
suite's `defaults`, the named `recipe`, the table's `defaults`, the row, the scale. Every leaf remembers the file
and key that it came from, so that a message can point there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from benchmark.config.cells import Cell, CellBuilder
from benchmark.config.layers import YamlFile
from benchmark.config.messages import format_errors
from benchmark.config.schema import Resources, SuiteFile
from benchmark.config.yaml_source import read_yaml
from benchmark.core.errors import UserError, did_you_mean
from benchmark.core.spec import TrialSpec

RunnerName = Literal["ray", "inprocess"]


@dataclass(frozen=True)
class Suite:
    """A validated suite at one scale."""

    name: str
    path: Path
    title: str
    about: str
    scale: str
    scale_about: str
    scales: tuple[str, ...]  # all that the file has
    seeds: tuple[int, ...]
    seeds_option: int | None  # how many were asked for from outside, in place of the file's
    resources: Resources
    tolerance: dict[str, float]
    tables: dict[str, str]  # title -> note, in the order of the file
    cells: tuple[Cell, ...]
    only: tuple[str, ...] = ()  # the cells that were asked for, when not all were

    @property
    def is_reduced(self) -> bool:
        """Whether trials are smaller than the published recipe, so that no verdict may be passed."""
        return self.scale != "paper"

    @cached_property
    def specs(self) -> dict[str, TrialSpec]:
        """Trial id -> trial, each once, in the order of the file, first seeds first."""
        place = {seed: index for index, seed in enumerate(self.seeds)}
        ordered = sorted(
            ((spec, index) for index, cell in enumerate(self.cells) for spec in cell.specs),
            key=lambda pair: (place[pair[0].seed], pair[1]),
        )
        return {spec.trial_id: spec for spec, _ in ordered}


def select_cells(suite: Suite, wanted: Sequence[str]) -> Suite:
    """The suite with only the cells named `table/row`, or by their row; capitals and spaces make no difference.

    Raises UserError when a name is of no cell.
    """
    if not wanted:
        return suite
    cells = _named(suite.cells, {name: f"--only '{name}': no such cell in {suite.path}" for name in wanted})
    return replace(suite, cells=cells, only=tuple(wanted))


def _named(cells: tuple[Cell, ...], wanted: Mapping[str, str]) -> tuple[Cell, ...]:
    """The cells with one of these names; `wanted`: name -> the complaint where no cell has it."""
    names = [{f"{cell.table}/{cell.row}", cell.row} for cell in cells]
    known = {name for both in names for name in both}
    for name, complaint in wanted.items():
        if _folded(name) not in map(_folded, known):
            raise UserError(f"{complaint}; {did_you_mean(name, known)}")
    asked = set(map(_folded, wanted))
    return tuple(cell for cell, both in zip(cells, names, strict=True) if asked & set(map(_folded, both)))


def _folded(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()).casefold()


def load_suite(path: Path, scale: str | None = None, seeds: int | None = None) -> Suite:
    """Read and validate a whole suite file. `seeds` replaces the file's seeds by 0 .. seeds-1.

    Raises UserError with every problem found: file, line, key, value and the nearest valid spelling.
    """
    if not any(map(str.isalnum, path.stem)):  # its report goes to reports/<name>/, and `..` is none
        raise UserError(f"{path}: a suite is called after its file, and '{path.stem}' is no name; rename the file")
    data, lines = read_yaml(path)
    source = YamlFile(path, data, lines)
    try:
        file = SuiteFile.model_validate(data)
    except ValidationError as error:
        raise UserError(format_errors(error, SuiteFile, path, lines)) from None
    chosen = scale or next(iter(file.scales))
    if chosen not in file.scales:
        raise UserError(f"{source.at(('scales',))}: unknown scale '{chosen}'; {did_you_mean(chosen, file.scales)}")
    if len(set(title := [table.title for table in file.tables])) < len(title):
        raise UserError(f"{source.at(('tables',))}: two tables have the same title")
    used_seeds = tuple(range(seeds)) if seeds else tuple(file.scales[chosen].seeds or file.seeds)
    if len(set(used_seeds)) < len(used_seeds):
        raise UserError(f"{source.at(('seeds',))}: a seed stands twice")
    cells = CellBuilder(source, file, chosen, used_seeds).cells()
    if rows := file.scales[chosen].rows:
        at = source.at(("scales", chosen, "rows"))
        cells = _named(cells, {name: f"{at}: no such row: '{name}'" for name in rows})
    return Suite(
        name=path.stem,
        path=path,
        title=file.title,
        about=file.about.strip(),
        scale=chosen,
        scale_about=file.scales[chosen].about,
        scales=tuple(file.scales),
        seeds=used_seeds,
        seeds_option=seeds,
        resources=file.resources,
        tolerance=dict(file.tolerance),
        tables={table.title: table.note for table in file.tables},
        cells=cells,
    )
