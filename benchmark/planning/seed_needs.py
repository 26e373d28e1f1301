"""How many more seeds the judged cells of a suite need, and what these cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, leaderboard_rows
from benchmark.analysis.power import SeedsNeeded, chances_undecided, seeds_needed
from benchmark.analysis.sequential import looks_from
from benchmark.planning.estimate import CellEstimate
from benchmark.planning.looks import CellState, cell_state, judged_results
from benchmark.planning.plan import Plan
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class SeedNeed:
    """The seeds that would decide one metric of a judged cell.

    `trial_seconds`: of one training with its evaluations; None if unknown.
    """

    row: LeaderboardRow
    result: MetricResult
    needed: SeedsNeeded
    trial_seconds: float | None

    @property
    def seconds(self) -> float | None:
        """The time of the further seeds, one after the other; None if it or their number is unknown."""
        more = self.needed.more
        return None if more is None or self.trial_seconds is None else more * self.trial_seconds

    def as_json(self) -> dict[str, Any]:
        """One entry of `seeds_needed` in `plan --json`."""
        place = {"table": self.row.table, "row": self.row.label, "metric": self.result.output.key}
        return place | self.needed.as_json() | {"estimated_seconds": self.seconds}


_Cost = tuple[float, float | None]  # trainings of one cell, seconds of one of them


@dataclass(frozen=True)
class SeedCost:
    """Trainings, and their time one after the other in seconds; None if that of some training is unknown."""

    trainings: float
    seconds: float | None


def seed_needs(plan: Plan, workspace: Workspace) -> list[SeedNeed]:
    """The needs of all judged metrics that are not decided, in the order of the suite; empty at a reduced scale."""
    return [
        SeedNeed(row=row, result=row.results[key], needed=needed, trial_seconds=cost.trial.seconds)
        for row, cost in _rows(plan, workspace)
        for key, needed in seeds_needed(row).items()
    ]


def costs_until_decided(plan: Plan, workspace: Workspace, max_seeds: int) -> tuple[SeedCost, SeedCost]:
    """The expected and the largest cost of adding seeds to all judged cells until they are decided.

    The expected cost is an upper bound: it takes each look as if it were the only one so far, and a cell whose spread
    is unknown as one that gets all seeds.
    """
    expected: list[_Cost] = []
    largest: list[_Cost] = []
    for row, cost in _rows(plan, workspace):
        trained = row.counts.total - row.counts.not_run
        sizes = _open_looks(row, max_seeds)
        for costs, seeds in ((expected, _expected_seeds(row, sizes)), (largest, sizes[-1])) if sizes else ():
            costs.append((seeds - trained, cost.trial.seconds))
    return _total(expected), _total(largest)


def _rows(plan: Plan, workspace: Workspace) -> Iterator[tuple[LeaderboardRow, CellEstimate]]:
    """The judged rows of a plan, each with the estimate of its cell."""
    if plan.suite.is_reduced:
        return
    records = RecordStore(workspace.results).read_without_samples(plan.suite.specs)
    for row, cost in zip(leaderboard_rows(plan.suite, records), plan.estimate.cells, strict=True):
        if judged_results(row):
            yield row, cost


def _open_looks(row: LeaderboardRow, max_seeds: int) -> list[int]:
    """All looks at a cell, those taken included; empty for one that gets no more seeds."""
    looks = row.cell.looks
    if not looks or not (row.counts.not_run or cell_state(row, max_seeds) is CellState.DUE):
        return []
    return [*looks[:-1], *looks_from(looks[-1], max_seeds)]


def _expected_seeds(row: LeaderboardRow, looks: Sequence[int]) -> float:
    """The expected number of seeds of a cell when it stops, given that the looks taken did not decide it."""
    taken = sum(seeds <= row.counts.total - row.counts.not_run for seeds in row.cell.looks)
    models = [needed.cell for needed in seeds_needed(row).values()]
    known = [chances_undecided(model, looks) for model in models if model]
    if len(known) < len(models):
        return looks[-1]
    undecided = [max(chances) for chances in zip(*known, strict=True)]
    so_far = undecided[taken - 1] if taken else 1.0
    steps = list(zip(pairwise(looks), undecided, strict=False))[taken:]
    added = (min(1.0, chance / so_far) * (after - before) for (before, after), chance in steps)
    return float(looks[taken] + sum(added))


def _total(costs: Sequence[_Cost]) -> SeedCost:
    seconds = [None if each is None else seeds * each for seeds, each in costs]
    known = [time for time in seconds if time is not None]
    return SeedCost(sum(seeds for seeds, _ in costs), sum(known) if len(known) == len(seconds) else None)
