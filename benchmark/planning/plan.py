"""Which trials are done, begun or missing, what is missing on disk, and what the rest will cost."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.config.schema import Resources
from benchmark.config.suite import Suite
from benchmark.core.spec import TrialSpec
from benchmark.data.manifest import data_unchanged, manifest_of
from benchmark.planning.estimate import Estimate, estimate
from benchmark.planning.hardware import Hardware
from benchmark.planning.prerequisites import MissingInputs, find_missing
from benchmark.planning.timings import Calibration
from benchmark.store.record_store import RecordStore
from benchmark.store.records import FileVersion, TrialSummary
from benchmark.store.workspace import Workspace
from benchmark.training.checkpoint import trials_with_checkpoints


@dataclass(frozen=True)
class Plan:
    """What a `run` of the suite would do. `records` holds what is known of every trial, failures included.

    `missing`: the datasets and weights that are wanted and cannot be used; without them `run` does not start.
    """

    suite: Suite
    summaries: dict[str, TrialSummary]
    begun: frozenset[str] = field(default_factory=frozenset)
    hardware: Hardware = field(default_factory=lambda: Hardware.detect(Resources()))
    calibration: Calibration = field(default_factory=lambda: Calibration(Path(), {}))
    images_mib: dict[str, float] = field(default_factory=dict)
    missing: MissingInputs = field(default_factory=MissingInputs)
    record_versions: dict[str, FileVersion] = field(default_factory=dict)  # read before the records

    @cached_property
    def todo(self) -> dict[str, TrialSpec]:
        """The trials that `run` would train: those without a result. A failed one is tried again."""
        return {
            trial_id: spec
            for trial_id, spec in self.suite.specs.items()
            if trial_id not in self.summaries or self.summaries[trial_id].status == "failed"
        }

    @property
    def estimate(self) -> Estimate:
        """What the rest will cost here, as far as finished trials and the calibration tell."""
        return estimate(
            self.suite.cells,
            self.summaries,
            self.todo,
            self.calibration,
            self.hardware,
            self.images_mib,
            self.missing.weights,
        )

    def state(self, trial_id: str) -> str:
        """`finished`, `diverged`, `failed`, `begun` (a checkpoint is there) or `missing`."""
        if trial_id in self.summaries:
            return self.summaries[trial_id].status
        return "begun" if trial_id in self.begun else "missing"

    def as_json(self) -> dict[str, Any]:
        """For scripts: `plan --json`."""
        found = self.estimate
        return {
            "suite": self.suite.name,
            "scale": self.suite.scale,
            "cells": len(self.suite.cells),
            "trials": len(self.suite.specs),
            "todo": len(self.todo),
            "estimated_seconds": found.wall_seconds,
            "estimate": found.as_json(),
            "missing_data": self.missing.data,
            "missing_weights": self.missing.weights,
            "cell_states": [
                {
                    "table": cell.table,
                    "row": cell.row,
                    **cost.as_json(),
                    "trials": [
                        {"trial_id": spec.trial_id, "seed": spec.seed, "state": self.state(spec.trial_id)}
                        for spec in cell.specs
                    ],
                }
                for cell, cost in zip(self.suite.cells, found.cells, strict=True)
            ],
        }


def make_plan(suite: Suite, workspace: Workspace, data_dir: Path) -> Plan:
    """Compare the suite with the store and the disk; trains and writes nothing.

    A result of other images than those that are prepared here under the same name is none of this suite.
    """
    datasets = dict.fromkeys(spec.dataset for spec in suite.specs.values())
    manifests = {name: manifest_of(name, workspace.data) for name in datasets}
    store = RecordStore(workspace.results)
    versions = store.versions()
    records = {
        trial_id: record
        for trial_id, record in store.summaries(suite.specs).items()
        if data_unchanged(record.data, manifests[suite.specs[trial_id].dataset])
    }
    begun = trials_with_checkpoints(workspace.checkpoints) & suite.specs.keys()
    machine = Hardware.detect(suite.resources)
    calibration = Calibration.load(workspace.calibration, machine.hardware)
    images_mib = {name: math.prod(manifest.get("train", [0])) / 2**20 for name, manifest in manifests.items()}
    plan = Plan(suite, records, begun, machine, calibration, images_mib, record_versions=versions)
    return replace(plan, missing=find_missing(plan.todo.values(), workspace, data_dir))
