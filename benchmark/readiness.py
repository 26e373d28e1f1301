"""Whether `run` can use datasets and weights as they stand here, and else what to type."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmark import plugins
from benchmark.data.base import Dataset
from benchmark.data.fetch import ways
from benchmark.data.prepare import damage
from benchmark.measures import extractors_of
from benchmark.spec import TrialSpec
from benchmark.workspace import Workspace, as_options


class Missing(NamedTuple):
    """Dataset, or feature extractor -> what is wrong with its files and what to type."""

    data: dict[str, str]
    weights: dict[str, str]

    @property
    def problems(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.data.values(), *self.weights.values())


def what_is_missing(specs: Collection[TrialSpec], workspace: Workspace, data_dir: Path) -> Missing:
    """What these trials cannot do without."""
    datasets = dict.fromkeys(spec.dataset for spec in specs)
    protocols = {id(spec.protocol): spec.protocol for spec in specs}  # the seeds of a cell share theirs
    extractors = dict.fromkeys(name for protocol in protocols.values() for name in extractors_of(protocol))
    return Missing(
        _told((name, unready(plugins.datasets[name], workspace, data_dir)) for name in datasets),
        _told((name, plugins.extractors[name].missing(data_dir)) for name in extractors),
    )


def _told(problems: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    return {name: problem for name, problem in problems if problem}


def unready(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> str | None:
    """What is wrong and what to type; None for whole arrays, and for images that ship with a package."""
    folder = dataset.folder(workspace.data)
    if dataset.is_prepared(workspace.data):
        harm = damage(folder)
        return harm and f"{harm}\n  {preparing(dataset, workspace, data_dir)}"
    if dataset.ships:
        return None
    missing = dataset.missing(data_dir)
    if missing:
        return missing + ways(dataset, as_options(workspace, data_dir))
    return (
        f"dataset {dataset.name}: its raw files are here, and are not prepared yet. Type:\n"
        f"  {preparing(dataset, workspace, data_dir)}"
    )


def preparing(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> str:
    """The command that prepares a dataset whose raw files are here."""
    return f"python -m benchmark datasets prepare {dataset.name}{as_options(workspace, data_dir)}"


def next_command(dataset: type[Dataset], workspace: Workspace, data_dir: Path) -> str:
    """One line for a list: what to type next for a dataset that is not ready; `fetch` also says what it cannot get."""
    if dataset.is_prepared(workspace.data) or not dataset.missing(data_dir):
        return preparing(dataset, workspace, data_dir)
    return f"python -m benchmark datasets fetch {dataset.name}{as_options(workspace, data_dir)}"
