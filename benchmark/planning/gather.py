"""Getting all that a suite needs, in one go: downloads, weights and the preparation of datasets."""

from dataclasses import dataclass, field
from pathlib import Path

from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.data.acquire import fetch
from benchmark.data.base import Dataset
from benchmark.data.raw.download import ProgressCallback
from benchmark.evaluation.extractors.weights import WEIGHTS
from benchmark.planning.prerequisites import find_missing, needs_files, needs_hands, why_not_ready
from benchmark.store.workspace import Workspace


@dataclass
class Gathered:
    """What became of the inputs of a suite, by name.

    Attributes:
        ready: datasets and weights that were already usable.
        new: those that are usable now.
        to_fetch: those that would have to be downloaded.
        by_hand: datasets that no program can download, with instructions.
        failed: those that could not be downloaded or prepared, and why.
    """

    ready: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    to_fetch: list[str] = field(default_factory=list)
    by_hand: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def gather(
    suite: Suite, workspace: Workspace, data_dir: Path, progress: ProgressCallback, *, download: bool
) -> Gathered:
    """Download, unless `download` is False, and prepare what the cells of a suite need.

    A failure does not stop the others.
    """
    missing = find_missing(suite.specs.values(), workspace, data_dir, suite)
    names = [*missing.weights, *missing.data]
    gathered = Gathered(ready=[name for name in missing.all_inputs if name not in names])
    for done, name in enumerate(names):
        progress("all", done, len(names))
        dataset = None if name in missing.weights else registry.datasets[name]
        if dataset and needs_hands(dataset, workspace, data_dir):
            gathered.by_hand[name] = missing.data[name]
        elif not download and (dataset is None or needs_files(dataset, workspace, data_dir)):
            gathered.to_fetch.append(name)
        else:
            try:
                _get(name, dataset, workspace, data_dir, _named(progress, name))
                gathered.new.append(name)
            except UserError as error:
                gathered.failed[name] = str(error)
    return gathered


def _get(
    name: str, dataset: type[Dataset] | None, workspace: Workspace, data_dir: Path, progress: ProgressCallback
) -> None:
    """Download weights, or download and prepare a dataset. Raises UserError if it is not usable afterwards."""
    if dataset is None:
        WEIGHTS[name].fetch(data_dir, progress)
        return
    if needs_files(dataset, workspace, data_dir):
        fetch(dataset, data_dir, progress)
    dataset.prepare(data_dir, workspace.data, progress)
    if problem := why_not_ready(dataset, workspace, data_dir):
        raise UserError(problem)


def _named(progress: ProgressCallback, name: str) -> ProgressCallback:
    """The progress of one input, beside that of others."""
    return lambda task, done, total: progress(f"{name}: {task}", done, total)
