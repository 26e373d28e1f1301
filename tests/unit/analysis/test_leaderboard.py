"""tests.unit.analysis.test_leaderboard"""

import csv
import io
import math
import shutil
import statistics

import pytest

from benchmark.analysis.leaderboard import best_results, leaderboard_rows, outputs_of, rows_by_table
from benchmark.config.suite import load_suite
from benchmark.core.errors import UserError
from benchmark.report.markdown import leaderboard
from benchmark.report.results_csv import results_csv
from benchmark.store.records import Cost


def finish(make_record, specs, values):
    return {
        spec.trial_id: make_record(spec, metrics={"modes": modes, "kl": kl})
        for spec, (modes, kl) in zip(specs, values, strict=True)
    }


def test_there_is_a_row_per_cell_even_for_an_empty_store(suite):
    found = leaderboard_rows(suite, {})
    assert [(row.table, row.label) for row in found] == [(cell.table, cell.row) for cell in suite.cells]
    assert {word for row in found for word in row.verdicts.values()} == {"not run"}
    assert all(row.counts.not_run == 3 and row.cost is None for row in found)
    assert all(result.aggregate is None for row in found for result in row.results.values())


def test_aggregates_are_over_the_last_evaluations_of_finished_seeds(suite, make_record, specs_of, row_of):
    specs = specs_of(suite, "Checked", "SSGAN")
    records = finish(make_record, specs[:2], [(900.0, 0.5), (910.0, 0.7)])
    records[specs[2].trial_id] = make_record(specs[2], "diverged", "nan")
    row = row_of(suite, records, "Checked", "SSGAN")
    modes = row.results["modes"]
    assert modes.aggregate.values == {0: 900.0, 1: 910.0}
    assert (modes.aggregate.mean, modes.aggregate.std) == (905.0, statistics.stdev([900, 910]))
    assert (modes.published.value, modes.published.spread) == (906.75, 26.15)
    assert str(row.counts) == "2 of 3; 1 diverged"


def test_an_interval_is_clipped_to_the_metrics_range(suite, make_record, specs_of, row_of):
    records = finish(make_record, specs_of(suite, "Checked", "MSGAN"), [(1, 6.9), (500, 3.0), (1000, 0.1)])
    found = row_of(suite, records, "Checked", "MSGAN").results
    assert found["modes"].aggregate.interval[0] < 0 < 1000 < found["modes"].aggregate.interval[1]
    assert found["modes"].interval == (1, 1000)
    assert found["kl"].interval == (0, math.log(1000))


@pytest.mark.parametrize(
    "values, verdicts",
    [
        ([(926, 0.78), (927, 0.79), (928, 0.77)], {"modes": "reproduced", "kl": "reproduced"}),
        ([(990, 0.10), (991, 0.11), (992, 0.12)], {"modes": "better", "kl": "better"}),
        ([(100, 4.0), (110, 4.1), (120, 4.2)], {"modes": "worse", "kl": "worse"}),
        ([(500, 0.1), (900, 0.8), (990, 3.0)], {"modes": "inconclusive", "kl": "inconclusive"}),
        ([(926, float("nan")), (927, 0.79), (928, 0.77)], {"modes": "reproduced", "kl": "inconclusive"}),
    ],
)
def test_verdicts_use_the_direction_and_tolerance_of_each_metric(
    suite, make_record, specs_of, row_of, values, verdicts
):
    records = finish(make_record, specs_of(suite, "Checked", "MSGAN"), values)
    assert row_of(suite, records, "Checked", "MSGAN").verdicts == verdicts


def test_the_difference_includes_a_published_standard_error_over_trainings(
    suite_file, tmp_path, make_record, specs_of, row_of
):
    found = {}
    for kind in ("sampling_seeds", "standard_error"):
        folder = tmp_path / kind
        (folder / "papers").mkdir(parents=True)
        paper = (suite_file.parent / "papers" / "paper.yaml").read_text()
        (folder / "papers" / "paper.yaml").write_text(
            paper.replace("spread_kind: training_seeds", f"spread_kind: {kind}")
        )
        (folder / "s.yaml").write_text(suite_file.read_text())
        changed = load_suite(folder / "s.yaml", "paper")
        records = finish(make_record, specs_of(changed, "Checked", "MSGAN"), [(926, 0.78), (927, 0.79), (928, 0.77)])
        found[kind] = row_of(changed, records, "Checked", "MSGAN").results["modes"]
    fixed, counted = found["sampling_seeds"], found["standard_error"]
    assert fixed.difference.estimate == counted.difference.estimate == 927 - 926.75
    assert "fixed number" in fixed.difference.basis
    assert (fixed.verdict, counted.verdict) == ("reproduced", "inconclusive")
    assert fixed.difference.p_value < 0.05 < counted.difference.p_value


def test_sampling_noise_is_measured_per_checkpoint(suite, make_record, specs_of, row_of):
    specs = specs_of(suite, "Checked", "MSGAN")
    records = finish(make_record, specs, [(900, 0.5), (910, 0.5), (920, 0.5)])
    again = {"redraws": [{"modes": 904.0, "kl": 0.5}]}
    records[specs[1].trial_id] = make_record(specs[1], metrics={"modes": 910.0, "kl": 0.5}, **again)
    found = row_of(suite, records, "Checked", "MSGAN").results["modes"].aggregate
    assert found.sampling == {1: statistics.stdev([910, 904])}
    assert (found.std, found.sampling_std) == (10.0, found.sampling[1])


def test_an_unpublished_value_has_no_difference(suite, all_finished, row_of):
    assert row_of(suite, all_finished(suite), "Own", "GAN").results["modes"].difference is None


def test_a_reduced_scale_is_never_judged(quick, all_finished):
    words = {
        (row.table, row.label, word)
        for row in leaderboard_rows(quick, all_finished(quick))
        for word in row.verdicts.values()
    }
    assert ("Checked", "MSGAN", "reduced scale") in words
    assert ("Own", "MSGAN", "no matched reference") in words
    assert {word for _, _, word in words} == {"reduced scale", "no matched reference"}


def test_an_unverified_value_is_shown_but_not_judged(suite, all_finished, row_of):
    row = row_of(suite, all_finished(suite), "Remembered", "GAN")
    assert row.results["modes"].published.value == 99.0
    assert row.results["modes"].reference.mismatches == ("n_fake: published 26000, here 25600",)
    assert row.verdicts == {"modes": "no matched reference", "kl": "no matched reference"}


def test_cost_includes_failed_trials_and_separates_cores_from_gpus(suite, make_record, specs_of, row_of):
    specs = specs_of(suite, "Own", "GAN")

    def cost(cpus, gpus, speed):
        return Cost(
            train_seconds=100,
            evaluation_seconds=20,
            images_per_second=speed,
            peak_memory_mib=100 + cpus,
            cpus=cpus,
            gpus=gpus,
        )

    records = {
        specs[0].trial_id: make_record(specs[0], cost=cost(2, 0.0, 1000.0)),
        specs[1].trial_id: make_record(specs[1], cost=cost(4, 0.5, 3000.0)),
        specs[2].trial_id: make_record(specs[2], "failed", "boom", cost=cost(2, 0.0, 0.0)),
    }
    found = row_of(suite, records, "Own", "GAN").cost
    assert (found.core_seconds, found.gpu_seconds) == (480, 60)
    assert (found.images_per_second, found.peak_memory_mib) == (2000, 104)


def test_the_best_is_by_direction_and_printed_digits(suite, make_record, specs_of):
    records = {}
    for label, value in (("GAN", (900.01, 0.5)), ("SSGAN", (900.04, 0.4)), ("MSGAN", (100.0, 0.6))):
        records |= finish(make_record, specs_of(suite, "Checked", label), [value] * 3)
    members = rows_by_table(suite, leaderboard_rows(suite, records))["Checked"]
    assert best_results(members) == {("GAN", "modes"), ("SSGAN", "modes"), ("SSGAN", "kl")}
    assert best_results(members[:1]) == set()
    assert [output.key for output in outputs_of(members)] == ["modes", "kl"]


# --- published rows that override their table ------------------------------------------------------------

PUBLISHED_GAN = "GAN: {values: {modes: [640.0, 136.3], kl: [2.0, null]}}"
PUBLISHED_MSGAN = """note: "the authors' own run"}"""


@pytest.fixture(scope="module")
def uneven(suite_file, tmp_path_factory):
    """The suite with a published GAN row that overrides its table, and an MSGAN row with a discrepancy."""
    folder = tmp_path_factory.mktemp("uneven") / "suites"
    shutil.copytree(suite_file.parent, folder)
    paper = folder / "papers" / "paper.yaml"
    text = paper.read_text()
    assert PUBLISHED_GAN in text
    assert PUBLISHED_MSGAN in text
    own = ", status: unverified, source: my memory of page 9, n_seeds: 7, protocol: {n_fake: 50000}}"
    text = text.replace(PUBLISHED_GAN, PUBLISHED_GAN[:-1] + own).replace(
        PUBLISHED_MSGAN, f"{PUBLISHED_MSGAN[:-1]}, discrepancies: [X-01]}}"
    )
    paper.write_text(text)
    return load_suite(folder / suite_file.name, "paper")


def test_a_row_overrides_the_status_and_protocol_of_its_table(uneven, all_finished, row_of):
    records = all_finished(uneven)
    gan, ssgan = (row_of(uneven, records, "Checked", label).results["modes"] for label in ("GAN", "SSGAN"))
    assert (gan.reference.is_verified, ssgan.reference.is_verified) == (False, True)
    assert gan.reference.mismatches == ("n_fake: published 50000, here 25600",)
    assert ssgan.reference.mismatches == ()
    assert gan.verdict == "no matched reference"
    assert ssgan.verdict != "no matched reference"


def test_a_rows_own_source_is_in_the_report_and_the_csv(uneven, all_finished):
    found = leaderboard_rows(uneven, all_finished(uneven))
    document = leaderboard(uneven, found, ())
    assert "Read in: my memory of page 9. Its ± is the spread over training seeds, 7 trainings." in document
    assert "Read in: the PDF, page 7. Its ± is the spread over training seeds.\n" in document
    assert "640.0 ± 136.3†" in document
    assert "published: the authors' own run (X-01)" in document
    lines = {(line["table"], line["row"]): line for line in csv.DictReader(io.StringIO(results_csv(uneven, found)))}
    assert lines["Checked", "GAN"]["source"] == "my memory of page 9"
    assert lines["Checked", "SSGAN"]["source"] == "the PDF, page 7"


def test_a_row_for_another_dataset_is_refused(suite_file, tmp_path):
    folder = tmp_path / "suites"
    shutil.copytree(suite_file.parent, folder)
    paper = folder / "papers" / "paper.yaml"
    paper.write_text(paper.read_text().replace(PUBLISHED_GAN, f"{PUBLISHED_GAN[:-1]}, dataset: stacked_mnist}}"))
    with pytest.raises(UserError, match="is about dataset 'stacked_mnist', the cell about 'stacked_digits'"):
        load_suite(folder / suite_file.name, "paper")
