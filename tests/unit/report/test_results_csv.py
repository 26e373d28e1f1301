"""tests.unit.report.test_results_csv"""

import csv
import io
import statistics

import pytest

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.report.results_csv import CSV_COLUMNS, csv_columns, results_csv

HEADER = (
    "table,row,trial_id,method,network,dataset,seed,scale,steps,batch_size,status,error,modes,kl,"
    "train_seconds,evaluation_seconds,images_per_second,peak_memory_mib,device,cpus,gpus,"
    "judged_modes,judged_kl,cv_modes,cv_kl,published_modes,published_kl,source,published_kind"
)


@pytest.fixture(scope="module")
def lines(suite, mixed):
    return list(csv.DictReader(io.StringIO(results_csv(suite, leaderboard_rows(suite, mixed)), newline="")))


def test_the_columns_are_stable_and_documented(suite, mixed):
    assert results_csv(suite, leaderboard_rows(suite, mixed)).splitlines()[0] == HEADER
    assert len(csv_columns(leaderboard_rows(suite, {}))) == len(CSV_COLUMNS) + 4
    assert all(CSV_COLUMNS.values())


def test_there_is_a_line_for_every_trial(suite, lines):
    assert [line["trial_id"] for line in lines] == [s.trial_id for cell in suite.cells for s in cell.specs]
    assert {line["status"] for line in lines} == {"finished", "failed", "diverged", "not run"}


def test_values_survive_exactly(lines, mixed):
    for line in lines:
        record = mixed.get(line["trial_id"])
        if record is None:
            assert line["status"] == "not run"
            assert line["modes"] == line["train_seconds"] == line["device"] == ""
        else:
            assert line["error"] == record.error
            assert float(line["train_seconds"]) == record.cost.train_seconds
            for key in record.metrics:
                assert float(line[key]) == record.metrics[key]


def test_the_judged_value_of_a_training_and_the_variation_of_its_row(lines):
    row = [line for line in lines if (line["table"], line["row"]) == ("Own", "MSGAN")]
    values = [float(line["modes"]) for line in row]
    assert [float(line["judged_modes"]) for line in row] == values
    variation = statistics.stdev(values) / statistics.mean(values)
    assert [float(line["cv_modes"]) for line in row] == pytest.approx([variation] * 3)
    assert {line["judged_modes"] for line in lines if line["status"] != "finished"} == {""}


def test_published_values_and_sources_are_columns(lines):
    by_row = {(line["table"], line["row"]): line for line in lines}
    assert by_row["Checked", "MSGAN"]["published_modes"] == "926.75"
    assert by_row["Checked", "MSGAN"]["source"] == "the PDF, page 7"
    assert by_row["Remembered", "GAN"]["published_kl"] == ""
    assert by_row["Own", "GAN"]["source"] == ""
