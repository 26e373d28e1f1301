"""Trials -> jobs: data and instruments are prepared once, in the driver, and every trial is told where they are."""

from collections.abc import Iterable
from pathlib import Path

import torch

from benchmark.config.schema import Resources
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.spec import TrialSpec, canonical_json
from benchmark.data.arrays import PreparedData
from benchmark.data.prepared import open_prepared
from benchmark.evaluation.references import EvaluationAssets, Say, prepare_references
from benchmark.store.workspace import Workspace
from benchmark.trials.build import classes_of
from benchmark.trials.job import Job


def make_jobs(
    specs: Iterable[TrialSpec],
    workspace: Workspace,
    data_dir: Path,
    each: Resources,
    say: Say,
    scratch: Path | None = None,
    with_gpu: bool | None = None,
) -> list[Job]:
    """A job for each trial, with these resources. Raises UserError when data or weights are missing or do not fit.

    What trials write goes to the workspace, or else under `scratch`. `with_gpu`: whether there is a GPU where they
    run; by default, whether there is one here.
    """
    checkpoints, samples = workspace.checkpoints, workspace.samples
    if scratch:
        checkpoints, samples = scratch, scratch / "samples"
    prepared: dict[str, PreparedData] = {}
    instruments: dict[tuple[str, str], EvaluationAssets] = {}
    jobs = []
    gpus = each.gpus if (torch.cuda.is_available() if with_gpu is None else with_gpu) else 0.0
    together = seeds_per_process(each, gpus)
    labelled = set()
    for spec in group_seeds(specs, together):
        dataset = registry.datasets[spec.dataset]
        if spec.dataset not in prepared:
            if dataset.is_bundled:  # all else was prepared before
                dataset.prepare(data_dir, workspace.data)
            prepared[spec.dataset] = open_prepared(dataset.prepared_dir(workspace.data))
        data = prepared[spec.dataset]
        if (kind := (spec.method, canonical_json(spec.options), spec.batch_size, spec.dataset)) not in labelled:
            check_labels(spec, data)
            labelled.add(kind)
        key = (spec.dataset, canonical_json(spec.protocol.model_dump(mode="json")["measures"]))
        if key not in instruments:
            say(f"preparing what is measured on {spec.dataset}: {', '.join(spec.protocol.measures)}")
            instruments[key] = prepare_references(spec.protocol, dataset, data, workspace.instruments, data_dir, say)
        rest = each.time_limit, each.checkpoint_seconds, together, each.graphs
        jobs.append(Job(spec, data.path, instruments[key], checkpoints, samples, each.cpus, gpus, *rest))
    return jobs


def seeds_per_process(each: Resources, gpus: float) -> int:
    """How many seeds are trained as one: that is faster on a GPU, and slower on a CPU."""
    return each.together if gpus else 1


def group_seeds(specs: Iterable[TrialSpec], together: int) -> list[TrialSpec]:
    """So many seeds of a cell one after the other; first those of every cell that come first."""
    if together == 1:
        return list(specs)
    cells: dict[str, list[TrialSpec]] = {}
    for spec in specs:
        cells.setdefault(spec.cell_id, []).append(spec)
    longest = max(map(len, cells.values()), default=0)
    rounds = range(0, longest, together)
    return [spec for start in rounds for cell in cells.values() for spec in cell[start : start + together]]


def check_labels(spec: TrialSpec, prepared: PreparedData) -> None:
    """Raises UserError when a method needs labels that the images turn out not to have, before anything is trained."""
    method = registry.methods[spec.method]
    share = method.labelled(spec.options)
    if not share:
        return
    classes = classes_of(registry.datasets[spec.dataset], prepared)
    without = int((prepared.train.labels < 0).sum())
    if classes == 0 or (share == 1 and without):
        raise UserError(
            f"method '{spec.method}' learns from labels, and {without:,} of {len(prepared.train.labels):,} images of"
            f" {spec.dataset} have none; put every image into a folder of its class, delete {prepared.path}, run again"
        )
    problem = method.problem(spec.options, spec.batch_size, classes)
    if problem:
        raise UserError(f"method '{spec.method}' on {spec.dataset}: {problem}")
