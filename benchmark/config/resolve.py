"""Resolving: everything that sets a row's values, merged from general to special.

The layers of a row are, each over the ones before: the suite's `defaults`; the recipes of the suite, of the table and
of the row; the table's `defaults`; the row itself; the scale. A recipe or a table may set values for single methods,
which are merged right after its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmark.config.layers import Layer, MergedLayers, merge
from benchmark.config.schema import RowConfig, SuiteFile, TableConfig
from benchmark.config.yaml_source import KeyPath, YamlFile, read_yaml
from benchmark.core import registry
from benchmark.core.errors import UserError, did_you_mean, with_location

METHODS = "methods"  # in a recipe or a table: method -> what is set for its rows


@dataclass(frozen=True, kw_only=True)
class SuiteRow:
    """A row of a suite file, its table, and the key paths of both."""

    table: TableConfig
    table_key: KeyPath
    label: str
    config: RowConfig

    @property
    def key(self) -> KeyPath:
        """The key path of the row."""
        return (*self.table_key, "rows", self.label)


@dataclass
class RowResolver:
    """Merges the layers of the rows of one suite at one scale."""

    source: YamlFile
    suite: SuiteFile
    scale: str
    _recipes: dict[str, YamlFile] = field(default_factory=dict)  # those already read

    def rows(self) -> Iterator[SuiteRow]:
        """All rows, in the order of the file."""
        for index, table in enumerate(self.suite.tables):
            for label, config in table.rows.items():
                yield SuiteRow(table=table, table_key=("tables", index), label=label, config=config)

    def resolve(self, row: SuiteRow) -> MergedLayers:
        """The merged values of a row. Raises UserError."""
        return merge(self.layers_for(row), default=self.source.location(row.key))

    def layers_for(self, row: SuiteRow) -> list[Layer]:
        """The layers of a row, from general to special. Raises UserError if a recipe or a method is unknown."""
        table, suite = row.table, self.suite
        method = next(
            (o["method"] for o in (row.config.overrides, table.defaults, suite.defaults) if "method" in o), None
        )
        table_recipes = [table.recipe] if isinstance(table.recipe, str) else table.recipe or []
        recipes = [
            (suite.recipe, ("recipe",)),
            *((name, (*row.table_key, "recipe")) for name in table_recipes),
            (row.config.recipe, (*row.key, "recipe")),
        ]
        layers = [Layer(suite.defaults, self.source, ("defaults",))]
        for name, key in recipes:
            if name is not None:
                recipe = self._recipe(name, key)
                layers.append(Layer({k: v for k, v in recipe.data.items() if k != METHODS}, recipe, ()))
                layers += _method_layer(recipe, (METHODS,), recipe.data.get(METHODS, {}), method)
        layers.append(Layer(table.defaults, self.source, (*row.table_key, "defaults")))
        layers += _method_layer(self.source, (*row.table_key, METHODS), table.methods, method)
        layers.append(Layer(row.config.overrides, self.source, row.key))
        layers.append(Layer(suite.scales[self.scale].cell, self.source, ("scales", self.scale, "cell")))
        return layers

    def _recipe(self, name: str, key: KeyPath) -> YamlFile:
        if name not in self._recipes:
            folder = self.source.path.parent / "recipes"
            known = [path.stem for path in folder.glob("*.yaml")]
            if name not in known:
                raise UserError(f"{self.source.location(key)}: unknown recipe '{name}'; {did_you_mean(name, known)}")
            self._recipes[name] = read_yaml(folder / f"{name}.yaml")
        return self._recipes[name]


def _method_layer(file: YamlFile, key: KeyPath, by_method: Any, method: Any) -> list[Layer]:
    """The layer that a recipe or a table has for the row's method, if any."""
    if not isinstance(by_method, dict) or not all(isinstance(overrides, dict) for overrides in by_method.values()):
        raise UserError(f"{file.location(key)}: must map each method to what is set for it")
    for name in by_method:
        with with_location(file.location((*key, name))):
            registry.methods.check(name)
    # A method that is not a text is refused when the trial is validated.
    known = isinstance(method, str) and method in by_method
    return [Layer(by_method[method], file, (*key, method))] if known else []
