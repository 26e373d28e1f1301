"""Values in theory and values read from a figure: every part of the report names them as what they are."""

import csv
import io
import json

import pytest
from rich.console import Console

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.report.figures.style import published_legend
from benchmark.report.markdown import leaderboard
from benchmark.report.render import summary_table
from benchmark.report.results_csv import results_csv
from benchmark.report.results_json import results_json
from benchmark.tracking.fields import describe_published
from tests.support.report_suite import PAPER, SUITE, synthetic_record, write_suite

THEORY = """
title: A theory
authors: Somebody
venue: derived here
year: 2026
url: docs/theory.md
kind: theory
tables:
  limit:
    title: an ideal generator
    dataset: stacked_digits
    status: verified
    source: docs/theory.md
    spread_kind: exact
    protocol: {}
    note: No training has these values.
    rows:
      GAN: {values: {modes: 640, kl: 2.0}}
      SSGAN: {values: {modes: 700, kl: 0.9}}
      MSGAN: {values: {modes: 930, kl: 0.4}}
"""
FIGURE = PAPER.replace("spread_kind: training_seeds\n    n_seeds: 8", "spread_kind: reading_error\n    n_seeds: 1")
HEAD = SUITE[: SUITE.index("  - title: Remembered")]
SCALES = "scales: {paper: {}, quick: {cell: {steps: 100}}}\n"


def suite_of(folder, *references):
    """A suite that compares the same trials with each of these tables."""
    head, table = HEAD.split("  - title: Checked\n")
    tables = (
        f"  - title: Against {name}\n"
        + table.replace("paper/checked", name).replace("    note: With small", "    note: Of small")
        for name in references
    )
    path = write_suite(folder, head + "".join(tables) + SCALES)
    (folder / "papers" / "theory.yaml").write_text(THEORY)
    (folder / "papers" / "paper.yaml").write_text(FIGURE.replace("[2.0, null]", "[2.0, 0.1]"))
    return load_suite(path, "paper")


@pytest.fixture(scope="module")
def theory(tmp_path_factory):
    return suite_of(tmp_path_factory.mktemp("theory"), "theory/limit")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return suite_of(tmp_path_factory.mktemp("both"), "theory/limit", "paper/checked")


def rows_of(suite):
    return leaderboard_rows(suite, {trial_id: synthetic_record(spec) for trial_id, spec in suite.specs.items()})


def page_of(suite):
    return leaderboard(suite, rows_of(suite), ["leaderboard.png", "curves.png"])


def test_a_page_about_a_theory_speaks_of_nothing_published(theory):
    page = page_of(theory)
    header = next(line for line in page.splitlines() if line.startswith("| Method"))
    assert header.split(" | ")[1] == "Theory"
    assert "- Theory: A theory (derived here 2026), an ideal generator. Derived in: docs/theory.md." in page
    assert "mean against an exact value" in page
    assert "**Tolerance** around the values in theory: kl ± 25 %, modes ± 5 %." in page
    assert "**Order**" not in page
    lines = [line for line in page.splitlines() if "ublished" in line and "- **reproduced**" not in line]
    assert lines == [
        "![Every method, measured and published](figures/leaderboard.png)",
        next(line for line in page.splitlines() if line.startswith("- **Rule** says")),
    ]


def test_the_verdict_on_a_value_in_theory_is_different_on_either_side(theory):
    verdicts = {row.label: row.verdicts["modes"].value for row in rows_of(theory)}
    assert verdicts == {"GAN": "reproduced", "SSGAN": "different", "MSGAN": "reproduced"}
    assert "- **different**: the 95 % interval of the difference to the value in theory" in page_of(theory)


def test_both_kinds_of_reference_are_named_side_by_side(both):
    page = page_of(both)
    assert "Its ± is the largest error of reading the figure, 1 training." in page
    assert "prediction interval for one published training" in page
    assert "the value was read off a figure of one training" in page
    assert "**Tolerance** around the values in theory or published values" in page
    assert "**Order** asks" in page


def test_the_terminal_names_the_theory(theory, both):
    def shown(suite):
        console = Console(file=io.StringIO(), width=100)
        console.print(summary_table(suite, {}))
        return " ".join(console.file.getvalue().split())

    assert "below: the value in theory" in shown(theory)
    assert "below: the published value" not in shown(theory)
    assert "below: the published value" in shown(both)


def test_files_for_programs_name_the_kind(both):
    rows = rows_of(both)
    lines = list(csv.DictReader(io.StringIO(results_csv(both, rows))))
    assert {(line["table"], line["published_kind"]) for line in lines} == {
        ("Against theory/limit", "theory"),
        ("Against paper/checked", "read from a figure"),
    }
    content = json.loads(results_json(both, rows))
    kinds = [row["results"]["modes"]["published"]["kind"] for table in content["tables"] for row in table["rows"]]
    assert kinds == ["theory"] * 3 + ["read from a figure"] * 3


def test_figures_and_mlflow_name_the_theory(theory):
    results = [row.results["modes"] for row in rows_of(theory)]
    assert [entry.label for entry in published_legend(results)] == ["theory"]
    assert describe_published(results[0].published) == "640, theory: docs/theory.md"
