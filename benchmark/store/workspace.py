"""The workspace: one folder with results, checkpoints, prepared data and the MLflow store."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.errors import UserError

DEFAULT_WORKSPACE, WORKSPACE_VARIABLE = Path("workspace"), "SSGAN_WORKSPACE"
DEFAULT_DATA, DATA_VARIABLE = Path("data"), "SSGAN_DATA_DIR"


@dataclass(frozen=True)
class Workspace:
    """Absolute paths under one root. Nothing is created before `create`."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> "Workspace":
        """The workspace at a path, made absolute because trials run in other working directories."""
        return cls(absolute(root, "--workspace"))

    @property
    def results(self) -> Path:
        """One record per trial."""
        return self.root / "results"

    @property
    def checkpoints(self) -> Path:
        """Training states of running trials, and final weights."""
        return self.root / "checkpoints"

    @property
    def looks(self) -> Path:
        """The numbers of seeds after which `run --until-decided` judged the cells of each suite."""
        return self.root / "looks"

    @property
    def samples(self) -> Path:
        """Small sample grids of every trial, one per measurement."""
        return self.root / "samples"

    @property
    def trial_claims(self) -> Path:
        """Which run trains which trial, while runs are active."""
        return self.root / "claims"

    @property
    def reproductions(self) -> Path:
        """Records of trials that `reproduce` trained again, kept apart from the results."""
        return self.root / "reproductions"

    @property
    def data(self) -> Path:
        """Prepared datasets."""
        return self.root / "data"

    @property
    def instruments(self) -> Path:
        """Evaluation networks and reference features that metrics prepared."""
        return self.root / "instruments"

    @property
    def calibration(self) -> Path:
        """Short timings, from which plans estimate costs."""
        return self.root / "calibration.json"

    @property
    def mlflow(self) -> Path:
        """MLflow's SQLite store and artifacts."""
        return self.root / "mlflow"

    @property
    def ray(self) -> Path:
        """Ray Tune's own files, which the benchmark never reads."""
        return self.root / "ray"

    def create(self) -> None:
        """Create the root. Raises UserError if that fails."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--workspace {self.root}: cannot be created ({error.strerror})") from None


def absolute(path: Path, option: str) -> Path:
    """The absolute path, with `~` expanded. Raises UserError if there is no such home directory."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{option} {path}: there is no such home directory") from None


def as_options(workspace: Workspace, data_dir: Path) -> str:
    """The options, quoted for a shell, with which a command uses these folders; empty for its defaults."""
    folders = (
        ("--data-dir", data_dir, DEFAULT_DATA, DATA_VARIABLE),
        ("--workspace", workspace.root, DEFAULT_WORKSPACE, WORKSPACE_VARIABLE),
    )
    return "".join(
        f" {option} {shlex.quote(str(folder))}"
        for option, folder, default, variable in folders
        if folder != Path(os.environ.get(variable) or default).expanduser().absolute()
    )


def require_writable(folder: Path, option: str) -> None:
    """Raise UserError if `folder` cannot be created or written to. Changes nothing on disk."""
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        why = "is not a folder" if not nearest.is_dir() else "is not writable"
        raise UserError(f"{option} {folder}: cannot be written to, {nearest} {why}; choose another folder")


def sample_grid_path(folder: Path, trial_id: str, step: int) -> Path:
    """The file of one measurement's sample grid: a PNG of 4 x 4 images from fixed latents.

    These grids are stored beside the records to keep the records small; a record itself holds only the last one.
    """
    return folder / trial_id / f"step-{step:08d}.png"
