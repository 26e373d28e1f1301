"""`doctor`: the state of this machine, and what each suite lacks to run."""

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmark.config.suite import load_suite
from benchmark.core import environment, registry
from benchmark.core.errors import UserError
from benchmark.data.manifest import manifest_of
from benchmark.data.prepared import SPLITS, find_damage, split_size
from benchmark.evaluation.extractors.weights import WEIGHTS, Weights
from benchmark.planning.plan import make_plan
from benchmark.planning.prerequisites import why_not_ready
from benchmark.store.workspace import Workspace


@dataclass(frozen=True)
class Finding:
    """The state of one thing that trials depend on; `ok` is False if it limits what can run."""

    what: str
    found: str
    ok: bool


@dataclass(frozen=True)
class DoctorReport:
    """All findings, and what each suite lacks ("" if it can run)."""

    findings: list[Finding]
    suites: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """The report for scripts: `doctor --json`."""
        return {
            "findings": {finding.what: {"found": finding.found, "ok": finding.ok} for finding in self.findings},
            "suites": {name: {"ready": not missing, "missing": missing} for name, missing in self.suites.items()},
        }

    def table(self) -> Table:
        """The report for people."""
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in self.findings:
            table.add_row(finding.what, _sign(finding.ok), finding.found)
        for name, missing in self.suites.items():
            table.add_row(f"suite {name}", _sign(not missing), missing or "can run")
        return table


def run_doctor(workspace: Workspace, data_dir: Path, suites: Path) -> DoctorReport:
    """Check the machine, the data and the suites of a folder. Changes nothing."""
    gpu = environment.gpu_name()
    findings = [
        Finding("Python", platform.python_version(), True),
        *(_package(name) for name in ("torch", "torchvision", "ray", "mlflow")),
        Finding("CPU", f"{environment.cpu_name()}, {environment.available_cores()} cores", True),
        Finding("memory", f"{environment.available_memory() / 2**30:.1f} GiB", True),
        Finding("GPU", gpu or "none found: trials run on the CPU", bool(gpu)),
        _disk(workspace.root),
        *(_weights(weights, data_dir) for weights in WEIGHTS.values()),
        *(
            Finding(f"dataset {name}", state["state"], not state["how_to_get"])
            for name, state in dataset_states(workspace, data_dir).items()
        ),
    ]
    return DoctorReport(findings, {path.stem: _missing(path, workspace, data_dir) for path in suite_files(suites)})


def suite_files(folder: Path) -> list[Path]:
    """The suite files in a folder, in alphabetical order."""
    return sorted(folder.glob("*.yaml"))


def dataset_states(workspace: Workspace, data_dir: Path) -> dict[str, dict[str, Any]]:
    """Every dataset with its state on this machine: `prepared`, `outdated`, `corrupt`, `raw files found`
    or `missing`."""
    states = {}
    for name in registry.datasets:
        dataset = registry.datasets[name]
        missing = dataset.missing_files(data_dir)
        prepared = dataset.is_prepared(workspace.data)
        damaged = find_damage(dataset.prepared_dir(workspace.data)) if prepared else None
        arrays = "corrupt" if damaged else "outdated" if dataset.changes(data_dir, workspace.data) else "prepared"
        states[name] = {
            "about": dataset.about,
            "shape": list(dataset.shape),
            "size": _size(manifest_of(name, workspace.data)) if not damaged else "",
            "licence": dataset.licence,
            "source": dataset.source,
            "note": dataset.note,
            "state": arrays if prepared else "missing" if missing else "raw files found",
            "how_to_get": why_not_ready(dataset, workspace, data_dir) or "",
        }
    return states


def weights_states(data_dir: Path) -> dict[str, dict[str, Any]]:
    """All weights with their state on this machine: `found`, `corrupt` (of another size) or `missing`."""
    return {name: weights.state(data_dir) for name, weights in WEIGHTS.items()}


def _size(manifest: dict[str, Any]) -> str:
    """The number of images and their size on disk; "" if the dataset is not prepared."""
    if not manifest:
        return ""
    shapes = [manifest[split] for split in SPLITS]
    size = sum(split_size(tuple(shape)) for shape in shapes)
    return " + ".join(f"{shape[0]:,}" for shape in shapes) + f"\n{size / 1e6:,.0f} MB"


def _sign(ok: bool) -> Text:
    return Text("ok", style="green") if ok else Text("--", style="yellow")


def _missing(path: Path, workspace: Workspace, data_dir: Path) -> str:
    try:
        plan = make_plan(load_suite(path), workspace, data_dir)
    except UserError as error:
        return str(error)
    return "\n".join(f"{what}: {step}" for what, step in (plan.missing.next_steps | plan.missing.measures).items())


def _package(name: str) -> Finding:
    version = environment.package_version(name)
    return Finding(name, version, version != "missing")


def _disk(root: Path) -> Finding:
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    return Finding("disk", f"{free:.1f} GiB free for the workspace at {root}", free > 1)


def _weights(weights: Weights, data_dir: Path) -> Finding:
    state = weights.state(data_dir)["state"]
    if state == "missing":
        fetch = f"python -m benchmark datasets fetch {weights.name}"
        return Finding(f"weights {weights.name}", f"missing; needed for {weights.needed_for}: {fetch}", False)
    path = weights.find(data_dir)
    return Finding(f"weights {weights.name}", str(path) if state == "found" else f"{path}: corrupt", state == "found")
