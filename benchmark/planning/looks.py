"""Which looks are due at the cells of a suite, and the suite with the seeds that they need."""

from enum import StrEnum

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, leaderboard_rows
from benchmark.analysis.power import cell_model
from benchmark.analysis.sequential import first_look, next_look
from benchmark.analysis.verdicts import MIN_SEEDS
from benchmark.config.cells import Cell
from benchmark.config.suite import Suite
from benchmark.core.errors import UserError
from benchmark.store.looks import CellLooks, LooksStore
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace


class CellState(StrEnum):
    """Why a cell gets no further look, or that it does."""

    DECIDED = "decided"
    DUE = "not decided yet"
    AT_LIMIT = "not decided with the largest number of seeds"
    INCOMPLETE = "not decided, because a seed diverged or failed"
    OUT_OF_REACH = "out of reach, because the published value is too uncertain"


def require_judged(suite: Suite, max_seeds: int) -> None:
    """Raise UserError unless `--until-decided` can decide cells of the suite with at most so many seeds."""
    needed = first_look(len(suite.seeds))
    if max_seeds < needed:
        least = f"the suite already has {needed}" if needed > MIN_SEEDS else f"a verdict needs {MIN_SEEDS}"
        raise UserError(f"--max-seeds {max_seeds}: too few seeds, {least}; ask for at least {needed}")
    if suite.is_reduced:
        paper = ", or choose --scale paper" if "paper" in suite.scales else ""
        raise UserError(f"--until-decided: scale '{suite.scale}' is reduced, so no cell is judged; omit it{paper}")
    judged = [judged_results(row) for row in leaderboard_rows(suite, {})]
    if not any(judged):
        raise UserError(
            f"--until-decided: no cell of {suite.path} is judged, because no value that may be compared was published;"
            " `report` names the reasons"
        )
    keys = {key for results in judged for key in results if key not in suite.tolerance}
    if keys:
        raise UserError(
            f"--until-decided: {suite.path} states no tolerance for {', '.join(sorted(keys))}, so that no number of"
            " seeds makes a cell `reproduced`; add it under 'tolerance'"
        )


def judged_results(row: LeaderboardRow) -> dict[str, MetricResult]:
    """Metric output -> result, for the outputs that get a verdict once there are enough seeds."""
    return {key: result for key, result in row.results.items() if result.reference and result.reference.is_comparable}


def cell_state(row: LeaderboardRow, max_seeds: int) -> CellState:
    """Whether a judged cell needs more seeds, and if not, why."""
    undecided = [result for result in judged_results(row).values() if not result.verdict.is_decided]
    if not undecided:
        return CellState.DECIDED
    has_gap = any(result.aggregate and not result.aggregate.is_finite for result in undecided)
    if has_gap or row.counts.diverged or row.counts.failed:
        return CellState.INCOMPLETE
    if all((model := cell_model(result)) and model.is_out_of_reach for result in undecided):
        return CellState.OUT_OF_REACH
    return CellState.DUE if row.counts.not_run or row.counts.total < max_seeds else CellState.AT_LIMIT


def with_recorded_looks(suite: Suite, workspace: Workspace) -> Suite:
    """The suite with the seeds that `run --until-decided` added to its cells in this workspace; unchanged without any.

    Looks belong to a recipe and a list of seeds, so `--seeds 10` asks for another list, which is judged as a whole.
    """
    recorded = _recorded(suite, workspace)
    if not any(recorded):
        return suite
    looks = [cell.looks if cell else () for cell in recorded]
    return suite.with_looks(looks, max(cell.max_seeds for cell in recorded if cell))


def with_due_looks(suite: Suite, workspace: Workspace, max_seeds: int) -> Suite:
    """The suite with the seeds that its judged cells need next; equal to the last one when no cell needs more.

    Looks that were recorded are kept. A cell gets its next one when all seeds of the last have a record, whichever run
    trained them, and leave it undecided.
    """
    recorded = _recorded(suite, workspace)
    looks = [
        (cell.looks if cell else (first_look(len(suite.seeds)),)) if judged_results(row) else ()
        for cell, row in zip(recorded, leaderboard_rows(suite, {}), strict=True)
    ]
    store = RecordStore(workspace.results)
    while True:
        extended = suite.with_looks(looks, max_seeds)
        rows = leaderboard_rows(extended, store.read_without_samples(extended.specs))
        due = [index for index, row in enumerate(rows) if row.cell.looks and _is_due(row, max_seeds)]
        if not due:
            return extended
        for index in due:
            looks[index] += (next_look(looks[index][-1], max_seeds),)


def _is_due(row: LeaderboardRow, max_seeds: int) -> bool:
    return not row.counts.not_run and cell_state(row, max_seeds) is CellState.DUE


def record_looks(suite: Suite, workspace: Workspace) -> int:
    """Store the looks of a suite's cells. Without any, those of an earlier run are forgotten; returns how many were."""
    store = LooksStore(workspace.looks)
    if suite.max_seeds is None:
        return store.forget(suite.name, [_key(suite, cell) for cell in suite.cells])
    store.update(suite.name, [_cell_looks(suite, cell, suite.max_seeds) for cell in suite.cells if cell.looks])
    return 0


def _recorded(suite: Suite, workspace: Workspace) -> list[CellLooks | None]:
    """The recorded looks at each cell."""
    stored = {cell.key: cell for cell in LooksStore(workspace.looks).read(suite.name)}
    return [stored.get(_key(suite, cell)) for cell in suite.cells] if stored else [None] * len(suite.cells)


def _key(suite: Suite, cell: Cell) -> tuple[object, ...]:
    return cell.table, cell.row, cell.specs[0].cell_id, suite.seeds


def _cell_looks(suite: Suite, cell: Cell, max_seeds: int) -> CellLooks:
    return CellLooks(
        table=cell.table,
        row=cell.row,
        cell_id=cell.specs[0].cell_id,
        seeds=suite.seeds,
        looks=cell.looks,
        max_seeds=max_seeds,
    )
