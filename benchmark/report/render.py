"""Writes the report of a suite from its records, at any time, also while trials run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.analysis.points.tables import RealSamples
from benchmark.config.suite import Suite
from benchmark.core.files import write_atomically
from benchmark.store.records import TrialRecord

if TYPE_CHECKING:
    import rich.console


def render(suite: Suite, records: Mapping[str, TrialRecord], folder: Path, real: RealSamples) -> Path:
    """Write `leaderboard.md`, `results.csv`, `results.json` and `figures/*.png`; returns the first one's path.

    A suite with claims also has `claims.csv`. The same records give the same bytes. What earlier reports had and this
    one does not is removed: figures, and `claims.csv`.

    Args:
        suite: the suite.
        records: the records so far, by trial id.
        folder: where to write.
        real: by dataset, the PNG of an 8 x 8 grid of real images, or real points (n, D).
    """
    from benchmark.analysis.claims.results import claim_results
    from benchmark.report.claims_csv import claims_csv
    from benchmark.report.figures.draw import draw
    from benchmark.report.markdown import leaderboard
    from benchmark.report.results_csv import results_csv
    from benchmark.report.results_json import results_json

    rows = leaderboard_rows(suite, records)
    figures = draw(suite, rows, real)
    for name, content in figures.items():
        write_atomically(folder / "figures" / name, content)
    write_atomically(folder / "results.csv", _utf8(results_csv(suite, rows)))
    write_atomically(folder / "results.json", _utf8(results_json(suite, rows)))
    if suite.claims:
        write_atomically(folder / "claims.csv", _utf8(claims_csv(claim_results(suite, rows))))
    else:
        (folder / "claims.csv").unlink(missing_ok=True)
    path = folder / "leaderboard.md"
    write_atomically(path, _utf8(leaderboard(suite, rows, figures)))
    for stale in (folder / "figures").glob("*.png"):
        if stale.name not in figures:
            stale.unlink()
    return path


def replaced_title(suite: Suite, folder: Path) -> str:
    """The title of the other suite whose report is in a folder; empty if there is none."""
    try:
        title = json.loads((folder / "results.json").read_bytes())["title"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return "" if title == suite.title else str(title)


def summary_table(suite: Suite, records: Mapping[str, TrialRecord]) -> "rich.console.Group":
    """The leaderboard for a terminal of at least 80 columns: one table per table of the suite."""
    from rich.console import Group

    from benchmark.report.terminal import terminal_tables

    return Group(*terminal_tables(suite, leaderboard_rows(suite, records)))


def _utf8(content: str) -> bytes:
    return content.encode("utf-8", errors="replace")
