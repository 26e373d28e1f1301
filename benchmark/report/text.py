"""Formats numbers, and escapes text for Markdown."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from benchmark.config.published import PublishedValue, ValueKind

if TYPE_CHECKING:  # importing them for real would load NumPy, which help texts do not need
    from benchmark.analysis.aggregate import Aggregate, Interval
    from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, TotalCost
    from benchmark.analysis.rules.difference import Difference
    from benchmark.evaluation.metrics.base import Output

ARROWS = {"higher": " ↑", "lower": " ↓"}
UNVERIFIED = "†"
UNVERIFIED_MEANING = "unverified: not read in a named source; shown, but never used for a verdict"
DERIVED = "‡"
SPREADS = {
    "training_seeds": "spread over training seeds",
    "sampling_seeds": "spread over sampling seeds of one training, which is smaller than that over trainings",
    "standard_error": "standard error of the mean",
    "not_stated": "spread, of a kind that the source does not state",
    "reading_error": "largest error of reading the figure",
}
DERIVED_MEANING = (
    "follows the abstract of its paper and quoted settings, because neither code nor full text was available: its"
    " result says nothing about the paper's claims"
)

_ACTIVE = re.compile(r"([\\`*_\[\]|~$])")
_LEADING = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[#+=-]))")


def single_line(text: str) -> str:
    """One line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def escape_markdown(text: str) -> str:
    """Inline Markdown that renders as exactly this text, also inside a table cell."""
    safe = _ACTIVE.sub(r"\\\1", single_line(text))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LEADING.sub(r"\1\\", safe)


def grid(header: Sequence[str], body: Iterable[Sequence[str]], align: str) -> str:
    """A Markdown table of cells that are already Markdown. `align`: `l` or `r` for each column."""
    rule = [{"l": ":--", "r": "--:"}[side] for side in align]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *body))


def label(row: "LeaderboardRow") -> str:
    """The name of a row, with ‡ if its method is implemented without code or full text."""
    return single_line(row.label) + (DERIVED if row.is_derived else "")


def arrow(output: "Output") -> str:
    """` ↑` or ` ↓`, the better direction; empty for an output by which methods are not ranked."""
    return ARROWS[output.better] if output.is_ranked else ""


def truncate(text: str, length: int) -> str:
    """One line of at most `length` characters."""
    line = single_line(text)
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def format_measured(result: "MetricResult") -> str:
    """The judged value: `mean ± sample standard deviation`, or the expected best of k; empty without one."""
    judged, digits = result.judged, result.output.decimals
    if judged is None:
        return ""
    if judged.best_of == 1 or not judged.trainings.is_finite:
        return format_mean(judged.trainings, digits)
    return "" if judged.estimate is None else f"{judged.estimate:.{digits}f}"


def format_mean(of: "Aggregate | None", digits: int) -> str:
    """`mean ± sample standard deviation`; empty without values."""
    if of is None:
        return ""
    if not of.is_finite:
        return "not a number"
    return f"{of.mean:.{digits}f}" + ("" if of.std is None else f" ± {of.std:.{digits}f}")


def format_variation(result: "MetricResult") -> str:
    """The coefficient of variation over the trainings that are judged, `1.8 %`; empty without one."""
    variation = result.judged.trainings.coefficient_of_variation if result.judged else None
    if variation is None:
        return ""
    return f"{100 * variation:.1f} %" if variation < 0.1 else f"{100 * variation:.0f} %"


def format_published(result: "MetricResult") -> str:
    """The published value and spread with as many decimals as the source gives, and † if unverified."""
    return published_value(result.published) if result.published else ""


def reference_word(kinds: Iterable[ValueKind]) -> str:
    """`theory` for values that are derived, `published` for all others, or both."""
    words = {"theory" if kind == "theory" else "published": None for kind in kinds}
    return " or ".join(words) or "published"


def reference_values(kinds: Iterable[ValueKind]) -> str:
    """The same as a noun: `published values`, `values in theory`, or both."""
    nouns = {"published": "published values", "theory": "values in theory"}
    return " or ".join(nouns[word] for word in reference_word(kinds).split(" or "))


def published_value(value: PublishedValue) -> str:
    """A value of a paper with as many decimals as the source gives, and † if unverified."""
    return plus_minus(value.value, value.spread) + (UNVERIFIED if value.status == "unverified" else "")


def plus_minus(value: float, spread: float | None) -> str:
    """`value ± spread`, both with as many decimals as the source gives."""
    decimals = max(_decimals(value), _decimals(spread or 0.0))
    return f"{value:.{decimals}f}" + ("" if spread is None else f" ± {spread:.{decimals}f}")


def _decimals(value: float) -> int:
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def format_interval(of: "Interval", digits: int) -> str:
    """`[low, high]`."""
    return f"[{of[0]:.{digits}f}, {of[1]:.{digits}f}]"


def format_difference(of: "Difference", digits: int, judged: bool) -> str:
    """`+1.23 [+0.45, +2.01]`, without interval for a single seed; `(+1.23)` if the values must not be compared."""
    shown = f"{of.estimate:+.{digits}f}"
    if not judged:
        return f"({shown})"
    return shown if of.interval is None else f"{shown} [{of.interval[0]:+.{digits}f}, {of.interval[1]:+.{digits}f}]"


def format_memory(mib: float) -> str:
    """`640 MiB` or `2.5 GiB`."""
    return f"{mib:,.0f} MiB" if mib < 1000 else f"{mib / 1024:,.1f} GiB"


def format_duration(seconds: float, unit: str = "") -> str:
    """`90 s`, `15 min`, `3.2 h`; with a unit, `90 core-s`."""
    lead = f"{unit}-" if unit else ""
    if seconds < 9.95:
        return f"{seconds:.1f} {lead}s"
    if seconds < 600:
        return f"{seconds:.0f} {lead}s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} {lead}min"
    return f"{seconds / 3600:,.1f} {lead}h"


def format_cost(cost: "TotalCost | None") -> str:
    """Device time of all trials of a row: core time on CPUs, GPU time on GPUs."""
    if cost is None:
        return ""
    parts = [(cost.gpu_seconds, "GPU"), (cost.core_seconds, "core")]
    return " + ".join(format_duration(seconds, unit) for seconds, unit in parts if seconds) or format_duration(
        0, "core"
    )


def format_speed(cost: "TotalCost | None") -> str:
    """Training images per second."""
    return f"{cost.images_per_second:,.0f} img/s" if cost and cost.images_per_second else ""
