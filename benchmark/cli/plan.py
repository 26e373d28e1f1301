"""The plan for people: what is done, what is to do, and what that will cost."""

from collections.abc import Iterator

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmark.execution.live_view import format_duration
from benchmark.planning.estimate import CellEstimate, Estimate
from benchmark.planning.plan import Plan
from benchmark.report import text

MOST_ROWS = 60  # of a screen; a longer suite is told table by table
UNKNOWN = "?"
SOURCES = {
    "records": "from finished trials of the same kind",
    "calibration": "from short timings of single trials",
    "mixed": "from finished trials, and from short timings where there are none",
}


def shown(plan: Plan) -> Group:
    """Title, a line per cell (or per table), totals."""
    found = plan.estimate
    suite = plan.suite
    total, todo = len(suite.specs), len(plan.todo)
    head = f"{suite.title}\nscale {suite.scale}, {len(suite.cells)} cells, {total} trials: {total - todo} done,"
    return Group(Text(f"{head} {todo} to train"), _table(plan, found), *(Text(line) for line in _totals(found)))


def _table(plan: Plan, found: Estimate) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Table", "Row"):
        table.add_column(name, overflow="fold")
    for name in ("done", "to do", "a trial", "all to do", "peak memory"):
        table.add_column(name, justify="right", no_wrap=True)
    if len(found.cells) > MOST_ROWS:
        for title in plan.suite.tables:
            _add_table(table, title, [cell for cell in found.cells if cell.cell.table == title])
        return table
    before = None
    for cell in found.cells:
        title = cell.cell.table
        table.add_row(
            Text(text.single_line(title) if title != before else ""),
            Text(text.single_line(cell.cell.row)),
            *_numbers(cell),
        )
        before = title
    return table


def _numbers(cell: CellEstimate) -> tuple[str, ...]:
    each = cell.trial
    more = "+" if each.seconds is not None and each.problem else ""  # something is left out
    return (
        str(cell.done),
        str(cell.todo),
        UNKNOWN if each.seconds is None else format_duration(each.seconds) + more,
        UNKNOWN if cell.seconds is None else format_duration(cell.seconds) + more if cell.todo else "–",
        memory(each.peak_memory_mib),
    )


def _add_table(table: Table, title: str, cells: list[CellEstimate]) -> None:
    """The totals of one table of the suite."""
    if not cells:
        return
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    peaks = [cell.trial.peak_memory_mib for cell in cells if cell.trial.peak_memory_mib is not None]
    more = "+" if len(known) < len(cells) or any(cell.trial.problem for cell in cells if cell.todo) else ""
    table.add_row(
        Text(text.single_line(title)),
        f"{len(cells)} cells",
        str(sum(cell.done for cell in cells)),
        str(sum(cell.todo for cell in cells)),
        "",
        format_duration(sum(known)) + more if known else UNKNOWN,
        memory(max(peaks, default=None)),
    )


def _totals(found: Estimate) -> Iterator[str]:
    if not found.rest:
        yield "estimated time: nothing to train"
        return
    device, wall = found.device_seconds, found.wall_seconds
    side = f"{min(found.side_by_side, len(found.rest))} side by side on {_machine(found)}"
    if device is None or wall is None:
        yield f"estimated time: not known yet ({side})"
    else:
        least = "at least " if found.problems else ""
        yield f"estimated time: {least}{format_duration(wall)}, {side}; {format_duration(device)} one after the other"
    if found.source:
        yield f"estimated {SOURCES[found.source]}"
    for problem, count in found.problems.items():
        yield f"  {count} trials: {problem}"
    if found.untimed_training or found.untimed_features:
        yield f"  to time them: add --calibrate (about {format_duration(calibration_seconds(found))})"
    if found.side_by_side_memory_mib is not None:
        room = f"{memory(found.side_by_side_memory_mib)} side by side, of {memory(found.hardware.memory_mib)} here"
        yield f"peak memory: {memory(found.peak_memory_mib)} of the largest trial, {room}"
    if not found.fits:
        yield (
            "warning: they do not fit side by side; give each trial more of the machine under 'resources' in the suite,"
            " so that fewer run at a time"
        )


def calibration_seconds(found: Estimate) -> float:
    """About how long a calibration takes: each timing some seconds, and all of them one start."""
    return 10 + 5.0 * len(found.untimed_training) + 5.0 * len(found.untimed_features)


def _machine(found: Estimate) -> str:
    hardware = found.hardware.hardware
    return str(hardware["gpu"] or f"{hardware['cores']} cores of {hardware['cpu']}")


def memory(mib: float | None) -> str:
    """`730 MiB`, `1.4 GiB`, or that it is not known."""
    return UNKNOWN if mib is None else text.format_memory(mib)
