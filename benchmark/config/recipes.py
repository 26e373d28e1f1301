"""The recipes by which suites train a method: every constant, with its source and where it is set."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchmark.config.cells import Cell
from benchmark.config.messages import field_at
from benchmark.config.suite import Suite, load_suite
from benchmark.config.yaml_source import KeyPath, dotted_key
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.spec import Measure, TrialSpec

DEFAULT = "default"
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Constant:
    """A value of a trial, where it comes from, and the `file:line` that sets it, or `default`."""

    value: Any
    source: str
    where: str


@dataclass(frozen=True)
class RecipeUse:
    """A row that trains a recipe."""

    suite: str
    table: str
    row: str
    scale: str


@dataclass(frozen=True)
class Recipe:
    """A trial except for its seed. `constants` are keyed by dotted key."""

    dataset: str
    uses: tuple[RecipeUse, ...]
    constants: dict[str, Constant]

    def as_json(self) -> dict[str, Any]:
        """The JSON of `methods NAME --json`."""
        return asdict(self)


def recipes_of(method: str, dataset: str | None, folder: Path) -> list[Recipe]:
    """Every distinct recipe by which the suites in a folder train a method, on one dataset or on all.

    Suites are taken at scale `paper`, or else at their first. Raises UserError if there is no recipe.
    """
    registry.methods.check(method)
    if dataset is not None:
        registry.datasets.check(dataset)
    if not folder.is_dir():
        raise UserError(f"{folder}/: no such folder here; run this in the repository, where the suites are")
    uses: dict[str, list[RecipeUse]] = {}
    cells: dict[str, Cell] = {}
    for suite, cell in _cells(folder):
        if cell.specs[0].method == method:
            cell_id = cell.specs[0].cell_id
            cells.setdefault(cell_id, cell)
            uses.setdefault(cell_id, []).append(RecipeUse(suite.name, cell.table, cell.row, suite.scale))
    recipes = [Recipe(cell.specs[0].dataset, tuple(uses[i]), cell_constants(cell)) for i, cell in cells.items()]
    selected = [recipe for recipe in recipes if dataset in (None, recipe.dataset)]
    if not selected:
        known = sorted({recipe.dataset for recipe in recipes})
        on = f" on '{dataset}'" if dataset else ""
        instead = f"it is trained on: {', '.join(known)}" if known else "name it in a row of one"
        raise UserError(f"no suite in {folder}/ trains method '{method}'{on}; {instead}")
    return selected


def _cells(folder: Path) -> Iterator[tuple[Suite, Cell]]:
    for path in sorted(folder.glob("*.yaml")):
        suite = load_suite(path)
        if "paper" in suite.scales and suite.scale != "paper":
            suite = load_suite(path, "paper")
        for cell in suite.cells:
            yield suite, cell


def cell_constants(cell: Cell) -> dict[str, Constant]:
    """Dotted key -> every value of a cell's trials except the seed, in the order of a trial's fields."""
    spec = cell.specs[0]
    constants = {}
    for path, value in _leaves(spec.model_dump(mode="json", exclude={"seed", "version"}), ()):
        origin = cell.provenance.get(path)
        if origin is None:
            constant = Constant(value, _source_of_default(spec, path), DEFAULT)
        else:
            constant = Constant(value, origin.source or _source_of_name(spec, path), origin.line)
        constants[dotted_key(path)] = constant
    return constants


def _leaves(values: dict[str, Any], here: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*here, key))
        else:
            yield (*here, key), value


def _source_of_name(spec: TrialSpec, path: KeyPath) -> str:
    """The source that a method, a network or a dataset states itself."""
    if path == ("method",):
        return registry.methods[spec.method].paper
    if path == ("network",):
        return f"see {_file(registry.networks[spec.network])}"
    if path == ("dataset",):
        return registry.datasets[spec.dataset].source
    return NOT_STATED


def _source_of_default(spec: TrialSpec, path: KeyPath) -> str:
    """The description of the field, or else the file whose docstring says."""
    owner, model, inner = _owner(spec, path)
    field = field_at(model, inner)
    return (field and field.description) or f"default of {owner}, see {_file(model)}"


def _owner(spec: TrialSpec, path: KeyPath) -> tuple[str, type[BaseModel], KeyPath]:
    """What sets the default at a path, its schema, and the path within that schema."""
    if path[0] == "options" and len(path) > 1:
        return spec.method, registry.methods[spec.method].Options, path[1:]
    if path[0] == "network_options" and len(path) > 1:
        return spec.network, registry.networks[spec.network].Options, path[1:]
    if path[:2] == ("protocol", "measures") and len(path) > 4 and path[3] == "options":
        metric = registry.metrics[spec.protocol.measures[str(path[2])].metric]
        return metric.name, metric.Options, path[4:]
    if path[:2] == ("protocol", "measures") and len(path) > 3:
        return "a measure", Measure, path[3:]
    return "a trial", TrialSpec, path


def _file(thing: type[Any]) -> str:
    return thing.__module__.replace(".", "/") + ".py"
