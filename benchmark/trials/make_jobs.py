"""Builds the jobs of trials. Data and reference features are prepared once, in the driver; a job names their files."""

import logging
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmark.config.schema import Resources
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.spec import TrialSpec, canonical_json
from benchmark.data.arrays import PreparedData
from benchmark.data.prepared import open_prepared
from benchmark.evaluation.references import EvaluationAssets, prepare_references, unmeasurable
from benchmark.store.workspace import Workspace
from benchmark.trials.build import count_classes
from benchmark.trials.job import Job

logger = logging.getLogger(__name__)


def make_jobs(
    specs: Iterable[TrialSpec],
    *,
    workspace: Workspace,
    data_dir: Path,
    resources: Resources,
    scratch: Path | None = None,
    with_gpu: bool | None = None,
) -> list[Job]:
    """A job for each trial.

    Args:
        specs: the trials.
        workspace: where prepared data and evaluation assets are kept, and trials write.
        data_dir: folder of raw datasets and downloaded weights.
        resources: what each trial gets.
        scratch: where trials write instead of the workspace.
        with_gpu: whether there is a GPU where the trials run; None: whether there is one here.

    Raises:
        UserError: if data or weights are missing, or do not fit a trial.
    """
    gpus = resources.gpus if (torch.cuda.is_available() if with_gpu is None else with_gpu) else 0.0
    vmap_seeds = seeds_per_process(resources, gpus)
    specs = group_seeds(specs, vmap_seeds)

    datasets = _open_datasets(specs, workspace, data_dir)
    keys = [(spec.dataset, canonical_json(spec.protocol.model_dump(mode="json")["measures"])) for spec in specs]
    used = dict(zip(keys, specs, strict=True))
    problems = (
        unmeasurable(spec.protocol, registry.datasets[name], datasets[name]) for (name, _), spec in used.items()
    )
    if messages := [f"{label}: {problem}" for found in problems for label, problem in found.items()]:
        raise UserError("\n".join(dict.fromkeys(messages)))  # before the first features are extracted
    assets: dict[tuple[str, str], EvaluationAssets] = {}
    for key, spec in zip(keys, specs, strict=True):
        if key not in assets:
            logger.info("preparing the evaluation on %s: %s", spec.dataset, ", ".join(spec.protocol.measures))
            dataset, data = registry.datasets[spec.dataset], datasets[spec.dataset]
            assets[key] = prepare_references(spec.protocol, dataset, data, workspace.instruments, data_dir)

    return [
        Job(
            spec=spec,
            data=datasets[spec.dataset].path,
            assets=assets[key],
            checkpoints=scratch or workspace.checkpoints,
            samples=scratch / "samples" if scratch else workspace.samples,
            cpus=resources.cpus,
            gpus=gpus,
            time_limit=resources.time_limit,
            checkpoint_seconds=resources.checkpoint_seconds,
            vmap_seeds=vmap_seeds,
            graphs=resources.graphs,
            checksums=datasets[spec.dataset].manifest.get("checksums", {}),
        )
        for key, spec in zip(keys, specs, strict=True)
    ]


def _open_datasets(specs: list[TrialSpec], workspace: Workspace, data_dir: Path) -> dict[str, PreparedData]:
    """The prepared data of every dataset, after checking that trials find the labels that they need."""
    datasets: dict[str, PreparedData] = {}
    for name in dict.fromkeys(spec.dataset for spec in specs):
        dataset = registry.datasets[name]
        if dataset.is_bundled:  # a command prepares all other datasets before a run
            dataset.prepare(data_dir, workspace.data)
        datasets[name] = open_prepared(dataset.prepared_dir(workspace.data))
    checked = set()
    for spec in specs:
        use = (spec.method, canonical_json(spec.options), spec.batch_size, spec.dataset)
        if use not in checked:
            check_labels(spec, datasets[spec.dataset])
            checked.add(use)
    return datasets


def seeds_per_process(resources: Resources, gpus: float) -> int:
    """How many seeds are trained as one model. Vmapped training is faster on a GPU and slower on a CPU."""
    return resources.vmap_seeds if gpus else 1


def group_seeds(specs: Iterable[TrialSpec], size: int) -> list[TrialSpec]:
    """The trials, reordered so that groups of `size` seeds of a cell are adjacent; first groups of all cells first."""
    if size == 1:
        return list(specs)
    cells: dict[str, list[TrialSpec]] = {}
    for spec in specs:
        cells.setdefault(spec.cell_id, []).append(spec)
    longest = max(map(len, cells.values()), default=0)
    return [spec for start in range(0, longest, size) for cell in cells.values() for spec in cell[start : start + size]]


def check_labels(spec: TrialSpec, data: PreparedData) -> None:
    """Raises UserError if the method learns from labels and the prepared images do not have the labels it needs."""
    method = registry.methods[spec.method]
    label_fraction = method.label_fraction(spec.options)
    if not label_fraction:
        return
    classes = count_classes(registry.datasets[spec.dataset], data)
    unlabelled = int((data.train.labels < 0).sum())
    if classes == 0 or (label_fraction == 1 and unlabelled):
        raise UserError(
            f"method '{spec.method}' learns from labels, and {unlabelled:,} of {len(data.train.labels):,} images of"
            f" {spec.dataset} have none; put every image into a folder of its class, and type"
            f" `python -m benchmark datasets prepare {spec.dataset}`"
        )
    problem = method.check_config(spec.options, spec.batch_size, classes)
    if problem:
        raise UserError(f"method '{spec.method}' on {spec.dataset}: {problem}")
