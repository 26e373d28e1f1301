"""Suite YAML -> validated cells -> trials.

A suite is written like the table that it reproduces. What a cell trains is layered from general to special:
the suite's `defaults`, the named `recipe`, the table's `defaults`, the row, the scale. Every leaf remembers
the file and key that it came from, so that a message can point there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from benchmark import plugins
from benchmark.errors import UserError, hint
from benchmark.papers import Published, load_table
from benchmark.spec import Frozen, PositiveFloat, PositiveInt, Seed, TrialSpec
from benchmark.validation import complaint, explain
from benchmark.yaml_file import KeyPath, place, read_yaml

Patch = dict[str, Any]
RunnerName = Literal["ray", "inprocess"]


class Resources(Frozen):
    """What one trial gets: `cpus` (and as many threads), and `gpus`, a share used where there is a GPU."""

    cpus: PositiveInt = 1
    gpus: Annotated[float, Field(strict=True, ge=0, le=64)] = 0.0


class Row(Frozen):
    """One method of a table. `published` names the row of the published table when the labels differ."""

    published: str | None = None
    note: str = ""
    recipe: str | None = None
    cell: Patch = Field(default_factory=dict)


class Table(Frozen):
    """A table to reproduce. `published` is `paper/table`; without it no published value is known."""

    title: str
    published: str | None = None
    note: str = ""
    recipe: str | None = None
    defaults: Patch = Field(default_factory=dict)
    rows: Annotated[dict[str, Patch], Field(min_length=1)]


class Scale(Frozen):
    """A named reduction of every cell, or the full recipe when it is empty and called `paper`."""

    about: str = ""
    seeds: list[Seed] | None = None
    cell: Patch = Field(default_factory=dict)


class SuiteFile(Frozen):
    """The schema of a suite file."""

    title: str
    about: str = ""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    resources: Resources = Resources()
    tolerance: Annotated[dict[str, PositiveFloat], Field(default_factory=dict)]
    defaults: Patch = Field(default_factory=dict)
    recipe: str | None = None
    tables: Annotated[list[Table], Field(min_length=1)]
    scales: Annotated[dict[str, Scale], Field(min_length=1)]


@dataclass(frozen=True)
class Cell:
    """One place in a table: what is trained for it, and what was published there (None: nothing known)."""

    table: str
    row: str
    published: Published | None
    note: str
    specs: tuple[TrialSpec, ...]


@dataclass(frozen=True)
class Suite:
    """A validated suite at one scale."""

    name: str
    path: Path
    title: str
    about: str
    scale: str
    scale_about: str
    seeds: tuple[int, ...]
    counted_seeds: int | None  # how many were asked for from outside, in place of the file's
    resources: Resources
    tolerance: dict[str, float]
    tables: dict[str, str]  # title -> note, in the order of the file
    cells: tuple[Cell, ...]

    @property
    def reduced(self) -> bool:
        """Whether trials are smaller than the published recipe, so that no verdict may be passed."""
        return self.scale != "paper"

    @property
    def specs(self) -> dict[str, TrialSpec]:
        """Trial id -> trial, each once, in the order of the file, first seeds first."""
        ordered = sorted(
            ((spec, index) for index, cell in enumerate(self.cells) for spec in cell.specs),
            key=lambda pair: (self.seeds.index(pair[0].seed), pair[1]),
        )
        return {spec.trial_id: spec for spec, _ in ordered}


@dataclass(frozen=True)
class _Source:
    """A file, with the line of each of its keys."""

    path: Path
    data: Patch
    lines: dict[KeyPath, int]

    def at(self, path: KeyPath) -> str:
        return place(self.path, path, self.lines)


@dataclass
class _Layers:
    """Patches merged into one, remembering where each leaf was written."""

    values: Patch = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def overlay(self, patch: Patch, source: _Source, at: KeyPath) -> None:
        self._merge(self.values, patch, source, at, ())

    def _merge(self, target: Patch, patch: Patch, source: _Source, at: KeyPath, here: KeyPath) -> None:
        for key, value in patch.items():
            path = (*here, key)
            self.origins[path] = source.at((*at, *path))
            if isinstance(value, dict) and isinstance(target.get(key), dict):
                self._merge(target[key], value, source, at, path)
            else:
                target[key] = _copied(value)
                self._note_leaves(value, source, at, path)

    def _note_leaves(self, value: Any, source: _Source, at: KeyPath, path: KeyPath) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            self.origins[(*path, key)] = source.at((*at, *path, key))
            self._note_leaves(inner, source, at, (*path, key))

    def place_of(self, path: KeyPath, otherwise: str) -> str:
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return otherwise


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def load_suite(path: Path, scale: str | None = None, seeds: int | None = None) -> Suite:
    """Read and validate a whole suite file. `seeds` replaces the file's seeds by 0 .. seeds-1.

    Raises UserError with every problem found: file, line, key, value and the nearest valid spelling.
    """
    data, lines = read_yaml(path)
    source = _Source(path, data, lines)
    try:
        file = SuiteFile.model_validate(data)
    except ValidationError as error:
        raise UserError(explain(error, SuiteFile, path, lines)) from None
    chosen = scale or next(iter(file.scales))
    if chosen not in file.scales:
        raise UserError(f"{source.at(('scales',))}: unknown scale '{chosen}'; {hint(chosen, file.scales)}")
    if len(set(title := [table.title for table in file.tables])) < len(title):
        raise UserError(f"{source.at(('tables',))}: two tables have the same title")
    used_seeds = tuple(range(seeds)) if seeds else tuple(file.scales[chosen].seeds or file.seeds)
    if len(set(used_seeds)) < len(used_seeds):
        raise UserError(f"{source.at(('seeds',))}: a seed stands twice")
    builder = _Builder(source, file, chosen, used_seeds)
    return Suite(
        name=path.stem,
        path=path,
        title=file.title,
        about=file.about.strip(),
        scale=chosen,
        scale_about=file.scales[chosen].about,
        seeds=used_seeds,
        counted_seeds=seeds,
        resources=file.resources,
        tolerance=dict(file.tolerance),
        tables={table.title: table.note for table in file.tables},
        cells=builder.cells(),
    )


@dataclass
class _Builder:
    """Builds the cells of one suite, collecting problems so that all can be mended at once."""

    source: _Source
    file: SuiteFile
    scale: str
    seeds: tuple[int, ...]
    problems: list[str] = field(default_factory=list)

    def cells(self) -> tuple[Cell, ...]:
        cells = []
        for index, table in enumerate(self.file.tables):
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
        return tuple(cells)

    def _check_tolerance(self, cells: list[Cell]) -> None:
        known = outputs_of(cell.specs[0].protocol.metric for cell in cells)
        for key in self.file.tolerance if cells else ():
            if key not in known:
                where = self.source.at(("tolerance", key))
                self.problems.append(f"{where}: no cell of this suite measures '{key}'; {hint(key, known)}")

    def _cell(self, table: Table, index: int, label: str, raw: Patch, at: KeyPath) -> Cell:
        own = {key: value for key, value in raw.items() if key in ("published", "note", "recipe")}
        try:
            row = Row.model_validate(own)
        except ValidationError as error:
            raise UserError(
                "\n".join(f"{self.source.at((*at, *e['loc']))}: {complaint(e, Row)}" for e in error.errors())
            ) from None
        patch = {key: value for key, value in raw.items() if key not in own}
        layers = _Layers()
        layers.overlay(self.file.defaults, self.source, ("defaults",))
        for recipe, key in (
            (self.file.recipe, ("recipe",)),
            (table.recipe, ("tables", index, "recipe")),
            (row.recipe, (*at, "recipe")),
        ):
            if recipe is not None:
                recipe_source = self._recipe(recipe, key)
                layers.overlay(recipe_source.data, recipe_source, ())
        layers.overlay(table.defaults, self.source, ("tables", index, "defaults"))
        layers.overlay(patch, self.source, at)
        layers.overlay(self.file.scales[self.scale].cell, self.source, ("scales", self.scale, "cell"))
        specs = self._specs(layers, self.source.at(at))
        published = self._published(table, index, label, row, at)
        self._check_published(published, specs[0], ("tables", index, "published"))
        return Cell(table.title, label, published, row.note, specs)

    def _check_published(self, published: Published | None, spec: TrialSpec, at: KeyPath) -> None:
        """A published value must be about the cell's dataset, and of a metric that there is."""
        if published is None:
            return
        if published.table.dataset != spec.dataset:
            raise UserError(
                f"{self.source.at(at)}: is about dataset '{published.table.dataset}', the cell about '{spec.dataset}'"
            )
        known = outputs_of(plugins.metrics)
        for key in published.values:
            if key not in known:
                where = f"{self.source.at(at)}: row '{published.row}'"
                raise UserError(f"{where}: no metric gives '{key}'; {hint(key, known)}")

    def _recipe(self, name: str, key: KeyPath) -> _Source:
        folder = self.source.path.parent / "recipes"
        known = [path.stem for path in folder.glob("*.yaml")]
        if name not in known:
            raise UserError(f"{self.source.at(key)}: unknown recipe '{name}'; {hint(name, known)}")
        path = folder / f"{name}.yaml"
        return _Source(path, *read_yaml(path))

    def _published(self, table: Table, index: int, label: str, row: Row, at: KeyPath) -> Published | None:
        if table.published is None:
            return None
        try:
            paper, published = load_table(self.source.path.parent / "papers", table.published)
        except UserError as error:
            raise UserError(f"{self.source.at(('tables', index, 'published'))}: {error}") from None
        name = row.published or label
        if name == "none":
            return None
        if name not in published.rows:
            key = (*at, "published") if row.published else at
            raise UserError(
                f"{self.source.at(key)}: {table.published} has no row '{name}'; {hint(name, published.rows)};"
                " write 'published: none' when no value is known"
            )
        return Published(paper=paper, table=published, row=name)

    def _specs(self, layers: _Layers, cell_place: str) -> tuple[TrialSpec, ...]:
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
                    + (f"'{e['loc'][-1]}' is required" if e["type"] == "missing" else complaint(e, TrialSpec))
                    for e in error.errors()
                )
            ) from None
        spec = self._resolved(spec, layers, cell_place)
        return tuple(spec.model_copy(update={"seed": seed}) for seed in self.seeds)

    def _resolved(self, spec: TrialSpec, layers: _Layers, cell_place: str) -> TrialSpec:
        """The trial with every option of its method and network written out, and all names checked."""
        for kind, registry in (
            ("method", plugins.methods),
            ("network", plugins.networks),
            ("dataset", plugins.datasets),
        ):
            with _at(layers.place_of((kind,), cell_place)):
                registry.check(getattr(spec, kind))
        with _at(layers.place_of(("protocol", "metric"), cell_place)):
            plugins.metrics.check(spec.protocol.metric)
        if spec.protocol.evaluations > spec.steps:
            where = layers.place_of(("protocol", "evaluations"), cell_place)
            raise UserError(f"{where}: {spec.protocol.evaluations} evaluations do not fit in {spec.steps} steps")
        method, network = plugins.methods[spec.method], plugins.networks[spec.network]
        options = _validated(method.Options, spec.options, ("options",), layers, cell_place)
        network_options = _validated(network.Options, spec.network_options, ("network_options",), layers, cell_place)
        spec = spec.model_copy(update={"options": options, "network_options": network_options})
        self._check_fit(spec, layers, cell_place)
        return spec

    def _check_fit(self, spec: TrialSpec, layers: _Layers, cell_place: str) -> None:
        """Refuse combinations that could not train, before anything is started."""
        method, network = plugins.methods[spec.method], plugins.networks[spec.network]
        dataset = plugins.datasets[spec.dataset]
        if dataset.shape not in network.shapes:
            fits = sorted(name for name in plugins.networks if dataset.shape in plugins.networks[name].shapes)
            raise UserError(
                f"{layers.place_of(('network',), cell_place)}: network '{spec.network}' does not make"
                f" {'x'.join(map(str, dataset.shape))} images of {spec.dataset}; fitting: {', '.join(fits)}"
            )
        lacking = method.roles - network.roles
        if lacking:
            fits = sorted(n for n in plugins.networks if method.roles <= plugins.networks[n].roles)
            raise UserError(
                f"{layers.place_of(('network',), cell_place)}: method '{spec.method}' needs"
                f" {' and '.join(sorted(lacking))}, which network '{spec.network}' lacks; fitting: {', '.join(fits)}"
            )
        for player in spec.optimizer.player_lr:
            if player not in method.players:
                where = layers.place_of(("optimizer", "player_lr", player), cell_place)
                raise UserError(f"{where}: unknown player '{player}'; {hint(player, method.players)}")
        with _at(layers.place_of(("options",), cell_place)):
            problem = method.problem(spec.options, spec.batch_size)
            if problem:
                raise UserError(problem)
        metric = plugins.metrics[spec.protocol.metric]
        if not metric.fits(dataset):
            raise UserError(
                f"{layers.place_of(('protocol', 'metric'), cell_place)}: metric '{spec.protocol.metric}'"
                f" cannot be measured on {spec.dataset}"
            )


def _validated(model: type[Frozen] | Any, values: Patch, at: KeyPath, layers: _Layers, cell_place: str) -> Patch:
    try:
        return dict(model.model_validate(values).model_dump(mode="json"))
    except ValidationError as error:
        raise UserError(
            "\n".join(f"{layers.place_of((*at, *e['loc']), cell_place)}: {complaint(e, model)}" for e in error.errors())
        ) from None


def outputs_of(metrics: Iterable[str]) -> set[str]:
    """The keys of all numbers that these metrics give."""
    return {output.key for metric in metrics for output in plugins.metrics[metric].outputs}


class _at:  # noqa: N801 - reads as a preposition
    """Puts the place in front of a UserError raised inside."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UserError):
            raise UserError(f"{self.where}: {error}") from None
