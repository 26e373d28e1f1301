"""Reports a comparison of two sides: `compare.md`, and tables for the terminal."""

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.analysis.compare import (
    COMPARISON_MEANINGS,
    Comparison,
    ComparisonSide,
    ComparisonVerdict,
    MatchedCells,
    MetricComparison,
)
from benchmark.analysis.leaderboard import MetricResult
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid, single_line

STYLES = {
    ComparisonVerdict.IDENTICAL: "green",
    ComparisonVerdict.A_BETTER: "cyan",
    ComparisonVerdict.B_BETTER: "cyan",
    ComparisonVerdict.DIFFERENT: "cyan",
    ComparisonVerdict.UNDECIDED: "yellow",
}
COLUMNS, ALIGN = ["Row", "Metric", "A", "B", "B − A", "Verdict"], "llrrrl"
NUMBERS = "mean ± standard deviation over training seeds (how many); B − A with its 95 % Welch interval"


def markdown(comparison: Comparison) -> str:
    """The whole page. The same comparison gives the same text."""
    blocks = [
        f"# Comparison of {escape_markdown(comparison.a.name)} and {escape_markdown(comparison.b.name)}",
        "\n".join(f"- **{name}**: {escape_markdown(_about(side))}" for name, side in _sides(comparison)),
        f"{NUMBERS}.",
    ]
    for title, pairs in _by_table(comparison).items():
        body = [
            [escape_markdown(pair.label), *map(escape_markdown, _cells(metric))]
            for pair in pairs
            for metric in pair.metrics.values()
        ]
        blocks += [f"## {escape_markdown(title)}", grid(COLUMNS, body, ALIGN)]
    blocks += ["## Differences of the recipes", _recipe_changes(comparison)]
    blocks += ["## Differences of the environment", _environment_changes(comparison)]
    for name, cells in (("A", comparison.only_a), ("B", comparison.only_b)):
        if cells:
            blocks += [f"## Only in {name}", "\n".join(f"- {escape_markdown(cell)}" for cell in cells)]
    meanings = "\n".join(f"- **{verdict.value}**: {meaning}." for verdict, meaning in COMPARISON_MEANINGS.items())
    return "\n\n".join([*blocks, "## Verdicts", meanings]) + "\n"


def terminal(comparison: Comparison) -> Iterator[RenderableType]:
    """One table per table of A, then what differs."""
    yield Text("\n".join(f"{name}: {_about(side)}" for name, side in _sides(comparison)))
    for title, pairs in _by_table(comparison).items():
        yield _table(title, pairs)
    yield Text(NUMBERS, style="dim")
    for pair in comparison.pairs:
        if pair.recipe_changes:
            yield Text(f"{single_line(pair.label)}: {'; '.join(map(str, pair.recipe_changes))}")
    for change in comparison.environment_changes:
        yield Text(single_line(str(change)), style="dim")
    for name, cells in (("A", comparison.only_a), ("B", comparison.only_b)):
        if cells:
            yield Text(f"only in {name}: {single_line(', '.join(cells))}")


def _sides(comparison: Comparison) -> tuple[tuple[str, ComparisonSide], ...]:
    return ("A", comparison.a), ("B", comparison.b)


def _about(side: ComparisonSide) -> str:
    trials = f"{len(side.records)} of {len(side.suite.specs)} trials"
    return f"{side.name}: {side.suite.title}, scale {side.suite.scale}, {trials}"


def _by_table(comparison: Comparison) -> dict[str, list[MatchedCells]]:
    pairs_of: dict[str, list[MatchedCells]] = {}
    for pair in comparison.pairs:
        pairs_of.setdefault(pair.a.table, []).append(pair)
    return pairs_of


def _table(title: str, pairs: list[MatchedCells]) -> Table:
    table = Table(
        title=Text(single_line(title)), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name, align in zip(COLUMNS, ALIGN, strict=True):
        table.add_column(name, overflow="fold", justify="right" if align == "r" else "left")
    for pair in pairs:
        for metric in pair.metrics.values():
            *cells, verdict = map(Text, _cells(metric))
            verdict.stylize(STYLES.get(metric.verdict, ""))
            table.add_row(single_line(pair.label), *cells, verdict)
    return table


def _cells(metric: MetricComparison) -> list[str]:
    """Metric, A, B, their difference, and the verdict."""
    name = metric.output.key + text.arrow(metric.output)
    return [name, _side(metric.a), _side(metric.b), _difference(metric), metric.verdict.value]


def _side(result: MetricResult | None) -> str:
    if result is None or result.aggregate is None:
        return "–"
    return f"{text.format_mean(result.aggregate, result.output.decimals)} ({result.aggregate.n})"


def _difference(metric: MetricComparison) -> str:
    if metric.difference is None:
        return "–"
    digits = metric.output.decimals
    if metric.interval is None:
        return f"{metric.difference:+.{digits}f}"
    low, high = metric.interval
    return f"{metric.difference:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _recipe_changes(comparison: Comparison) -> str:
    lines = [
        f"- {escape_markdown(pair.label)}: {escape_markdown('; '.join(map(str, pair.recipe_changes)))}"
        for pair in comparison.pairs
        if pair.recipe_changes
    ]
    return "\n".join(lines) or "None: both sides have the same recipes, up to their seeds."


def _environment_changes(comparison: Comparison) -> str:
    if not comparison.environment_changes:
        return "None in the recorded machine, versions, source, data and evaluation networks."
    body = [list(map(escape_markdown, change)) for change in comparison.environment_changes]
    return grid(["", "A", "B"], body, "lll")
