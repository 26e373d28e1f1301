"""The report in MLflow's terms: the judgements for the tags of trials, and the run that holds the report."""

import base64
import html
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from benchmark.config.suite import Suite
from benchmark.store.records import TrialRecord
from benchmark.tracking.fields import MAX_VALUE, safe_key

if TYPE_CHECKING:  # importing it for real would load NumPy
    from benchmark.analysis.claims.results import ClaimResult

PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px/1.5 sans-serif; margin: 2em; max-width: 80em }}
table {{ border-collapse: collapse; margin: 1em 0 }}
th, td {{ border: 1px solid #ccc; padding: .2em .6em; vertical-align: top }}
img {{ max-width: 100% }}
</style>
{body}
"""


def judgement_tags(suite: Suite, records: Mapping[str, TrialRecord]) -> dict[str, dict[str, str]]:
    """Trial id -> tag -> value: verdict, rule and judged value of its cell, for outputs with a published value.

    Those of several cells are joined.
    """
    from benchmark.analysis.leaderboard import leaderboard_rows

    by_trial: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in leaderboard_rows(suite, records):
        for trial in row.trials:
            tags = by_trial[trial.spec.trial_id]
            for key, result in row.results.items():
                if result.published is None:
                    continue
                tags[f"verdict.{key}"].append(result.verdict.value)
                if result.rule:
                    tags[f"rule.{key}"].append(result.rule)
                if result.judged and result.judged.estimate is not None:
                    tags[f"judged.{key}"].append(f"{result.judged.estimate:.6g}")
    return {
        trial_id: {tag: " | ".join(dict.fromkeys(values)) for tag, values in tags.items()}
        for trial_id, tags in by_trial.items()
    }


def report_tags(suite: Suite, records: Mapping[str, TrialRecord]) -> dict[str, str]:
    """The tags of the report's run. `report` identifies the run by the part of the suite that it covers.

    `claim.<name>` is the verdict on a claim of the suite.
    """
    part = ", ".join((suite.scale, *suite.only))
    sources = sorted({str(record.environment.get("source", "unknown")) for record in records.values()})
    statuses = Counter(record.status for record in records.values())
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    tags = {
        "report": part,
        "suite": suite.name,
        "scale": suite.scale,
        "source": ", ".join(sources),
        "mlflow.runName": f"leaderboard ({part})",
        "mlflow.note.content": f"**{suite.title}**, {len(records)} of {len(suite.specs)} trials: {counts}.\n\n"
        "The report is under *Artifacts*: leaderboard.html to read, results.csv for computations.",
        "mlflow.source.name": suite.path.name,
    }
    tags |= {f"claim.{name}": result.verdict.value for name, result in _claims(suite, records).items()}
    return {safe_key(key): value[:MAX_VALUE] for key, value in tags.items()}


def report_metrics(suite: Suite, records: Mapping[str, TrialRecord]) -> dict[str, float]:
    """Key -> value, of the metrics of the report's run: p-values of claims, and the difference of each pair."""
    metrics: dict[str, float | None] = {}
    for name, result in _claims(suite, records).items():
        metrics |= {f"claim/{name}/p_for": result.p_for, f"claim/{name}/p_against": result.p_against}
        for side in result.sides:
            key = f"claim/{name}/difference"
            metrics[f"{key}/{side.pair.side}" if side.pair.side else key] = side.difference.mean
    return {safe_key(key): value for key, value in metrics.items() if value is not None and math.isfinite(value)}


def _claims(suite: Suite, records: Mapping[str, TrialRecord]) -> "dict[str, ClaimResult]":
    """The claims by name; with their table, if the suite has several."""
    from benchmark.analysis.claims.results import claim_results
    from benchmark.analysis.leaderboard import leaderboard_rows

    if not suite.claims:
        return {}
    results = claim_results(suite, leaderboard_rows(suite, records))
    tables = {result.claim.table for result in results}
    return {f"{r.claim.table}: {r.claim.name}" if len(tables) > 1 else r.claim.name: r for r in results}


def report_artifacts(folder: Path) -> dict[str, bytes]:
    """File name -> content: the files of a report, and `leaderboard.html`, as MLflow shows Markdown as plain text."""
    claims = [path.name for path in folder.glob("claims.csv")]
    files = {name: (folder / name).read_bytes() for name in ("leaderboard.md", "results.csv", *claims)}
    figures = {f"figures/{path.name}": path.read_bytes() for path in sorted(folder.glob("figures/*.png"))}
    return {"leaderboard.html": _as_html(files["leaderboard.md"].decode(), figures), **files, **figures}


def _as_html(markdown: str, figures: Mapping[str, bytes]) -> bytes:
    """The page with its figures embedded, as MLflow shows a page without the files next to it."""
    from markdown_it import MarkdownIt

    def embed(source: re.Match[str]) -> str:
        figure = figures.get(unquote(source[1]))
        return source[0] if figure is None else f'src="data:image/png;base64,{base64.b64encode(figure).decode()}"'

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    title = next((line.lstrip("# ") for line in markdown.splitlines() if line.startswith("#")), "")
    page = PAGE.format(title=html.escape(title), body=re.sub(r'src="([^"]+)"', embed, body))
    return page.encode()
