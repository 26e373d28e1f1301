"""A row of a published table that states more than its table does is reported by what it states."""

import csv
import io
import shutil

import pytest

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.core.errors import UserError
from benchmark.report.markdown import leaderboard
from benchmark.report.results_csv import results_csv

GAN = "GAN: {values: {modes: [640.0, 136.3], kl: [2.0, null]}}"
MSGAN = """note: "the authors' own run"}"""


@pytest.fixture(scope="module")
def uneven(suite_file, tmp_path_factory):
    """The suite, with GAN's row remembered, measured otherwise and on page 9, and MSGAN's explained by an id."""
    folder = tmp_path_factory.mktemp("uneven") / "suites"
    shutil.copytree(suite_file.parent, folder)
    paper = folder / "papers" / "paper.yaml"
    text = paper.read_text()
    assert GAN in text
    assert MSGAN in text
    own = ", status: unverified, source: my memory of page 9, n_seeds: 7, protocol: {n_fake: 50000}}"
    text = text.replace(GAN, GAN[:-1] + own).replace(MSGAN, f"{MSGAN[:-1]}, discrepancies: [X-01]}}")
    paper.write_text(text)
    return load_suite(folder / suite_file.name, "paper")


def test_only_the_row_that_is_unverified_is_not_judged(uneven, all_finished, row_of):
    records = all_finished(uneven)
    gan, ssgan = (row_of(uneven, records, "Checked", label).results["modes"] for label in ("GAN", "SSGAN"))
    assert (gan.reference.verified, ssgan.reference.verified) == (False, True)
    assert gan.reference.mismatches == ("n_fake: published 50000, here 25600",)
    assert ssgan.reference.mismatches == ()
    assert gan.verdict == "no matched reference"
    assert ssgan.verdict != "no matched reference"


def test_both_sources_stand_below_the_table_and_in_the_csv(uneven, all_finished):
    found = leaderboard_rows(uneven, all_finished(uneven))
    document = leaderboard(uneven, found, ())
    assert "Read in: my memory of page 9. ± there: spread over training seeds, 7 trainings." in document
    assert "Read in: the PDF, page 7. ± there: spread over training seeds.\n" in document
    assert "640.0 ± 136.3†" in document
    assert "published: the authors' own run (X-01)" in document
    lines = {(line["table"], line["row"]): line for line in csv.DictReader(io.StringIO(results_csv(uneven, found)))}
    assert lines["Checked", "GAN"]["source"] == "my memory of page 9"
    assert lines["Checked", "SSGAN"]["source"] == "the PDF, page 7"


def test_a_row_about_other_data_is_refused(suite_file, tmp_path):
    folder = tmp_path / "suites"
    shutil.copytree(suite_file.parent, folder)
    paper = folder / "papers" / "paper.yaml"
    paper.write_text(paper.read_text().replace(GAN, f"{GAN[:-1]}, dataset: stacked_mnist}}"))
    with pytest.raises(UserError, match="is about dataset 'stacked_mnist', the cell about 'stacked_digits'"):
        load_suite(folder / suite_file.name, "paper")
