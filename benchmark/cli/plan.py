"""`plan`: what is done, what `run` would train, and what that would cost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmark.cli.logs import print_json, print_line, stdout, stoppable
from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    DataOption,
    JsonOption,
    MaxSeedsOption,
    OnlyOption,
    ScaleOption,
    SeedsOption,
    SuiteArgument,
    UntilDecidedOption,
    WorkspaceOption,
    examples,
    limit_of_seeds,
    open_suite,
)
from benchmark.store.workspace import Workspace, absolute, require_writable

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.planning.claim_needs import ClaimNeed
    from benchmark.planning.estimate import CellEstimate, Estimate
    from benchmark.planning.plan import Plan
    from benchmark.planning.seed_needs import SeedCost, SeedNeed

app = typer.Typer()
MOST_ROWS = 60  # that fit on a screen; a longer plan has one line per table
UNKNOWN = "?"
SOURCES = {
    "records": "finished trials of the same kind",
    "calibration": "short timings of single trials",
    "mixed": "finished trials, and from short timings where there are none",
}
CalibrateOption = Annotated[
    bool,
    typer.Option("--calibrate", help="Time each kind of trial that has no estimate yet, a few seconds each."),
]


@app.command(epilog=examples("plan suites/quickstart.yaml", "plan suites/stacked_mnist.yaml --scale paper --calibrate"))
def plan(
    suite: SuiteArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    only: OnlyOption = None,
    until_decided: UntilDecidedOption = False,
    max_seeds: MaxSeedsOption = None,
    calibrate: CalibrateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what `run` would train, how long it would take, and which data are missing. Trains nothing.

    For every judged cell and claim, it also shows how many more seeds would decide it.
    """
    limit = limit_of_seeds(until_decided, max_seeds)
    suite_run = open_suite(suite, workspace, data_dir, None, scale, seeds, only)
    suite_run = next(suite_run.looks(limit)) if limit else suite_run.as_recorded()
    made = suite_run.plan()
    if calibrate:
        from benchmark.planning.calibrate import calibrate as calibrate_plan

        require_writable(Workspace.at(workspace).root, "--workspace")
        with stoppable("finished timings are kept, and the same command times the rest"):
            calibrate_plan(made, absolute(data_dir, "--data-dir"))
    from benchmark.planning.claim_needs import claim_needs
    from benchmark.planning.seed_needs import costs_until_decided, seed_needs

    needs, claims = seed_needs(made, suite_run.workspace), claim_needs(made, suite_run.workspace)
    costs = costs_until_decided(made, suite_run.workspace, limit) if limit else None
    if as_json:
        print_json(
            made.as_json()
            | {"seeds_needed": [need.as_json() for need in needs], "claims": [claim.as_json() for claim in claims]}
            | ({"until_decided": {"expected": vars(costs[0]), "largest": vars(costs[1])}} if costs else {})
        )
        return
    stdout.print(render_plan(made))
    if needs:
        stdout.print(seeds_table(needs))
    if claims:
        stdout.print(claims_table(claims))
    if costs and limit:
        stdout.print(*until_decided_lines(costs, limit), sep="\n", highlight=False)
    if made.missing.message:
        print_line(made.missing.message)


def render_plan(plan: "Plan") -> Group:
    """A plan for people: title, one line per cell (or per table), totals."""
    suite, estimate = plan.suite, plan.estimate
    total, todo = len(suite.specs), len(plan.todo)
    counts = f"scale {suite.scale}, {len(suite.cells)} cells, {total} trials: {total - todo} done, {todo} to train"
    return Group(Text(f"{suite.title}\n{counts}"), _table(plan), *map(Text, _totals(estimate)))


def _table(plan: "Plan") -> Table:
    from benchmark.report.text import single_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Table", "Row"):
        table.add_column(name, overflow="fold")
    for name in ("done", "to do", "a trial", "all to do", "peak memory"):
        table.add_column(name, justify="right", no_wrap=True)
    cells = plan.estimate.cells
    per_table = len(cells) > MOST_ROWS
    for title in plan.suite.tables:
        members = [cell for cell in cells if cell.cell.table == title]
        if per_table and members:
            table.add_row(Text(single_line(title)), f"{len(members)} cells", *_table_numbers(members))
        for position, cell in enumerate([] if per_table else members):
            first = single_line(title) if position == 0 else ""
            table.add_row(Text(first), Text(single_line(cell.cell.row)), *_cell_numbers(cell))
    return table


def _cell_numbers(cell: "CellEstimate") -> tuple[str, ...]:
    trial = cell.trial
    partial = "+" if trial.seconds is not None and trial.problem else ""
    return (
        str(cell.done),
        str(cell.todo),
        _duration(trial.seconds) + partial,
        UNKNOWN if cell.seconds is None else _duration(cell.seconds) + partial if cell.todo else "–",
        _memory(trial.peak_memory_mib),
    )


def _table_numbers(cells: "Sequence[CellEstimate]") -> tuple[str, ...]:
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    peaks = [cell.trial.peak_memory_mib for cell in cells if cell.trial.peak_memory_mib is not None]
    partial = "+" if len(known) < len(cells) or any(cell.trial.problem for cell in cells if cell.todo) else ""
    return (
        str(sum(cell.done for cell in cells)),
        str(sum(cell.todo for cell in cells)),
        "",
        _duration(sum(known)) + partial if known else UNKNOWN,
        _memory(max(peaks, default=None)),
    )


def _totals(estimate: "Estimate") -> Iterator[str]:
    if not estimate.trials:
        yield "estimated time: nothing to train"
        return
    hardware = estimate.hardware.fingerprint
    machine = hardware["gpu"] or f"{hardware['cores']} cores of {hardware['cpu']}"
    parallel = f"{min(estimate.hardware.slots, len(estimate.trials))} trials in parallel on {machine}"
    if estimate.device_seconds is None or estimate.wall_seconds is None:
        yield f"estimated time: not known yet ({parallel})"
    else:
        least = "at least " if estimate.problems else ""
        serial = _duration(estimate.device_seconds)
        yield f"estimated time: {least}{_duration(estimate.wall_seconds)} with {parallel}; {serial} one after the other"
    if estimate.source:
        yield f"estimated from {SOURCES[estimate.source]}"
    for problem, count in estimate.problems.items():
        yield f"  {count} trials: {problem}"
    if timings := len(estimate.untimed_training) + len(estimate.untimed_features):
        yield f"  to time them: add --calibrate (about {_duration(10 + 5.0 * timings)})"  # one start, and 5 s each
    if estimate.side_by_side_memory_mib is not None:
        largest, parallel = _memory(estimate.peak_memory_mib), _memory(estimate.side_by_side_memory_mib)
        available = _memory(estimate.hardware.memory_mib)
        yield f"peak memory: {largest} for the largest trial, {parallel} of {available} for all in parallel"
    if not estimate.fits:
        yield (
            "warning: the parallel trials do not fit into memory; give each trial more of the machine under 'resources'"
            " in the suite, so that fewer run at a time"
        )


def seeds_table(needs: "Sequence[SeedNeed]") -> Group:
    """How many more seeds would decide each judged metric, and why no number would."""
    from benchmark.report.sections.seeds import more_seeds, reason, spread
    from benchmark.report.text import single_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Table", "Row", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("seeds", "spread", "more seeds", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = ""
    for need in needs[:MOST_ROWS]:
        cost = "–" if need.needed.more is None else _duration(need.seconds)
        names = (need.row.table if need.row.table != previous else "", need.row.label, need.result.output.key)
        previous = need.row.table
        numbers = (str(need.needed.finished), spread(need.result, need.needed), more_seeds(need.needed), cost)
        table.add_row(*(Text(single_line(name)) for name in names), *numbers)
    reasons = Counter(why for need in needs if (why := reason(need.result, need.needed)))
    rest = [f"{len(needs) - MOST_ROWS} more; --json lists all"] if len(needs) > MOST_ROWS else []
    return Group(
        Text("seeds that would decide each judged cell with a probability of 80 %"),
        table,
        *map(Text, rest),
        *(Text(f"  {count} x {why}") for why, count in reasons.items()),
    )


def claims_table(needs: "Sequence[ClaimNeed]") -> Group:
    """The claims without a decision: their seeds, the fewest that can decide them, and those that probably would."""
    from benchmark.report.text import single_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Table", "Claim"):
        table.add_column(name, overflow="fold")
    for name in ("test", "seeds", "fewest to support", "to contradict", "to decide"):
        table.add_column(name, justify="right")
    previous = ""
    for need in needs[:MOST_ROWS]:
        claim, counts = need.result.claim, need.result.counts
        names = (claim.table if claim.table != previous else "", claim.name)
        previous = claim.table
        numbers = (f"{counts.finished} of {counts.total}", *map(str, need.fewest))
        enough = "–" if need.enough is None else f"{need.enough:,}"
        table.add_row(*(Text(single_line(name)) for name in names), claim.test, *numbers, enough)
    rest = [f"{len(needs) - MOST_ROWS} more; --json lists all"] if len(needs) > MOST_ROWS else []
    return Group(Text("claims without a decision, and the seeds that they need"), table, *map(Text, rest))


def until_decided_lines(costs: "tuple[SeedCost, SeedCost]", max_seeds: int) -> Iterator[str]:
    """The expected and the largest cost of `run --until-decided`."""
    expected, largest = costs
    yield f"until decided, at most {max_seeds} seeds per judged cell, one training after the other:"
    yield f"  expected at most {expected.trainings:.0f} trainings, {_duration(expected.seconds)}"
    yield f"  largest possible {largest.trainings:.0f} trainings, {_duration(largest.seconds)}"


def _duration(seconds: float | None) -> str:
    from benchmark.execution.live_view import format_clock

    return UNKNOWN if seconds is None else format_clock(seconds)


def _memory(mib: float | None) -> str:
    from benchmark.report.text import format_memory

    return UNKNOWN if mib is None else format_memory(mib)
