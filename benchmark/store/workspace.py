"""Where things are kept: one folder with results, checkpoints, prepared data and the MLflow store."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.errors import UserError

DEFAULT_WORKSPACE, WORKSPACE_VARIABLE = Path("workspace"), "SSGAN_WORKSPACE"
DEFAULT_DATA, DATA_VARIABLE = Path("data"), "SSGAN_DATA_DIR"


@dataclass(frozen=True)
class Workspace:
    """Absolute paths under one root; nothing is made before `create`."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> "Workspace":
        """The workspace at a path, made absolute: trials run in other working directories."""
        return cls(absolute(root, "--workspace"))

    @property
    def results(self) -> Path:
        """One record per finished trial."""
        return self.root / "results"

    @property
    def checkpoints(self) -> Path:
        """States of trials under way, and final weights."""
        return self.root / "checkpoints"

    @property
    def samples(self) -> Path:
        """Small contact sheets of every trial, one for each of its measurements."""
        return self.root / "samples"

    @property
    def claims(self) -> Path:
        """Which run trains which trial, while runs are going on."""
        return self.root / "claims"

    @property
    def reproductions(self) -> Path:
        """Records of trials that `reproduce` ran again, apart from the results."""
        return self.root / "reproductions"

    @property
    def data(self) -> Path:
        """Prepared datasets."""
        return self.root / "data"

    @property
    def instruments(self) -> Path:
        """What metrics prepared, such as trained classifiers."""
        return self.root / "instruments"

    @property
    def calibration(self) -> Path:
        """Short timings of kinds of trials, for plans."""
        return self.root / "calibration.json"

    @property
    def mlflow(self) -> Path:
        """MLflow's SQLite store and artifacts."""
        return self.root / "mlflow"

    @property
    def ray(self) -> Path:
        """Ray Tune's own bookkeeping; never read by us."""
        return self.root / "ray"

    def create(self) -> None:
        """Make the root. Raises UserError when that fails."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--workspace {self.root}: cannot be made ({error.strerror})") from None


def absolute(path: Path, option: str) -> Path:
    """The path from the root on, `~` written out. Raises UserError when there is no such home."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{option} {path}: there is no such home directory") from None


def as_options(workspace: Workspace, data_dir: Path) -> str:
    """The options, quoted for a shell, that lead a command to these places; nothing where it goes there by itself."""
    places = (
        ("--data-dir", data_dir, DEFAULT_DATA, DATA_VARIABLE),
        ("--workspace", workspace.root, DEFAULT_WORKSPACE, WORKSPACE_VARIABLE),
    )
    wanted = (
        (option, place)
        for option, place, default, variable in places
        if place != Path(os.environ.get(variable) or default).expanduser().absolute()
    )
    return "".join(f" {option} {shlex.quote(str(place))}" for option, place in wanted)


def require_writable(folder: Path, option: str) -> None:
    """Raise UserError when `folder` could not be made and written to. Touches nothing."""
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        why = "is not a folder" if not nearest.is_dir() else "is not writable"
        raise UserError(f"{option} {folder}: cannot be written to, {nearest} {why}; choose another folder")


def sample_grid_path(folder: Path, trial_id: str, step: int) -> Path:
    """Where the small contact sheet of one measurement stands: 4 x 4 images of fixed latents, as PNG.

    Sheets are beside the records, to keep those small. Without them a trial has the sheet of its last measurement.
    """
    return folder / trial_id / f"step-{step:08d}.png"
