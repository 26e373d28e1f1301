"""The cells of a suite: layers merged, names checked, trials written out in full."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from benchmark.config.layers import ConfigLayers, Provenance, YamlFile
from benchmark.config.messages import error_message
from benchmark.config.published import PublishedReference, PublishedTables
from benchmark.config.resolve import SpecResolver
from benchmark.config.scales import apply_scale
from benchmark.config.schema import Overrides, RowConfig, ScaleConfig, SuiteFile, TableConfig
from benchmark.config.yaml_source import KeyPath, read_yaml
from benchmark.core import registry
from benchmark.core.errors import UserError, did_you_mean, with_location
from benchmark.core.protocol import all_outputs, metric_outputs
from benchmark.core.spec import TrialSpec

METHODS = "methods"  # in a recipe or table: what is set for single methods


@dataclass(frozen=True)
class Cell:
    """One place in a table: what is trained for it, and what was published there (None: nothing known).

    `provenance`: of every value that files set, by key path; what is not there is a default.
    """

    table: str
    row: str
    published: PublishedReference | None
    note: str
    specs: tuple[TrialSpec, ...]
    provenance: dict[KeyPath, Provenance] = field(default_factory=dict, compare=False, repr=False)


@dataclass
class CellBuilder:
    """Builds the cells of one suite, collecting problems so that all can be mended at once."""

    source: YamlFile
    file: SuiteFile
    scale: str
    seeds: tuple[int, ...]
    problems: list[str] = field(default_factory=list)
    recipes: dict[str, YamlFile] = field(default_factory=dict)  # files already read

    @cached_property
    def library(self) -> PublishedTables:
        """The papers beside the suite."""
        return PublishedTables(self.source.path.parent / "papers")

    def cells(self) -> tuple[Cell, ...]:
        """All cells in the order of the file. Raises UserError with every problem found, each once."""
        cells = []
        for index, table in enumerate(self.file.tables):
            for label in table.published_as:
                if label not in table.rows:
                    where = self.source.at(("tables", index, "published_as", label))
                    self.problems.append(f"{where}: there is no row '{label}'; {did_you_mean(label, table.rows)}")
            seen: dict[str, str] = {}
            for label, raw in table.rows.items():
                at: KeyPath = ("tables", index, "rows", label)
                try:
                    cell = self._cell(table, index, label, raw, at)
                except UserError as error:
                    self.problems.append(str(error))
                    continue
                twin = seen.setdefault(cell.specs[0].trial_id, label)
                if twin != label:
                    self.problems.append(
                        f"{self.source.at(at)}: the same cell as row '{twin}'; remove one or change its recipe"
                    )
                cells.append(cell)
        self._check_tolerance(cells)
        if self.problems:
            raise UserError("\n".join(dict.fromkeys("\n".join(self.problems).splitlines())))
        scale = self.file.scales[self.scale]
        return tuple(self._reduced(cell, scale) for cell in cells)

    def _reduced(self, cell: Cell, scale: ScaleConfig) -> Cell:
        """The cell at a scale, with all seeds; what stands in for real images has no published value."""
        spec = apply_scale(cell.specs[0], scale)
        published = None if scale.synthetic else cell.published
        return replace(cell, specs=spec.with_seeds(self.seeds), published=published)

    def _check_tolerance(self, cells: list[Cell]) -> None:
        known = {key for cell in cells for key in metric_outputs(cell.specs[0].protocol)}
        for key in self.file.tolerance if cells else ():
            if key not in known:
                where = self.source.at(("tolerance", key))
                self.problems.append(f"{where}: no cell of this suite measures '{key}'; {did_you_mean(key, known)}")

    def _cell(self, table: TableConfig, index: int, label: str, raw: Overrides, at: KeyPath) -> Cell:
        own = {key: value for key, value in raw.items() if key in ("published", "note", "recipe")}
        try:
            row = RowConfig.model_validate(own)
        except ValidationError as error:
            raise UserError(
                "\n".join(f"{self.source.at((*at, *e['loc']))}: {error_message(e, RowConfig)}" for e in error.errors())
            ) from None
        patch = {key: value for key, value in raw.items() if key not in own}
        method = next((p["method"] for p in (patch, table.defaults, self.file.defaults) if "method" in p), None)
        layers = ConfigLayers()
        layers.overlay(self.file.defaults, self.source, ("defaults",))
        of_table = [table.recipe] if isinstance(table.recipe, str) else table.recipe or []
        for recipe, key in (
            (self.file.recipe, ("recipe",)),
            *((name, ("tables", index, "recipe")) for name in of_table),
            (row.recipe, (*at, "recipe")),
        ):
            if recipe is not None:
                recipe_source = self._recipe(recipe, key)
                whole = {key: value for key, value in recipe_source.data.items() if key != METHODS}
                layers.overlay(whole, recipe_source, ())
                by_method = recipe_source.data.get(METHODS, {})
                self._overlay_method(layers, recipe_source, (METHODS,), by_method, method)
        here: KeyPath = ("tables", index)
        layers.overlay(table.defaults, self.source, (*here, "defaults"))
        self._overlay_method(layers, self.source, (*here, METHODS), table.methods, method)
        layers.overlay(patch, self.source, at)
        layers.overlay(self.file.scales[self.scale].cell, self.source, ("scales", self.scale, "cell"))
        spec = self._spec(layers, self.source.at(at))
        published = self._published(table, index, label, row, at)
        self._check_published(published, spec, ("tables", index, "published"))
        return Cell(table.title, label, published, row.note, (spec,), layers.provenance)

    def _overlay_method(self, layers: ConfigLayers, source: YamlFile, at: KeyPath, by_method: Any, method: Any) -> None:
        """Lay over the others what is set for the row's method."""
        if not isinstance(by_method, dict) or not all(isinstance(patch, dict) for patch in by_method.values()):
            raise UserError(f"{source.at(at)}: must map each method to what is set for it")
        for name in by_method:
            with with_location(source.at((*at, name))):
                registry.methods.check(name)
        if isinstance(method, str) and method in by_method:  # what else it may be is refused with the rest of the trial
            layers.overlay(by_method[method], source, (*at, method))

    def _check_published(self, published: PublishedReference | None, spec: TrialSpec, at: KeyPath) -> None:
        """A published value must be about the cell's dataset, and of a metric that there is."""
        if published is None:
            return
        if published.dataset != spec.dataset:
            raise UserError(
                f"{self.source.at(at)}: is about dataset '{published.dataset}', the cell about '{spec.dataset}'"
            )
        known = all_outputs() | metric_outputs(spec.protocol).keys()
        for key in published.values:
            if key not in known:
                where = f"{self.source.at(at)}: row '{published.row}'"
                raise UserError(f"{where}: no metric gives '{key}'; {did_you_mean(key, known)}")

    def _recipe(self, name: str, key: KeyPath) -> YamlFile:
        if name in self.recipes:
            return self.recipes[name]
        folder = self.source.path.parent / "recipes"
        known = [path.stem for path in folder.glob("*.yaml")]
        if name not in known:
            raise UserError(f"{self.source.at(key)}: unknown recipe '{name}'; {did_you_mean(name, known)}")
        path = folder / f"{name}.yaml"
        self.recipes[name] = YamlFile(path, *read_yaml(path))
        return self.recipes[name]

    def _published(
        self, table: TableConfig, index: int, label: str, row: RowConfig, at: KeyPath
    ) -> PublishedReference | None:
        told = row.published or table.published_as.get(label)
        key: KeyPath = (*at, "published") if row.published else ("tables", index, "published_as", label) if told else at
        if told == "none":
            return None
        if told and told.count("/") == 2:
            reference, name = told.rsplit("/", 1)
            return self._published_row(reference, name, key, "")
        if table.published is None:
            if told:
                where = self.source.at(key)
                raise UserError(
                    f"{where}: '{told}' is a row of no table; write paper/table/row, or give the table 'published'"
                )
            return None
        with with_location(self.source.at(("tables", index, "published"))):
            self.library.table(table.published)
        return self._published_row(
            table.published, told or label, key, "; write 'published: none' when no value is known"
        )

    def _published_row(self, reference: str, name: str, key: KeyPath, advice: str) -> PublishedReference:
        with with_location(self.source.at(key)):
            paper, table = self.library.table(reference)
            if name not in table.rows:
                raise UserError(f"{reference} has no row '{name}'; {did_you_mean(name, table.rows)}{advice}")
        return PublishedReference(paper=paper, table=table, row=name)

    def _spec(self, layers: ConfigLayers, cell_place: str) -> TrialSpec:
        """With the first seed."""
        for key in ("seed", "version"):  # fields of a trial that are not the suite's to set
            if key in layers.values:
                where = layers.place_of((key,), cell_place)
                raise UserError(f"{where}: '{key}' cannot be set here" + ("; use 'seeds'" if key == "seed" else ""))
        try:
            spec = TrialSpec.model_validate({**layers.values, "seed": self.seeds[0]})
        except ValidationError as error:
            raise UserError(
                "\n".join(
                    f"{layers.place_of(e['loc'], cell_place)}: "
                    + (f"'{e['loc'][-1]}' is required" if e["type"] == "missing" else error_message(e, TrialSpec))
                    for e in error.errors()
                )
            ) from None
        return SpecResolver(layers, cell_place).resolved(spec)
