"""tests.unit.report.test_markdown"""

import re
import shutil
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.analysis.verdicts import Verdict
from benchmark.config.suite import load_suite
from benchmark.report.markdown import leaderboard

FIGURES = ("leaderboard.png", "curves.png", "samples.png")


def written(suite, records, figures=FIGURES):
    return leaderboard(suite, leaderboard_rows(suite, records), figures)


@pytest.fixture(scope="module")
def document(suite, mixed):
    return written(suite, mixed)


def line_of(document, start):
    return next(line for line in document.splitlines() if line.startswith(start))


def test_sections_have_their_order(document):
    headings = re.findall(r"^#+ (.*)$", document, re.M)
    assert headings == [
        "A suite",
        "Checked",
        "Remembered",
        "Own",
        "How to read the tables",
        "Seeds that would decide",
        "Trials without a result",
        "Sources of variation",
        "Learning curves",
        "Samples",
        "Cost",
        "What was trained",
        "Where it ran",
        "Run it again",
    ]
    assert document.index("leaderboard.png") < document.index("## Checked")
    assert "In two paragraphs." in document


def test_the_setting_names_scale_seeds_data_and_protocol(document, quick, all_finished):
    assert "**Scale** paper, the full recipe" in document
    assert "**Seeds** 0, 1, 2" in document
    assert "`stacked_digits`" in document
    assert "25,600 generated images" in line_of(document, "- **Protocol**")
    assert "13 of 21 finished; 1 diverged; 4 failed; 3 not run" in document
    reduced = line_of(written(quick, all_finished(quick)), "- **Scale**")
    assert "reduced" in reduced
    assert "a tenth" in reduced


def test_tables_show_published_and_measured_values_side_by_side(document, suite, mixed):
    checked = document[document.index("## Checked") : document.index("## Remembered")]
    modes, kl = checked.split("**KL")
    assert "| Method | Published | Measured | 95 % interval | CV | Difference | Seeds | Rule | Verdict |" in modes
    line = line_of(modes, "| MSGAN <sup>")
    assert "926.75 ± 32.65" in line
    result = next(
        row for row in leaderboard_rows(suite, mixed) if (row.table, row.label) == ("Checked", "MSGAN")
    ).results["modes"]
    apart = result.difference
    assert f"{apart.estimate:+.1f} [{apart.interval[0]:+.1f}, {apart.interval[1]:+.1f}]" in line
    assert f"[{result.aggregate.interval[0]:.1f}, {result.aggregate.interval[1]:.1f}]" in line
    assert line.rstrip(" |").split("| ")[-1].startswith(result.verdict.value)
    assert "0.78 ± 0.13" in line_of(kl, "| MSGAN")
    assert "2 of 3; 1 failed" in line_of(modes, "| GAN")
    own = document[document.index("## Own") : document.index("## How")]
    assert "ublished" not in own


def test_the_best_of_what_has_no_published_value_is_bold(suite, all_finished):
    document = written(suite, all_finished(suite))
    own = document[document.index("## Own") : document.index("## How")]
    assert len(re.findall(r"\| \*\*[0-9.]+ ± [0-9.]+\*\*", own)) == 2


def test_rows_that_are_only_published_are_quoted(small_suite, suite, mixed):
    cells = tuple(cell for cell in suite.cells if (cell.table, cell.row) != ("Checked", "SSGAN"))
    document = written(replace(suite, cells=cells), mixed)
    assert "Also published there, not trained here: SSGAN 906.75 ± 26.15." in document


def test_the_published_order_is_judged(suite, all_finished):
    """Three seeds against three cannot decide an order."""
    document = written(suite, all_finished(suite))
    assert "- **Order**: 0 of 3 published orderings reproduced, 3 undecided; Kendall's τ" in document


def test_an_order_that_must_not_be_judged_has_its_probability(suite_file, all_finished):
    quick = load_suite(suite_file, "quick")
    document = written(quick, all_finished(quick))
    sure = "1.00 [1.00, 1.00], p = 0.100"
    assert f"- **Order**, not judged: MSGAN over SSGAN {sure}; SSGAN over GAN {sure}. One training of" in document
    assert "each of the 3 is in the published order with probability 1; by chance with 0.17." in document
    assert "orderings reproduced" not in document


def test_every_row_has_its_cost(document, suite, mixed):
    section = document[document.index("## Cost") : document.index("## What was trained")]
    assert "| Checked | GAN | 30 core-s | 6,700 img/s | 512 MiB |" in section
    assert "core-s in total" in section or "core-min in total" in section


def test_footnotes_state_source_mismatch_and_status(document):
    assert "99†" in document
    assert "† unverified: not read in a named source" in document
    assert "protocol of the published value: n\\_fake: published 26000, here 25600" in document
    assert "the PDF, page 7" in document
    assert "</sup> published: the authors' own run" in document


def test_a_difference_that_is_not_judged_is_in_brackets_and_has_no_interval(document, suite, mixed):
    assert "in brackets where the two must not be compared" in document
    for row in leaderboard_rows(suite, mixed):
        for result in row.results.values():
            if result.difference and result.verdict is Verdict.NO_REFERENCE:
                shown = f"({result.difference.estimate:+.{result.output.decimals}f})"
                assert f"| {shown} |" in document


def test_only_verdicts_that_occur_are_explained(document, suite, mixed):
    used = {
        result.verdict for row in leaderboard_rows(suite, mixed) for result in row.results.values() if result.published
    }
    for verdict in Verdict:
        assert (f"- **{verdict.value}**:" in document) == (verdict in used)


def test_classifier_accuracy_and_the_floor_of_the_kl_are_stated(document):
    assert "digit classifier's accuracy on held-out digits 98.2 %" in document
    assert "999/(2 × 25,600) = 0.0195 nats" in document
    assert "modes ± 5 %" in document


def test_every_trial_without_a_result_has_one_line(document, suite, mixed):
    section = document[document.index("## Trials without") : document.index("## Sources of variation")]
    lines = [line for line in section.splitlines() if line.startswith("- ")]
    assert len(lines) == 5
    assert "ValueError: a \\| b # c \\`d\\` &lt;script&gt;" in lines[0]


def test_captions_mention_published_values_only_if_there_are_some(suite, mixed):
    figures = ["leaderboard.png", "besides.png", "curves.png"]
    found = leaderboard_rows(suite, mixed)
    with_some, without = ([row for row in found if (row.table == "Own") is own] for own in (False, True))
    some, none = (leaderboard(suite, members, figures) for members in (with_some, without))
    assert "## Other metrics\n\n![The other metrics](figures/besides.png)" in some
    assert "Dashed lines with a diamond are published values" in some
    assert "iamond" not in none


def test_figures_that_were_not_drawn_are_not_shown(suite):
    document = written(suite, {}, figures=("leaderboard.png",))
    assert "curves.png" not in document
    assert "## Samples" not in document
    assert "No trial has been run yet." in document


HOSTILE = ["a|b", "`x", "<b>", "*s*", "_u_", "$x$", "[l](u)", "![i](u)", "1. x", "# h", "\\", "a\nb", "&lt;"]


@pytest.mark.parametrize("title", ["a|b `c", "# h", "<b> *s* \\"])
def test_no_label_breaks_a_table(small_suite, title, all_finished):
    suite = small_suite(*HOSTILE, title=title)
    tokens = MarkdownIt("commonmark").enable("table").parse(written(suite, all_finished(suite)))
    shown = [[child.content for child in token.children] for token in tokens if token.type == "inline"]
    for label in HOSTILE:  # in the leaderboard and under What was trained
        assert sum("".join(parts) == " ".join(label.split()) for parts in shown) >= 2
    assert sum(token.type == "table_open" for token in tokens) == 4
    assert sum(token.type == "heading_open" for token in tokens) == 9


def test_tables_with_different_protocols_have_a_line_each(suite_file, tmp_path, all_finished):
    changed = suite_file.read_text().replace("{steps: 200}", "{steps: 200, protocol: {batch_norm: batch}}")
    path = tmp_path / "other.yaml"
    path.write_text(changed)
    (tmp_path / "papers").symlink_to(suite_file.parent / "papers")
    document = written(load_suite(path), {})
    assert "- **Protocol** (Checked, Remembered)" in document
    assert "- **Protocol** (Own)" in document


def test_a_method_from_an_abstract_is_marked_under_its_table_only(derived_suite, document, all_finished):
    written_out = written(derived_suite, all_finished(derived_suite))
    before, own = written_out[: written_out.index("## Own")], written_out[written_out.index("## Own") :]
    assert line_of(own, "| Selfish‡ |")
    assert line_of(own, "| GAN |")
    note = line_of(own, "- ‡ ")
    assert "follows the abstract" in note
    assert "says nothing about the paper's claims" in note
    assert "‡" not in before + document


# --- rules ------------------------------------------------------------------------------------------------

RULES = [
    (
        ("n_seeds: 8", "n_seeds: 1"),
        "prediction interval for one published training",
        "the source reports one training, whose spread is taken to be the measured one",
    ),
    (
        ("protocol: {n_fake: 25600, codec", "protocol: {checkpoint: best, evaluate_every: 200, n_fake: 25600, codec"),
        "best over training, every 200 steps; mean",
        "each training counts with the best of its evaluations, every 200 steps",
    ),
    (
        ("protocol: {n_fake: 25600, codec", "protocol: {aggregation: best, n_fake: 25600, codec"),
        "expected best of 3",
        "the mean of the best over all subsets of 3 seeds",
    ),
]


@pytest.fixture
def with_paper(suite_file, tmp_path):
    """The suite with (old, new) replaced in its first published table."""

    def change(*pairs):
        folder = tmp_path / "suites"
        shutil.copytree(suite_file.parent, folder)
        paper = folder / "papers" / "paper.yaml"
        text = paper.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        paper.write_text(text)
        return load_suite(folder / suite_file.name, "paper")

    return change


@pytest.mark.parametrize("change, rule, note", RULES, ids=[rule for _, rule, _ in RULES])
def test_every_cell_names_its_rule_with_a_footnote(with_paper, all_finished, change, rule, note):
    seeds = ("n_seeds: 8", "n_seeds: 3")
    spreads = ("spread_kind: training_seeds", "spread_kind: sampling_seeds")
    suite = with_paper(change, spreads, *([seeds] if change[0] != seeds[0] else []))
    document = written(suite, all_finished(suite))
    modes = document[document.index("## Checked") : document.index("**KL")]
    for label in ("GAN", "SSGAN", "MSGAN"):
        assert f"| {rule} <sup>" in line_of(modes, f"| {label} ")
    assert document.count(note) == 1, "one footnote for all cells of a table"
    assert ("Last evaluations" in modes) == ("best" in rule)


def test_the_judged_value_stands_beside_the_plain_mean(with_paper, all_finished):
    best = "protocol: {checkpoint: best, evaluate_every: 200, n_fake: 25600, codec"
    suite = with_paper(("protocol: {n_fake: 25600, codec", best))
    records = all_finished(suite)
    result = next(row for row in leaderboard_rows(suite, records) if row.label == "GAN").results["kl"]
    falling = {  # the last evaluation is the worst
        trial_id: record.model_copy(update={"history": record.history[::-1]}) for trial_id, record in records.items()
    }
    document = written(suite, falling)
    line = line_of(document[document.index("**KL") :], "| GAN")
    assert f"| {result.judged.trainings.mean:.3f} ± {result.judged.trainings.std:.3f} |" in line
    last = next(row for row in leaderboard_rows(suite, falling) if row.label == "GAN").results["kl"].aggregate
    assert f"| {last.mean:.3f} ± {last.std:.3f} |" in line
    assert last.mean > 4 * result.judged.trainings.mean


def test_a_value_that_is_too_uncertain_is_marked_as_out_of_reach(with_paper, make_record):
    suite = with_paper(("spread_kind: training_seeds", "spread_kind: standard_error"))
    records = {
        trial_id: make_record(spec, metrics={"modes": 926.0 + spec.seed, "kl": 0.78 + spec.seed / 1000})
        for trial_id, spec in suite.specs.items()
    }
    document = written(suite, records)
    line = line_of(document[document.index("## Checked") :], "| MSGAN")
    assert "| inconclusive <sup>" in line
    assert (
        "keeps a half-width of 61.9 (6.7 %) from the published side alone, more than the tolerance of 46.3" in document
    )


def test_the_lottery_of_seeds_is_cited_where_the_variation_is_explained(document):
    assert document.count("arXiv:2606.20536") == 2
    assert "**CV** is the coefficient of variation over trainings" in document
