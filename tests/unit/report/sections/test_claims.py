"""Claims in the report: the page, the terminal, the files for programs."""

import csv
import io
import json
import re

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.report.markdown import leaderboard
from benchmark.report.render import render, summary_table
from benchmark.report.sections.claims import p_words
from tests.support.claim_suite import DROP, load_claims, records_of

NOISE = (0.3, -0.2, 0.1, -0.4, 0.2)
LAST = {"row": ["Plain", "Rotated", "Third"], "output": "modes"}
CLAIMS = {
    "Accuracy drops": DROP | {"assumptions": ["SS-01", "a batch of *64*"]},
    "Some row beats Plain": {
        "published": "paper/small-scale",
        "left": {"row": ["Rotated", "Third"], "output": "modes"},
        "relation": "greater",
        "right": {"row": "Plain"},
        "quantifier": "some",
        "test": "sign",
        "note": "as in figure 3",
    },
    "From memory": DROP | {"published": "paper/remembered", "test": "sign"},
}


def value(row, seed, step):
    return {"modes": 100.0 + (row == "Rotated") - 20 * (step == 200) + NOISE[seed] * step / 1000, "kl": 1.0}


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    return load_claims(tmp_path_factory.mktemp("claims"), CLAIMS)


@pytest.fixture(scope="module")
def records(claimed):
    return records_of(claimed, value)


@pytest.fixture(scope="module")
def page(claimed, records):
    return leaderboard(claimed, leaderboard_rows(claimed, records), [])


def line_of(page, start):
    return next(line for line in page.splitlines() if line.startswith(start))


def test_the_section_follows_its_table(page):
    headings = re.findall(r"^#+ (.*)$", page, re.M)
    assert headings[:4] == ["A suite of claims", "Experiment", "Claims", "How to read the tables"]


def test_a_line_has_both_sides_their_difference_the_test_and_the_verdict(page):
    cells = [cell.strip() for cell in line_of(page, "| Accuracy drops |").strip("|").split("|")]
    name, left, right, difference, p_for, p_against, seeds, verdict = cells
    assert (name, left, right, seeds, verdict) == ("Accuracy drops", "80.0 ± 0.1", "100.0 ± 0.0", "5", "**supported**")
    assert re.fullmatch(r"-20\.0 \[-20\.0, -20\.0\]", difference)
    assert (p_for, p_against) == ("< 0.001", "1.00")


def test_the_sentence_stands_there_with_its_source_and_the_assumptions(page):
    assert '> "the accuracy drops" at every switch' in page
    assert "A Paper (CVPR 2019). Read in: the PDF, page 3. The experiment: two rows, evaluated ten times." in page
    item = line_of(page, "- **Accuracy drops**")
    assert "left is predicted to be less than right. Paired t-test" in item
    assert r"Assumptions where the paper is silent: SS-01; a batch of \*64\*." in item
    assert "  - *left*: Plain; modes covered (of 1,000); mean over steps 101 to 200" in page


def test_a_claim_about_several_sides_shows_each(page):
    assert "1 of 2 as predicted" not in line_of(page, "| Some row beats Plain |"), "corrected, 5 seeds show nothing"
    item = line_of(page, "- **Some row beats Plain**")
    assert "of 2 quantities, at least one is predicted to be greater than right. Exact sign test" in item
    assert "With 5 seeds it cannot support the claim (6 seeds can)." in item
    assert item.endswith("Note: as in figure 3.")
    assert "| Rotated | 101.0 ± 0.3 | 100.0 ± 0.3 | +1.0 [+1.0, +1.0] | 0.031 | 1.00 |" in page
    assert "every scale is judged" in page


def test_an_unverified_claim_is_marked_and_not_judged(page):
    assert line_of(page, "| From memory |").endswith("| unverified |")
    assert "from memory. † unverified" in page
    assert "5 differences are above 0." in line_of(page, "- **From memory**")


def test_only_verdicts_that_occur_are_explained(page):
    explained = re.findall(r"^  - \*\*(.+?)\*\*:", page, re.M)
    assert explained == ["supported", "inconclusive", "unverified"]


def test_nothing_is_said_about_claims_without_any(suite, all_finished):
    page = leaderboard(suite, leaderboard_rows(suite, all_finished(suite)), [])
    assert "### Claims" not in page
    assert "**Claims**" not in page


@pytest.mark.parametrize("seeds", [1, 2, 4, 5])
def test_a_page_can_be_written_at_any_time(tmp_path, seeds):
    suite = load_claims(tmp_path, CLAIMS, seeds=seeds)
    for records in ({}, records_of(suite, value)):
        page = leaderboard(suite, leaderboard_rows(suite, records), [])
        for row in re.findall(r"^\| (?:Accuracy|Some|From).*$", page, re.M):
            assert row.count(" | ") == 7


def test_four_seeds_of_a_sign_test_are_said_to_be_too_few(tmp_path):
    suite = load_claims(tmp_path, {"C": DROP | {"test": "sign"}}, seeds=4)
    page = leaderboard(suite, leaderboard_rows(suite, records_of(suite, value)), [])
    wanted = "With 4 seeds it can neither support the claim (5 seeds can) nor contradict it (5 seeds can)."
    assert wanted in line_of(page, "- **C**")


def test_an_unclear_claim_says_how_many_seeds_would_decide_it(tmp_path):
    drops = (3.0, -2.0, 1.0, -1.5, 4.0)
    suite = load_claims(tmp_path, {"C": DROP})
    records = records_of(suite, lambda row, seed, step: {"modes": -drops[seed] * (step > 100)})
    page = leaderboard(suite, leaderboard_rows(suite, records), [])
    assert re.search(r"About \d+ seeds would decide it with a probability of 80 %", line_of(page, "- **C**"))


def test_the_text_of_a_paper_renders_as_text(tmp_path):
    hostile = "a | b <script> *c* `d`"
    suite = load_claims(tmp_path, {hostile: DROP | {"assumptions": [hostile], "note": hostile}})
    page = leaderboard(suite, leaderboard_rows(suite, records_of(suite, value)), [])
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    assert "<script>" not in html
    assert html.count("a | b &lt;script&gt; *c* `d`") == 4


def test_the_terminal_shows_claims_in_80_columns(claimed, records):
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(claimed, records))
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    for words in ("Claims: Experiment", "supported", "-20.0 [-20.0, -20.0]", "< 0.001", "unverified"):
        assert words in shown


def test_the_files_hold_what_the_page_shows(claimed, records, tmp_path, real):
    folder = render(claimed, records, tmp_path, real).parent
    (table,) = json.loads((folder / "results.json").read_text())["tables"]
    drop, some, memory = table["claims"]
    assert drop["published"]["sentence"] == '"the accuracy drops" at every switch'
    assert (drop["reference"], drop["verdict"], drop["test"]) == ("paper/drop", "supported", "t")
    assert drop["sides"][0]["left"]["steps"] == [200]
    assert drop["sides"][0]["difference"]["by_seed"]["0"] == pytest.approx(-20 + 0.03)
    assert some["fewest_seeds"] == {"support": 6, "contradiction": 5}
    assert len(some["sides"]) == 2
    assert memory["verdict"] == "unverified"
    lines = list(csv.DictReader(io.StringIO((folder / "claims.csv").read_text())))
    assert [line["claim"] for line in lines] == [*CLAIMS][:1] + [[*CLAIMS][1]] * 2 + [*CLAIMS][2:]
    assert float(lines[0]["claim_p_for"]) == drop["p_for"]
    assert [line["side"] for line in lines] == ["", "Rotated", "Third", ""]


def test_an_old_file_of_claims_goes_with_the_claims(small_suite, tmp_path, real):
    (tmp_path / "claims.csv").write_text("old")
    render(small_suite("GAN"), {}, tmp_path, real)
    assert not (tmp_path / "claims.csv").exists()


def test_a_reduced_scale_is_named_and_not_judged(tmp_path):
    suite = load_claims(tmp_path, CLAIMS, "quick")
    page = leaderboard(suite, leaderboard_rows(suite, records_of(suite, value)), [])
    assert line_of(page, "| Accuracy drops |").endswith("| – | – | – | – | – | 5 | reduced scale |")
    assert "inconclusive" in line_of(page, "| Some row beats Plain |")


@pytest.mark.parametrize(
    ("p", "words"),
    [(None, ""), (float("nan"), ""), (0.0, "< 0.001"), (0.03125, "0.031"), (0.5, "0.50"), (1.0, "1.00")],
)
def test_p_values_are_short(p, words):
    assert p_words(p) == words
