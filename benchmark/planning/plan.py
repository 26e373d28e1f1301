"""Which trials are done, started or missing, what is missing on disk, and what the rest will cost."""

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
from benchmark.planning.prerequisites import MissingInputs, find_missing, unmeasurable_cells
from benchmark.planning.timings import Calibration
from benchmark.store.record_store import RecordStore
from benchmark.store.records import FileVersion, TrialSummary
from benchmark.store.workspace import Workspace
from benchmark.training.checkpoint import trials_with_checkpoints


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `run` would do.

    `summaries` has every trial with a record, failures included. `begun` has the trials with a checkpoint. `images_mib`
    maps a dataset to the MiB of its prepared training images. `missing` are datasets and weights that cannot be used;
    `run` does not start without them.
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
        """The trials that `run` would train: those without a result, and those that failed."""
        return {
            trial_id: spec
            for trial_id, spec in self.suite.specs.items()
            if trial_id not in self.summaries or self.summaries[trial_id].status == "failed"
        }

    @property
    def estimate(self) -> Estimate:
        """The cost of the trials to do."""
        return estimate(
            cells=self.suite.cells,
            summaries=self.summaries,
            todo=self.todo,
            calibration=self.calibration,
            hardware=self.hardware,
            images_mib=self.images_mib,
            missing_weights=self.missing.weights,
        )

    def state(self, trial_id: str) -> str:
        """`finished`, `diverged`, `failed`, `begun` (it has a checkpoint) or `missing`."""
        if trial_id in self.summaries:
            return self.summaries[trial_id].status
        return "begun" if trial_id in self.begun else "missing"

    def as_json(self) -> dict[str, Any]:
        """The JSON of `plan --json`."""
        cost = self.estimate
        return {
            "suite": self.suite.name,
            "scale": self.suite.scale,
            "cells": len(self.suite.cells),
            "trials": len(self.suite.specs),
            "todo": len(self.todo),
            "estimated_seconds": cost.wall_seconds,
            "estimate": cost.as_json(),
            "missing_data": self.missing.data,
            "missing_weights": self.missing.weights,
            "unmeasurable": self.missing.measures,
            "cell_states": [
                {
                    "table": cell.table,
                    "row": cell.row,
                    **cell_cost.as_json(),
                    "trials": [
                        {"trial_id": spec.trial_id, "seed": spec.seed, "state": self.state(spec.trial_id)}
                        for spec in cell.specs
                    ],
                }
                for cell, cell_cost in zip(self.suite.cells, cost.cells, strict=True)
            ],
        }


def make_plan(suite: Suite, workspace: Workspace, data_dir: Path) -> Plan:
    """Compare the suite with the store and the disk, without training or writing anything.

    A record whose images differ from those prepared here under the same name does not count as a result.
    """
    datasets = dict.fromkeys(spec.dataset for spec in suite.specs.values())
    manifests = {name: manifest_of(name, workspace.data) for name in datasets}
    store = RecordStore(workspace.results)
    versions = store.versions()
    summaries = {
        trial_id: summary
        for trial_id, summary in store.summaries(suite.specs).items()
        if data_unchanged(summary.data, manifests[suite.specs[trial_id].dataset])
    }
    hardware = Hardware.detect(suite.resources)
    plan = Plan(
        suite=suite,
        summaries=summaries,
        begun=trials_with_checkpoints(workspace.checkpoints) & suite.specs.keys(),
        hardware=hardware,
        calibration=Calibration.load(workspace.calibration, hardware.fingerprint),
        images_mib={name: math.prod(manifest.get("train", [0])) / 2**20 for name, manifest in manifests.items()},
        record_versions=versions,
    )
    missing = find_missing(plan.todo.values(), workspace, data_dir, suite)
    cells = [cell for cell in suite.cells if any(spec.trial_id in plan.todo for spec in cell.specs)]
    return replace(plan, missing=replace(missing, measures=unmeasurable_cells(cells, workspace)))
