"""`report --compare A B`: what the two operands are, and where the result goes."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.analysis.compare import Comparison, ComparisonSide, compare_runs
from benchmark.cli.options import console, print_json
from benchmark.config.suite import Suite, load_suite, select_cells
from benchmark.core.errors import UserError
from benchmark.core.files import write_atomically
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace, require_writable

USAGE = (
    "two stores of one suite: `report SUITE --compare WORKSPACE_A WORKSPACE_B`; two suites in one store:"
    " `report --compare SUITE_A SUITE_B`"
)


def comparison(
    suite: Path | None,
    operands: tuple[Path, Path],
    workspace: Path,
    scale: str | None,
    seeds: int | None,
    only: Sequence[str],
) -> Comparison:
    """Two workspaces, and the suite whose trials to look for in them; or two suites. Raises UserError otherwise."""
    for operand in operands:
        if not operand.exists():
            raise UserError(f"--compare {operand}: no such file or folder; {USAGE}")
    folders = [operand.is_dir() for operand in operands]
    if any(folders) and not all(folders):
        raise UserError(f"--compare {operands[0]} {operands[1]}: one is a folder and one a file; {USAGE}")
    if all(folders):
        if suite is None:
            raise UserError(f"--compare {operands[0]} {operands[1]}: of which suite? {USAGE}")
        loaded = select_cells(load_suite(suite, scale, seeds), only)
        made = compare_runs(*(_side(loaded, operand, str(operand)) for operand in operands))
    else:
        if suite is not None:
            raise UserError(f"{suite}: is one suite too many beside --compare with two; {USAGE}")
        pair = (select_cells(load_suite(operand, scale, seeds), only) for operand in operands)
        made = compare_runs(*(_side(loaded, workspace, str(loaded.path)) for loaded in pair))
    if not made.pairs:
        raise UserError(f"--compare {operands[0]} {operands[1]}: no cell of one is in the other, by name or by method")
    return made


def _side(suite: Suite, folder: Path, name: str) -> ComparisonSide:
    store = RecordStore(Workspace.at(folder).results)
    if not store.folder.is_dir():
        raise UserError(f"{folder}: no workspace, there is no results/ in it; name the folder that --workspace named")
    return ComparisonSide(name, suite, store.read_many(suite.specs))


def show(made: Comparison, folder: Path, as_json: bool) -> None:
    """Write `compare.md` under `folder`, and print the comparison."""
    from benchmark.report.compare import markdown, terminal

    require_writable(folder, "--report-dir")
    path = folder / "compare.md"
    write_atomically(path, markdown(made).encode("utf-8", errors="replace"))
    if as_json:
        print_json(made.as_json())
        return
    console.print(*terminal(made), sep="\n")
    console.print(f"report: {path}", highlight=False, soft_wrap=True)
