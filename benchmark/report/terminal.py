"""The leaderboard on the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from benchmark.analysis.claims.results import ClaimResult, claim_results, results_by_table
from benchmark.analysis.claims.verdicts import ClaimVerdict
from benchmark.analysis.leaderboard import LeaderboardRow, best_results, headline_outputs, rows_by_table
from benchmark.analysis.verdicts import Verdict
from benchmark.config.suite import Suite
from benchmark.report import text
from benchmark.report.sections import claims, seeds

STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.BETTER: "green",
    Verdict.WORSE: "yellow",
    Verdict.DIFFERENT: "yellow",
    Verdict.DIVERGED: "red",
    Verdict.FAILED: "red",
    Verdict.NOT_RUN: "dim",
}

CLAIM_STYLES = {
    ClaimVerdict.SUPPORTED: "green",
    ClaimVerdict.CONTRADICTED: "yellow",
    ClaimVerdict.NOT_RUN: "dim",
}


def terminal_tables(suite: Suite, all_rows: list[LeaderboardRow]) -> list[Table]:
    """One table per table of the suite, followed by that of its claims. They fit on a terminal of 80 columns."""
    judged = results_by_table(claim_results(suite, all_rows))
    tables = []
    for title, members in rows_by_table(suite, all_rows).items():
        tables += [_table(title, members), *([_claims(title, judged[title])] if title in judged else [])]
    return tables


def _claims(title: str, results: list[ClaimResult]) -> Table:
    table = Table(
        title=Text(f"Claims: {text.single_line(title)}"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    table.add_column("Claim", max_width=30, overflow="fold")
    table.add_column("Difference", justify="right", overflow="fold")
    table.add_column("p", justify="right", no_wrap=True)
    for name in ("Seeds", "Verdict"):
        table.add_column(name, overflow="fold")
    for result in results:
        verdict = Text(result.verdict.value, style=CLAIM_STYLES.get(result.verdict, ""))
        summary, p = claims.summary(result) or "–", claims.p_words(result.p_for) or "–"
        table.add_row(Text(text.single_line(result.claim.name)), summary, p, str(result.counts), verdict)
    table.caption, table.caption_justify = "left - right of the same seed, 90 % interval; p: of the claim", "left"
    return table


def _table(title: str, members: list[LeaderboardRow]) -> Table:
    outputs, best = headline_outputs(members), best_results(members)
    table = Table(
        title=Text(text.single_line(title)),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    table.add_column("Method", max_width=26, overflow="fold")
    for output in outputs:
        table.add_column(output.key + text.arrow(output), justify="right", overflow="fold")
    for name in ("Verdict", "Cost"):
        table.add_column(name, overflow="fold")
    for row in members:
        cells = [_metric(row, output.key, (row.label, output.key) in best) for output in outputs]
        table.add_row(Text(text.label(row)), *cells, _verdict(row), _cost(row))
    table.caption, table.caption_justify = _caption(members), "left"
    return table


def _caption(members: list[LeaderboardRow]) -> str:
    caption = "mean ± standard deviation over training seeds (how many)"
    if any(row.cell.published for row in members):
        word = text.reference_word(row.cell.published.kind for row in members if row.cell.published)
        below = "the value in theory" if word == "theory" else f"the {word} value"
        caption += f"; below: {below} ({text.UNVERIFIED} unverified, never used for a verdict)"
    if any(row.is_derived for row in members):
        caption += f"; {text.DERIVED} {text.DERIVED_MEANING}"
    return caption


def _metric(row: LeaderboardRow, key: str, best: bool) -> Text:
    """The measured mean ± standard deviation (seeds), and the published value below it."""
    result = row.results.get(key)
    if result is None:
        return Text("–")
    cell = Text(text.format_measured(result) or "–", style="bold" if best else "")
    if result.aggregate:
        cell.append(f" ({result.aggregate.n})", style="dim not bold")
    if result.published:
        cell.append("\n" + text.format_published(result), style="dim not bold")
    return cell


def _verdict(row: LeaderboardRow) -> Text:
    """The verdict, or one per metric if they differ; below it the seeds, if some gave no result."""
    verdicts = row.verdicts
    agreed = len(set(verdicts.values())) == 1
    lines = [
        Text(word.value if agreed else f"{key}: {word.value}", style=STYLES.get(word, ""))
        for key, word in list(verdicts.items())[: 1 if agreed else None]
    ]
    if row.counts.finished < row.counts.total != row.counts.not_run:
        lines.append(Text(str(row.counts), style="dim"))
    if needed := seeds.summary(row):
        lines.append(Text(needed, style="dim"))
    return Text("\n").join(lines)


def _cost(row: LeaderboardRow) -> str:
    return "\n".join(part for part in (text.format_cost(row.cost), text.format_speed(row.cost)) if part)
