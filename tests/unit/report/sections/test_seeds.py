"""Seeds in the report: the section on inconclusive cells, and the footnotes on looks."""

import json
from dataclasses import replace

import pytest

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.analysis.power import CellModel, SeedsNeeded
from benchmark.analysis.rules.uncertainty import EXACT, published_uncertainty
from benchmark.analysis.sequential import Look
from benchmark.report.results_json import results_json
from benchmark.report.sections import seeds
from benchmark.report.sections.published_tables import Footnotes

CELL = CellModel(spread=30.0, margin=50.0, uncertainty=EXACT, better="higher")
UNCERTAIN = replace(CELL, uncertainty=published_uncertainty("training_seeds", 300.0, 3, "mean"))


@pytest.fixture
def inconclusive(suite, make_record, specs_of):
    """Records of SSGAN in which the modes are inconclusive and the KL is worse."""
    specs = specs_of(suite, "Checked", "SSGAN")
    values = [(860.0, 9.0), (900.0, 9.1), (940.0, 9.2)]
    return {
        spec.trial_id: make_record(spec, metrics={"modes": modes, "kl": kl})
        for spec, (modes, kl) in zip(specs, values, strict=True)
    }


def test_the_section_has_a_line_for_each_inconclusive_metric(suite, inconclusive):
    notes = Footnotes()
    table, *_, about = seeds.section(rows_by_table(suite, leaderboard_rows(suite, inconclusive)), notes)
    (line,) = table.splitlines()[2:]
    assert line.startswith("| Checked | SSGAN | modes covered")
    assert "| 3 | 4.4 % | reproduced |" in line
    assert "probability of 80 %" in about


def test_without_an_inconclusive_metric_there_is_no_section(suite, quick, all_finished):
    assert seeds.section(rows_by_table(suite, leaderboard_rows(suite, {})), Footnotes()) == []
    assert seeds.section(rows_by_table(quick, leaderboard_rows(quick, all_finished(quick))), Footnotes()) == []


def test_the_json_has_the_number_and_its_assumptions(suite, inconclusive):
    tables = json.loads(results_json(suite, leaderboard_rows(suite, inconclusive)))["tables"]
    results = next(row for row in tables[0]["rows"] if row["row"] == "SSGAN")["results"]
    needed = results["modes"]["seeds_needed"]
    assert (needed["towards"], needed["assumed_difference"], needed["spread"]) == ("reproduced", 0.0, 40.0)
    assert results["kl"]["seeds_needed"] is None


@pytest.mark.parametrize(
    "needed, words, why",
    [
        (SeedsNeeded(cell=CELL, seeds=1100, chance=0.81, finished=3), "1,097", ""),
        (SeedsNeeded(cell=CELL, seeds=3, chance=0.81, finished=5), "0", ""),
        (SeedsNeeded(), "unknown", "neither measured nor published"),
        (
            SeedsNeeded(cell=CELL, chance=0.284, finished=3),
            "over 997",
            "with 1,000 seeds, the probability of a decision is 28 %",
        ),
        (SeedsNeeded(cell=CELL, seeds=5, chance=0.8, has_gap=True), "none", "no verdict but worse is possible"),
        (
            SeedsNeeded(cell=UNCERTAIN, chance=0.0),
            "out of reach",
            "a half-width of 56 %, more than the tolerance of 5.5 %",
        ),
    ],
)
def test_a_number_or_the_reason_why_there_is_none(suite, row_of, needed, words, why):
    result = row_of(suite, {}, "Checked", "SSGAN").results["modes"]  # published: 906.75
    assert seeds.more_seeds(needed) == words
    assert (why in seeds.reason(result, needed)) if why else not seeds.reason(result, needed)


def test_without_a_tolerance_the_reason_is_that(suite, row_of):
    result = row_of(suite, {}, "Checked", "SSGAN").results["modes"]
    untold = replace(result, reference=replace(result.reference, tolerance=None))
    assert "states no tolerance" in seeds.reason(untold, SeedsNeeded())


@pytest.mark.parametrize(
    "look, words",
    [
        (Look((3,)), "this is the look at 3 seeds. This look spends 33 % of the error rates"),
        (Look((3, 5, 8)), "this is the look at 8 seeds, as 3 and 5 left it undecided. This look spends 15 %"),
        (Look((3, 5, 8)), "a confidence of 99.3 % and 98.5 % instead of 95 and 90 %"),
        (Look((4,), is_complete=False), "the first look at it is due after 4"),
    ],
)
def test_a_footnote_says_how_often_a_cell_was_judged(suite, row_of, look, words):
    result = row_of(suite, {}, "Checked", "SSGAN").results["modes"]
    assert seeds.look_notes(result) == []
    assert words in seeds.look_notes(replace(result, look=look))[0]


def test_the_suites_seeds_are_stated_with_the_limit(suite):
    assert seeds.stated(suite) == "0, 1, 2"
    extended = suite.with_looks([(3, 5)] + [()] * (len(suite.cells) - 1), max_seeds=8)
    assert seeds.stated(extended) == "0, 1, 2, and more until a judged cell is decided, at most 8 per cell"
