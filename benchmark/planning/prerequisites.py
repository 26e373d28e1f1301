"""Whether the datasets, weights and cores that a run needs are here, and what to do if not."""

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.config.cells import Cell
from benchmark.config.schema import Resources
from benchmark.config.suite import Suite
from benchmark.core import environment, registry
from benchmark.core.errors import UserError
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

    `steps` says the same in one line each: "dataset NAME" or "weights NAME" -> what to do next; `by_hand` are those of
    them that no program can do. `command` does all others at once; it is empty outside of suites. `measures` are those
    that the prepared images do not suffice for, by the place where a suite sets them. `all_inputs` are the names of
    all datasets and of all extractors with files, usable or not.
    """

    data: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    by_hand: frozenset[str] = frozenset()
    command: str = ""
    measures: dict[str, str] = field(default_factory=dict)
    all_inputs: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """For people: everything about a single missing thing, the next steps for several, empty for none."""
        unmeasurable = [f"{place}: {problem}" for place, problem in self.measures.items()]
        return "\n".join([*filter(None, [self._inputs_message]), *unmeasurable])

    @property
    def next_steps(self) -> dict[str, str]:
        """What is missing -> what to do next: one command for all that a program can get, and a step for each other."""
        automatic = [what for what in self.steps if what not in self.by_hand]
        if not self.command or len(automatic) < 2:
            return self.steps
        return {", ".join(automatic): self.command} | {
            what: step for what, step in self.steps.items() if what in self.by_hand
        }

    @property
    def _inputs_message(self) -> str:
        if len(self.steps) <= 1:
            return "".join((*self.data.values(), *self.weights.values()))
        lines = [f"  {what}\n    {step}" for what, step in self.next_steps.items()]
        more = "`python -m benchmark datasets fetch NAME` explains how to get any of these."
        return "\n".join(["Missing on this machine; to get them:", *lines, more])


def find_missing(
    specs: Collection[TrialSpec], workspace: Workspace, data_dir: Path, suite: Suite | None = None
) -> MissingInputs:
    """What these trials, of a suite if one is given, need and cannot use."""
    datasets = {name: registry.datasets[name] for name in dict.fromkeys(spec.dataset for spec in specs)}
    protocols = {id(spec.protocol): spec.protocol for spec in specs}  # the seeds of a cell share theirs
    extractors = dict.fromkeys(name for protocol in protocols.values() for name in extractors_used(protocol))
    data = _without_none({name: why_not_ready(of, workspace, data_dir) for name, of in datasets.items()})
    weights = _without_none({name: registry.extractors[name].missing_message(data_dir) for name in extractors})
    options = as_options(workspace, data_dir)
    steps = {f"dataset {name}": next_command(datasets[name], workspace, data_dir) for name in data}
    steps |= {f"weights {name}": f"python -m benchmark datasets fetch {name}{options}" for name in weights}
    files = [name for name in extractors if registry.extractors[name].needs_download]
    downloads = weights or any(needs_files(datasets[name], workspace, data_dir) for name in data)
    return MissingInputs(
        data,
        weights,
        steps,
        by_hand=frozenset(f"dataset {name}" for name in data if needs_hands(datasets[name], workspace, data_dir)),
        command=gather_command("fetch" if downloads else "prepare", suite, options) if suite else "",
        all_inputs=(*(name for name, of in datasets.items() if not of.is_bundled), *files),
    )


def gather_command(verb: str, suite: Suite, options: str) -> str:
    """The command that gets (verb `fetch` or `prepare`) all that a suite needs, with these command-line options."""
    scale = [] if suite.scale == suite.scales[0] else ["--scale", suite.scale]
    cells = [word for name in suite.only for word in ("--only", name)]
    words = ["python", "-m", "benchmark", "datasets", verb, "--for", str(suite.path), *scale, *cells]
    return shlex.join(words) + options


def needs_files(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> bool:
    """Whether raw files of a dataset must be obtained before it can be prepared."""
    return not dataset.is_prepared(workspace.data) and bool(dataset.missing_files(data_dir))


def needs_hands(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> bool:
    """Whether raw files must be brought by hand, or damaged arrays removed, before a dataset can be prepared."""
    if dataset.is_prepared(workspace.data):
        return find_damage(dataset.prepared_dir(workspace.data)) is not None
    return not dataset.downloads and needs_files(dataset, workspace, data_dir)


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


def require_room(resources: Resources) -> None:
    """Raise UserError if a trial needs more than this machine has: Ray would wait for it forever."""
    import torch

    gpus = torch.cuda.device_count() if resources.gpus and torch.cuda.is_available() else 0
    cores = environment.available_cores()
    if resources.cpus > cores or (gpus and resources.gpus > gpus):
        here = f"{cores} core{'s' * (cores != 1)}" + (f" and {gpus} GPU{'s' * (gpus != 1)}" if gpus else "")
        wanted = f"{resources.cpus} cores" + (f" and {resources.gpus:g} GPUs" if gpus else "")
        raise UserError(
            f"`resources` of the suite: a trial needs {wanted}, and this machine has {here} to give;"
            " lower `resources`, or join a cluster with --address"
        )
