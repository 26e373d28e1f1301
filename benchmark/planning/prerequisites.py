"""Whether the datasets and weights that a run needs are usable here, and what to type if not."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.config.cells import Cell
from benchmark.core import registry
from benchmark.core.protocol import extractors_used
from benchmark.core.spec import TrialSpec
from benchmark.data.acquire import acquisition_hint
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.prepared import find_damage, open_prepared
from benchmark.evaluation.references import unmeasurable
from benchmark.store.workspace import Workspace, as_options


@dataclass(frozen=True)
class MissingInputs:
    """Datasets and extractors that cannot be used, by name: what is wrong with their files, and what to type.

    `steps` says the same in one line each: "dataset NAME" or "weights NAME" -> what to do next. `measures` are those
    that the prepared images do not suffice for, by the place where a suite sets them.
    """

    data: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    measures: dict[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """For people: everything about a single missing thing, one line each for several, empty for none."""
        unmeasurable = [f"{place}: {problem}" for place, problem in self.measures.items()]
        return "\n".join([*filter(None, [self._inputs_message]), *unmeasurable])

    @property
    def _inputs_message(self) -> str:
        if len(self.steps) <= 1:
            return "".join((*self.data.values(), *self.weights.values()))
        width = max(map(len, self.steps))
        lines = [f"  {what:{width}}  {step}" for what, step in self.steps.items()]
        more = "`python -m benchmark datasets fetch NAME` explains how to get any of these."
        return "\n".join(["Missing on this machine; to get each:", *lines, more])


def find_missing(specs: Collection[TrialSpec], workspace: Workspace, data_dir: Path) -> MissingInputs:
    """What these trials need and cannot use."""
    datasets = dict.fromkeys(spec.dataset for spec in specs)
    protocols = {id(spec.protocol): spec.protocol for spec in specs}  # the seeds of a cell share theirs
    extractors = dict.fromkeys(name for protocol in protocols.values() for name in extractors_used(protocol))
    data = _without_none({name: why_not_ready(registry.datasets[name], workspace, data_dir) for name in datasets})
    weights = _without_none({name: registry.extractors[name].missing_message(data_dir) for name in extractors})
    options = as_options(workspace, data_dir)
    steps = {f"dataset {name}": next_command(registry.datasets[name], workspace, data_dir) for name in data}
    steps |= {f"weights {name}": f"python -m benchmark datasets fetch {name}{options}" for name in weights}
    return MissingInputs(data, weights, steps)


def unmeasurable_cells(cells: Iterable[Cell], workspace: Workspace) -> dict[str, str]:
    """The measures that the prepared images do not suffice for, by `file:line: key`, and why.

    Cells whose dataset is not prepared, or damaged, are left out.
    """
    problems: dict[str, str] = {}
    opened: dict[str, PreparedData] = {}
    for cell in cells:
        spec = cell.specs[0]
        dataset = registry.datasets[spec.dataset]
        folder = dataset.prepared_dir(workspace.data)
        if spec.dataset not in opened and dataset.is_prepared(workspace.data) and not find_damage(folder):
            opened[spec.dataset] = open_prepared(folder)
        if spec.dataset in opened:
            for label, problem in unmeasurable(spec.protocol, dataset, opened[spec.dataset]).items():
                problems[cell.location(("protocol", "measures", label))] = problem
    return problems


def _without_none(problems: Mapping[str, str | None]) -> dict[str, str]:
    return {name: problem for name, problem in problems.items() if problem}


def why_not_ready(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> str | None:
    """What is wrong with a dataset and what to type; None if it is prepared, or bundled with a package."""
    folder = dataset.prepared_dir(workspace.data)
    if dataset.is_prepared(workspace.data):
        damage = find_damage(folder)
        if damage:
            return f"{damage}\n  {prepare_command(dataset, workspace, data_dir)}"
        changes = dataset.changes(data_dir, workspace.data)
        return changes and (
            f"dataset {dataset.name}: the images in {data_dir / dataset.raw_dir} are not those that were prepared:"
            f" {changes}. To train on them, type:\n  {prepare_command(dataset, workspace, data_dir)}"
        )
    if dataset.is_bundled:
        return None
    missing = dataset.missing_message(data_dir)
    if missing:
        return missing + acquisition_hint(dataset, as_options(workspace, data_dir))
    return (
        f"dataset {dataset.name}: its raw files are here but not prepared yet. Type:\n"
        f"  {prepare_command(dataset, workspace, data_dir)}"
    )


def prepare_command(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> str:
    """The command that prepares a dataset whose raw files are here."""
    return f"python -m benchmark datasets prepare {dataset.name}{as_options(workspace, data_dir)}"


def next_command(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> str:
    """What to do next for a dataset that is not ready, in one line."""
    if dataset.is_prepared(workspace.data):
        damage = find_damage(dataset.prepared_dir(workspace.data))
        problem = damage or f"other images: {dataset.changes(data_dir, workspace.data)}"
        return f"{problem}: {prepare_command(dataset, workspace, data_dir)}"
    if not dataset.missing_files(data_dir):
        return prepare_command(dataset, workspace, data_dir)
    if not dataset.required_files:
        folder = data_dir / dataset.raw_dir
        return f"put your images into {folder}, then {prepare_command(dataset, workspace, data_dir)}"
    way = f"fetch {dataset.name}" if dataset.downloads else f"import {dataset.name} PATH"
    return f"python -m benchmark datasets {way}{as_options(workspace, data_dir)}"
