"""Seeds in the report: how many more would decide a cell, and how cells are judged while seeds are added."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, TotalCost
from benchmark.analysis.power import POWER, SeedsNeeded, seeds_needed
from benchmark.analysis.verdicts import Verdict
from benchmark.config.suite import Suite
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid

if TYPE_CHECKING:  # which imports this module
    from benchmark.report.sections.published_tables import Footnotes

ABOUT = (
    f"*More seeds* is the number that decides a cell with a probability of {100 * POWER:.0f} %, if every seed finishes,"
    " seeds vary with the *spread* given here (standard deviation between trainings, as a share of the published value)"
    " and the true difference is 0; for *towards* `better` or `worse`, or once that number is reached, if it is the"
    " measured difference. *Cost* is their device time. `run --until-decided --max-seeds N` adds seeds and corrects for"
    " the repeated looks, which takes some more."
)


def stated(suite: Suite) -> str:
    """The suite's seeds, and whether more are added."""
    listed = ", ".join(map(str, suite.seeds))
    if suite.max_seeds is None:
        return listed
    return f"{listed}, and more until a judged cell is decided, at most {suite.max_seeds} per cell"


def look_notes(result: MetricResult) -> list[str]:
    """How a metric is judged while seeds are added, as a footnote; empty for a fixed list of seeds."""
    look = result.look
    if look is None:
        return []
    *before, last = look.seeds
    if not look.is_complete:
        return [f"seeds are added until the cell is decided; the first look at it is due after {last}"]
    earlier = f", as {_listed(before)} left it undecided" if before else ""
    confidences = " and ".join(f"{100 - error * look.share:.3g} %" for error in (5, 10))
    return [
        f"seeds are added until the cell is decided; this is the look at {last} seeds{earlier}. This look spends"
        f" {100 * look.share:.0f} % of the error rates, so that all looks together err no more often than one test:"
        f" the two intervals of the difference have a confidence of {confidences} instead of 95 and 90 %"
    ]


def _listed(numbers: list[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def section(tables: Mapping[str, list[LeaderboardRow]], notes: "Footnotes") -> list[str]:
    """A line for each judged metric that is inconclusive; empty without any."""
    body = [
        [escape_markdown(title), escape_markdown(text.label(row)), *_line(row, row.results[key], needed, notes)]
        for title, members in tables.items()
        for row in members
        for key, needed in inconclusive(row).items()
    ]
    if not body:
        return []
    header = ["Table", "Method", "Metric", "Seeds", "Spread", "Towards", "More seeds", "Cost"]
    return [grid(header, body, "lllrrlrr"), "\n".join(notes.lines()), ABOUT]


def inconclusive(row: LeaderboardRow) -> dict[str, SeedsNeeded]:
    """Metric output -> the seeds that would decide it, for the inconclusive ones."""
    if Verdict.INCONCLUSIVE not in row.verdicts.values():
        return {}
    return {key: needed for key, needed in seeds_needed(row).items() if row.verdicts[key] is Verdict.INCONCLUSIVE}


def more_seeds(needed: SeedsNeeded) -> str:
    """The number of further seeds, or in a few words why there is none."""
    if needed.more is not None:
        return f"{needed.more:,}"
    if needed.cell is None:
        return "unknown"
    if needed.is_out_of_reach:
        return "out of reach"
    return "none" if needed.has_gap else f"over {needed.cell.most - needed.finished:,}"


def summary(row: LeaderboardRow) -> str:
    """The further seeds that a row needs, in a few words; empty if no metric is inconclusive."""
    words = dict.fromkeys(map(more_seeds, inconclusive(row).values()))
    return f"more seeds: {'; '.join(words)}" if words else ""


def reason(result: MetricResult, needed: SeedsNeeded) -> str:
    """Why there is no number, in a phrase; empty if there is one."""
    if needed.more is not None:
        return ""
    if result.reference and result.reference.margin is None:
        return "unknown: the suite states no tolerance, without which no value is reproduced"
    if needed.cell is None:
        return "unknown: the spread between trainings is neither measured nor published"
    if needed.is_out_of_reach:
        return (
            f"out of reach: the 90 % interval of the published value alone has a half-width of"
            f" {share(result, needed.cell.half_width)}, more than the tolerance of"
            f" {share(result, needed.cell.margin)}, so that no number of seeds gives reproduced"
        )
    if needed.has_gap:
        return "none: as a seed diverged or failed, no verdict but worse is possible, however many others finish"
    return f"with {needed.cell.most:,} seeds, the probability of a decision is {100 * needed.chance:.0f} %"


def share(result: MetricResult, size: float) -> str:
    """A size as a share of the published value; in the metric's unit if that is 0."""
    value = result.published.value if result.published else 0.0
    if not value:
        return f"{size:.{result.output.decimals}f}"
    percent = 100 * size / abs(value)
    return f"{percent:.0f} %" if percent >= 100 else f"{percent:.2g} %"


def spread(result: MetricResult, needed: SeedsNeeded) -> str:
    """The spread between trainings, and whether it is a published one."""
    if needed.cell is None:
        return "–"
    return share(result, needed.cell.spread) + (" (published)" if needed.source == "published" else "")


def _line(row: LeaderboardRow, result: MetricResult, needed: SeedsNeeded, notes: "Footnotes") -> list[str]:
    why = reason(result, needed)
    return [
        escape_markdown(result.output.title),
        str(row.counts),
        spread(result, needed),
        needed.cell.towards.value if needed.cell else "–",
        more_seeds(needed) + (notes.mark(why) if why else ""),
        text.format_cost(_cost_of(row, needed.more)) if needed.more else "–",
    ]


def _cost_of(row: LeaderboardRow, seeds: int) -> TotalCost | None:
    """The cost of some more trials, each like the mean over the recorded ones."""
    recorded = sum(trial.record is not None and trial.record.cost is not None for trial in row.trials)
    if row.cost is None:
        return None
    factor = seeds / recorded
    return replace(row.cost, core_seconds=factor * row.cost.core_seconds, gpu_seconds=factor * row.cost.gpu_seconds)
