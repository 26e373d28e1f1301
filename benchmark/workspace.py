"""Where things are kept: one folder with results, checkpoints, prepared data and the MLflow store."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError


@dataclass(frozen=True)
class Workspace:
    """Absolute paths under one root; nothing is made before `create`."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> "Workspace":
        """The workspace at a path, made absolute: trials run in other working directories."""
        return cls(root.expanduser().absolute())

    @property
    def results(self) -> Path:
        """One record per finished trial."""
        return self.root / "results"

    @property
    def checkpoints(self) -> Path:
        """States of trials under way, and final weights."""
        return self.root / "checkpoints"

    @property
    def data(self) -> Path:
        """Prepared datasets."""
        return self.root / "data"

    @property
    def instruments(self) -> Path:
        """What metrics prepared, such as trained classifiers."""
        return self.root / "instruments"

    @property
    def mlflow(self) -> Path:
        """MLflow's SQLite store and artifacts."""
        return self.root / "mlflow"

    @property
    def ray(self) -> Path:
        """Ray Tune's own bookkeeping; never read by us."""
        return self.root / "ray"

    def create(self) -> None:
        """Make the root and prove that it can be written to. Raises UserError otherwise."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"--workspace {self.root}: cannot be written to ({error.strerror}); choose another folder"
            ) from None
