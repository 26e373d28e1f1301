"""The looks at cells to which seeds were added until they were decided, so that later reports judge them alike."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from benchmark.core.errors import UserError
from benchmark.core.files import write_atomically
from benchmark.core.spec import FrozenModel, Seed

Count = Annotated[int, Field(strict=True, gt=0)]


class CellLooks(FrozenModel):
    """The looks at one cell: after how many seeds it is judged, in increasing order, the one in progress included.

    `cell_id`: of the trials, without their seeds. `seeds`: the list that the suite states, which comes first.
    `max_seeds`: the limit when the last look was planned.
    """

    table: str
    row: str
    cell_id: str
    seeds: tuple[Seed, ...]
    looks: Annotated[tuple[Count, ...], Field(min_length=1)]
    max_seeds: Count

    @property
    def key(self) -> tuple[object, ...]:
        """What the looks belong to: they say nothing about another recipe or another list of seeds."""
        return self.table, self.row, self.cell_id, self.seeds


_FILE = TypeAdapter(tuple[CellLooks, ...])


class LooksStore:
    """The looks at the cells of all suites, one file per suite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, suite: str) -> Path:
        """The file of a suite's looks."""
        return self.folder / f"{suite}.json"

    def read(self, suite: str) -> tuple[CellLooks, ...]:
        """The looks at the cells of a suite. Raises UserError if the file is damaged."""
        path = self.path(suite)
        try:
            return _FILE.validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise UserError(
                f"{path}: damaged: {problem}; delete it, and `run --until-decided` takes the same looks again"
            ) from None

    def update(self, suite: str, looks: Sequence[CellLooks]) -> None:
        """Store the looks at some cells; those at other cells stay."""
        changed = {cell.key: cell for cell in looks}
        self._write(suite, ({cell.key: cell for cell in self.read(suite)} | changed).values())

    def forget(self, suite: str, keys: Iterable[tuple[object, ...]]) -> int:
        """Remove the looks at some cells, and return how many there were."""
        stored, forgotten = self.read(suite), set(keys)
        kept = [cell for cell in stored if cell.key not in forgotten]
        if len(kept) < len(stored):
            self._write(suite, kept)
        return len(stored) - len(kept)

    def _write(self, suite: str, cells: Iterable[CellLooks]) -> None:
        path, content = self.path(suite), _FILE.dump_json(tuple(cells), indent=1) + b"\n"
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, content)
