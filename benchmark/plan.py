"""Which trials are done, begun or missing, what is missing on disk, and what the rest will cost."""

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark import plugins
from benchmark.data.prepare import MANIFEST
from benchmark.environment import available_cores
from benchmark.readiness import what_is_missing
from benchmark.spec import TrialSpec
from benchmark.store import Store, TrialRecord
from benchmark.suite import Suite
from benchmark.workspace import Workspace


@dataclass(frozen=True)
class Plan:
    """What a `run` of the suite would do. `records` holds what is known of every trial, failures included.

    `missing_data` tells of every dataset that is wanted and cannot be used what is wrong and what to type;
    `missing_weights` of every feature extractor.
    """

    suite: Suite
    records: dict[str, TrialRecord]
    missing_data: dict[str, str]
    begun: frozenset[str] = field(default_factory=frozenset)
    missing_weights: dict[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why `run` cannot start, and what to type."""
        return (*self.missing_data.values(), *self.missing_weights.values())

    @property
    def todo(self) -> dict[str, TrialSpec]:
        """The trials that `run` would train: those without a result. A failed one is tried again."""
        return {
            trial_id: spec
            for trial_id, spec in self.suite.specs.items()
            if trial_id not in self.records or self.records[trial_id].status == "failed"
        }

    def seconds(self) -> float | None:
        """Estimated wall time of the rest on this machine, or None when a missing kind was never timed.

        From the seconds per step of finished trials of the same method, network and batch size, with as many
        trials side by side as the machine has cores for.
        """
        speeds = {
            kind(record.spec): (record.cost.train_seconds + record.cost.evaluation_seconds) / record.spec.steps
            for record in self.records.values()
            if record.cost and record.status == "finished"
        }
        if any(kind(spec) not in speeds for spec in self.todo.values()):
            return None
        total = sum(speeds[kind(spec)] * spec.steps for spec in self.todo.values())
        side_by_side = max(available_cores() // self.suite.resources.cpus, 1)
        return total / min(side_by_side, max(len(self.todo), 1))

    def state(self, trial_id: str) -> str:
        """`finished`, `diverged`, `failed`, `begun` (a checkpoint is there) or `missing`."""
        if trial_id in self.records:
            return self.records[trial_id].status
        return "begun" if trial_id in self.begun else "missing"

    def as_json(self) -> dict[str, Any]:
        """For scripts: `plan --json`."""
        return {
            "suite": self.suite.name,
            "scale": self.suite.scale,
            "cells": len(self.suite.cells),
            "trials": len(self.suite.specs),
            "todo": len(self.todo),
            "estimated_seconds": self.seconds(),
            "missing_data": self.missing_data,
            "missing_weights": self.missing_weights,
            "cell_states": [
                {
                    "table": cell.table,
                    "row": cell.row,
                    "trials": [
                        {"trial_id": spec.trial_id, "seed": spec.seed, "state": self.state(spec.trial_id)}
                        for spec in cell.specs
                    ],
                }
                for cell in self.suite.cells
            ],
        }


def kind(spec: TrialSpec) -> tuple[str, str, str, str, int, int]:
    """What the time of a step depends on, near enough for an estimate."""
    network = f"{spec.network} {sorted(spec.network_options.items())}"
    return spec.method, network, spec.dataset, spec.precision, spec.batch_size, spec.discriminator_steps


def manifest_of(dataset: str, cache: Path) -> dict[str, Any]:
    """The manifest of a prepared dataset; empty when it is not prepared, or damaged."""
    with suppress(OSError, ValueError):
        manifest = json.loads((plugins.datasets[dataset].folder(cache) / MANIFEST).read_text())
        return manifest if isinstance(manifest, dict) else {}
    return {}


def same_data(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two manifests are of the same images, as far as both tell."""
    for key in ("checksums", "sources"):
        if key in one and key in other:
            return bool(one[key] == other[key])
    return True


def make_plan(suite: Suite, workspace: Workspace, data_dir: Path) -> Plan:
    """Compare the suite with the store and the disk; trains and writes nothing.

    A result of other images than those that are prepared here under the same name is none of this suite.
    """
    datasets = dict.fromkeys(spec.dataset for spec in suite.specs.values())
    manifests = {name: manifest_of(name, workspace.data) for name in datasets}
    records = {
        trial_id: record
        for trial_id, record in Store(workspace.results).find(suite.specs).items()
        if same_data(record.data, manifests[record.spec.dataset])
    }
    begun = frozenset(i for i in suite.specs if (workspace.checkpoints / f"{i}.pt").is_file())
    plan = Plan(suite, records, {}, begun)
    missing = what_is_missing(plan.todo.values(), workspace, data_dir)
    return replace(plan, missing_data=missing.data, missing_weights=missing.weights)
