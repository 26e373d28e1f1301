"""The footnotes of a published table: where its protocol is known from."""

from dataclasses import replace

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.published import PublishedProtocol
from benchmark.report.sections.published_tables import completed_from_code, sources

CODE = {
    "released_code": PublishedProtocol(codec="none", batch_norm="batch"),
    "released_code_source": "some/repository@1234567 eval_*.py:9",
}


def rows_of(suite, table, changes):
    """The rows of a table of the suite; `changes`: row -> update of its published table."""
    rows = [row for row in leaderboard_rows(suite, {}) if row.table == table]
    for row in rows:
        published = row.cell.published
        update = changes.get(row.label, {})
        published = published and published.model_copy(update={"table": published.table.model_copy(update=update)})
        yield replace(row, cell=replace(row.cell, published=published))


def test_nothing_is_said_of_protocols_that_the_papers_state(suite):
    assert completed_from_code(list(rows_of(suite, "Checked", {}))) == []
    assert not any("released code" in line for line in sources(list(rows_of(suite, "Checked", {}))))


def test_fields_from_released_code_are_named_once_per_table(suite):
    rows = list(rows_of(suite, "Checked", dict.fromkeys(("GAN", "SSGAN", "MSGAN"), CODE)))
    (line,) = completed_from_code(rows)
    assert line == (
        "- The protocol is completed from the authors' released code: batch\\_norm."
        " Read in: some/repository@1234567 eval\\_\\*.py:9."
    ), "the codec is known from the paper"
    assert line in sources(rows)


def test_rows_are_named_if_they_differ(suite):
    (line,) = completed_from_code(list(rows_of(suite, "Checked", {"SSGAN": CODE})))
    assert line.startswith("- The protocol for SSGAN is completed from the authors' released code: ")


def test_a_row_without_a_published_value_does_not_count(suite):
    (line,) = completed_from_code(list(rows_of(suite, "Remembered", {"GAN": CODE})))
    assert line.startswith("- The protocol is completed from the authors' released code: codec, batch")
