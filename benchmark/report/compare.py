"""Two sides as people read them: `compare.md`, and tables for the terminal."""

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
from benchmark.report.text import escape_markdown, grid

STYLES = {
    ComparisonVerdict.IDENTICAL: "green",
    ComparisonVerdict.A_BETTER: "cyan",
    ComparisonVerdict.B_BETTER: "cyan",
    ComparisonVerdict.UNDECIDED: "yellow",
}
NUMBERS = "mean ± standard deviation over training seeds (how many); B − A with its 95 % Welch interval"


def markdown(made: Comparison) -> str:
    """The whole page. The same comparison gives the same text."""
    blocks = [
        f"# {escape_markdown(made.a.name)} beside {escape_markdown(made.b.name)}",
        f"- **A**: {escape_markdown(about(made.a))}\n- **B**: {escape_markdown(about(made.b))}",
        f"{NUMBERS}.",
    ]
    for title, pairs in _by_table(made).items():
        header = ["Row", "Metric", "A", "B", "B − A", ""]
        body = [
            [escape_markdown(pair.label), *map(escape_markdown, _cells(one))]
            for pair in pairs
            for one in pair.metrics.values()
        ]
        blocks += [f"## {escape_markdown(title)}", grid(header, body, "llrrrl")]
    blocks += ["## What is trained differently", _recipes(made), "## What differs around it", _surroundings(made)]
    for name, alone in (("A", made.only_a), ("B", made.only_b)):
        if alone:
            blocks += [f"## Only in {name}", "\n".join(f"- {escape_markdown(cell)}" for cell in alone)]
    words = "\n".join(f"- **{word.value}**: {meaning}." for word, meaning in COMPARISON_MEANINGS.items())
    return "\n\n".join([*blocks, "## What the words mean", words]) + "\n"


def terminal(made: Comparison) -> Iterator[RenderableType]:
    """One table per table of A, then what differs."""
    yield Text(f"A: {about(made.a)}\nB: {about(made.b)}")
    for title, pairs in _by_table(made).items():
        yield _table(title, pairs)
    yield Text(NUMBERS, style="dim")
    for pair in made.pairs:
        if pair.recipe_changes:
            yield Text(f"{text.single_line(pair.label)}: {'; '.join(map(str, pair.recipe_changes))}")
    for change in made.environment_changes:
        yield Text(text.single_line(str(change)), style="dim")
    for name, alone in (("A", made.only_a), ("B", made.only_b)):
        if alone:
            yield Text(f"only in {name}: {text.single_line(', '.join(alone))}")


def about(side: ComparisonSide) -> str:
    """Whose numbers these are, and how many there are."""
    ended = len(side.records)
    return f"{side.name}: {side.suite.title}, scale {side.suite.scale}, {ended} of {len(side.suite.specs)} trials"


def _by_table(made: Comparison) -> dict[str, list[MatchedCells]]:
    grouped: dict[str, list[MatchedCells]] = {}
    for pair in made.pairs:
        grouped.setdefault(pair.a.table, []).append(pair)
    return grouped


def _table(title: str, pairs: list[MatchedCells]) -> Table:
    table = Table(
        title=Text(text.single_line(title)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("Row", "Metric", "A", "B", "B − A", ""):
        table.add_column(name, overflow="fold", justify="right" if name in ("A", "B", "B − A") else "left")
    for pair in pairs:
        for contrast in pair.metrics.values():
            *cells, word = _cells(contrast)
            table.add_row(
                text.single_line(pair.label), *map(Text, cells), Text(word, style=STYLES.get(contrast.verdict, ""))
            )
    return table


def _cells(contrast: MetricComparison) -> list[str]:
    """Metric, A, B, their difference, and the word."""
    name = f"{contrast.output.key} {text.ARROWS[contrast.output.better]}"
    return [name, _side(contrast.a), _side(contrast.b), _difference(contrast), contrast.verdict.value]


def _side(result: MetricResult | None) -> str:
    if result is None or result.aggregate is None:
        return "–"
    return f"{text.format_measured(result)} ({result.aggregate.n})"


def _difference(contrast: MetricComparison) -> str:
    if contrast.difference is None:
        return "–"
    digits = contrast.output.decimals
    if contrast.interval is None:
        return f"{contrast.difference:+.{digits}f}"
    low, high = contrast.interval
    return f"{contrast.difference:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _recipes(made: Comparison) -> str:
    changed = [pair for pair in made.pairs if pair.recipe_changes]
    if not changed:
        return "Nothing: both sides have the same trials, but for their seeds."
    return "\n".join(
        f"- {escape_markdown(pair.label)}: {escape_markdown('; '.join(map(str, pair.recipe_changes)))}"
        for pair in changed
    )


def _surroundings(made: Comparison) -> str:
    if not made.environment_changes:
        return "Nothing that the records tell of machine, versions, source, data and instruments."
    return grid(["", "A", "B"], [list(map(escape_markdown, change)) for change in made.environment_changes], "lll")
