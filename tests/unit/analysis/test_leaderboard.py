"""tests.unit.analysis.test_leaderboard"""

import csv
import io
import math
import shutil
import statistics
from dataclasses import replace

import pytest

from benchmark.analysis.leaderboard import best_results, leaderboard_rows, outputs_of, rows_by_table
from benchmark.analysis.ordering import table_orders
from benchmark.config.suite import load_suite
from benchmark.core.errors import UserError
from benchmark.evaluation.metrics.points.point_moments import PointMoments
from benchmark.report.markdown import leaderboard
from benchmark.report.results_csv import results_csv
from benchmark.report.text import arrow
from benchmark.store.records import Cost, Measurement


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
        ([(999, 0.10), (999, 0.11), (1000, 0.12)], {"modes": "inconclusive", "kl": "better"}),
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


def rewritten(suite_file, folder, *changes):
    """The suite with (old, new) replaced in its paper."""
    shutil.copytree(suite_file.parent, folder)
    paper = folder / "papers" / "paper.yaml"
    text = paper.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    paper.write_text(text)
    return load_suite(folder / suite_file.name, "paper")


@pytest.mark.parametrize(
    "kind, seeds, verdict, rule, note",
    [
        ("sampling_seeds", 8, "reproduced", "mean", "no spread over its 8 trainings"),
        ("sampling_seeds", 1, "reproduced", "prediction interval for one published training", "the source reports one"),
        ("training_seeds", 8, "reproduced", "mean", "spread over 8 trainings is counted in"),
        ("standard_error", 8, "inconclusive", "mean", "standard error over 8 trainings is counted in"),
        ("not_stated", 8, "inconclusive", "mean", "does not say what its spread is taken over"),
    ],
)
def test_the_rule_follows_from_what_was_published(
    suite_file, tmp_path, make_record, specs_of, row_of, kind, seeds, verdict, rule, note
):
    changes = ("spread_kind: training_seeds", f"spread_kind: {kind}"), ("n_seeds: 8", f"n_seeds: {seeds}")
    changed = rewritten(suite_file, tmp_path / "suites", *changes)
    records = finish(make_record, specs_of(changed, "Checked", "MSGAN"), [(926, 0.78), (927, 0.79), (928, 0.77)])
    found = row_of(changed, records, "Checked", "MSGAN").results["modes"]
    assert (found.verdict, found.rule) == (verdict, rule)
    assert note in found.reference.rule_notes[-1]
    assert found.difference.estimate == 927 - 926.75
    assert found.is_plain


def curves(make_record, specs, values):
    """Records of trainings with these (modes, KL) at their evaluations."""
    return {
        spec.trial_id: make_record(
            spec,
            history=[
                Measurement(step=200 * (index + 1), metrics={"modes": modes, "kl": kl})
                for index, (modes, kl) in enumerate(curve)
            ],
        )
        for spec, curve in zip(specs, values, strict=True)
    }


def test_a_best_over_training_is_measured_as_one(suite_file, tmp_path, make_record, specs_of, row_of):
    change = ("{n_fake: 25600, codec: none", "{checkpoint: best, evaluate_every: 200, n_fake: 25600, codec: none")
    changed = rewritten(suite_file, tmp_path / "suites", change)
    shapes = [[(900, 0.5), (930 + seed, 0.9), (800, 0.7), (700, 0.8), (500, 1.0)] for seed in range(3)]
    records = curves(make_record, specs_of(changed, "Checked", "MSGAN"), shapes)
    found = row_of(changed, records, "Checked", "MSGAN").results
    modes, kl = found["modes"], found["kl"]
    assert modes.judged.trainings.values == {0: 930, 1: 931, 2: 932}
    assert kl.judged.trainings.values == {0: 0.5, 1: 0.5, 2: 0.5}, "the best of each metric, wherever it is"
    assert modes.aggregate.values == {0: 500, 1: 500, 2: 500}
    assert (modes.judged.estimate, modes.difference.estimate) == (931, 931 - 926.75)
    assert (modes.verdict, modes.rule, modes.is_plain) == (
        "reproduced",
        "best over training, every 200 steps; mean",
        False,
    )
    assert modes.reference.rule_notes[0].endswith("the best of its evaluations, every 200 steps")


def test_a_best_over_other_evaluations_is_not_comparable(suite_file, tmp_path, all_finished, row_of):
    change = ("{n_fake: 25600, codec: none", "{checkpoint: best, evaluate_every: 100, n_fake: 25600, codec: none")
    changed = rewritten(suite_file, tmp_path / "suites", change)
    found = row_of(changed, all_finished(changed), "Checked", "MSGAN").results["modes"]
    assert found.reference.mismatches == ("evaluate_every: published 100, here 200",)
    assert found.verdict == "no matched reference"


@pytest.fixture
def best_of_two(suite_file, tmp_path):
    changes = (
        ("spread_kind: training_seeds\n    n_seeds: 8", "spread_kind: none\n    n_seeds: 2"),
        ("{n_fake: 25600, codec: none", "{aggregation: best, n_fake: 25600, codec: none"),
        ("modes: [640.0, 136.3]", "modes: 640.0"),
        ("modes: [906.75, 26.15], kl: [0.9, 0.13]", "modes: 906.75, kl: 0.9"),
        ("modes: [926.75, 32.65], kl: [0.78, 0.13]", "modes: 926.75, kl: 0.78"),
    )
    return rewritten(suite_file, tmp_path / "suites", *changes)


def test_a_best_over_seeds_is_measured_as_the_expected_one(best_of_two, make_record, specs_of, row_of):
    specs = specs_of(best_of_two, "Checked", "MSGAN")
    records = finish(make_record, specs, [(924, 0.7), (927, 0.9), (930, 0.8)])
    found = row_of(best_of_two, records, "Checked", "MSGAN").results
    modes, kl = found["modes"], found["kl"]
    assert modes.judged.estimate == pytest.approx((927 + 930 + 930) / 3)
    assert kl.judged.estimate == pytest.approx((0.7 + 0.7 + 0.8) / 3)
    assert (modes.aggregate.mean, modes.rule) == (927, "expected best of 2")
    assert modes.interval[0] < modes.judged.estimate < modes.interval[1]
    assert modes.difference.estimate == pytest.approx(929 - 926.75)


def test_a_best_over_seeds_needs_as_many(best_of_two, make_record, specs_of, row_of):
    specs = specs_of(best_of_two, "Checked", "MSGAN")
    found = row_of(best_of_two, finish(make_record, specs[:1], [(924, 0.7)]), "Checked", "MSGAN").results["modes"]
    assert (found.judged.estimate, found.interval, found.difference) == (None, None, None)
    assert (found.verdict, found.aggregate.mean) == ("inconclusive", 924)


CLASSIFIERS = """{measures: {modes: {n_fake: 25600}, modes_b: {metric: modes, n_fake: 25600, options: {extractor:
    digits_again}}, modes_c: {metric: modes, n_fake: 25600, options: {extractor: digits_third}}}, evaluations: 5}"""


def with_classifiers(suite_file, folder, classifiers=CLASSIFIERS):
    extractor = "codec: none, feature_extractor: "
    changed = rewritten(suite_file, folder, (extractor + "digits", extractor + "the authors' CNN"))
    text = changed.path.read_text()
    plain = "{measures: {modes: {n_fake: 25600}}, evaluations: 5}"
    assert plain in text
    changed.path.write_text(text.replace(plain, classifiers))
    return load_suite(changed.path, "paper")


def test_another_classifier_is_one_more_of_the_harness(suite_file, tmp_path, make_record, specs_of, row_of):
    suite = with_classifiers(suite_file, tmp_path / "suites")
    readings = [(920, 926, 932), (921, 927, 933), (922, 928, 934)]
    keys = ("modes", "modes_b", "modes_c", "kl", "kl_b", "kl_c")
    records = {
        spec.trial_id: make_record(spec, metrics=dict(zip(keys, (*reading, 0.8, 0.8, 0.8), strict=True)))
        for spec, reading in zip(specs_of(suite, "Checked", "MSGAN"), readings, strict=True)
    }
    found = row_of(suite, records, "Checked", "MSGAN").results["modes"]
    assert found.reference.mismatches == ()
    assert found.judged.trainings.values == {0: 926, 1: 927, 2: 928}
    assert (found.judged.instruments.std, found.judged.instruments.number) == (6.0, 3)
    assert found.aggregate.values == {0: 920, 1: 921, 2: 922}
    assert (found.rule, found.verdict) == ("3 digit classifiers; mean", "reproduced")
    assert "variance component of the interval, with 2 degrees of freedom" in found.reference.rule_notes[0]


@pytest.mark.parametrize(
    "old, new",
    [
        ("modes_c: {metric: modes, n_fake: 25600", "modes_c: {metric: modes, n_fake: 640"),
        ("digits_third", "digits_again"),
        ("modes_c: {metric: modes, n_fake: 25600", "modes_c: {metric: modes, codec: jpeg, n_fake: 25600"),
    ],
)
def test_two_classifiers_are_not_enough(suite_file, tmp_path, row_of, old, new):
    assert old in CLASSIFIERS
    suite = with_classifiers(suite_file, tmp_path / "suites", CLASSIFIERS.replace(old, new))
    found = row_of(suite, {}, "Checked", "MSGAN").results["modes"]
    assert found.reference.instruments is None
    assert found.reference.mismatches == ("feature_extractor: published the authors' CNN, here digits",)


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
    assert arrow(outputs_of(members)[1]) == " ↓"


def test_methods_are_not_ranked_by_a_mean(suite, all_finished):
    members = rows_by_table(suite, leaderboard_rows(suite, all_finished(suite)))["Checked"]
    assert table_orders(members, "kl") is not None
    for row in members:
        row.results["kl"] = replace(row.results["kl"], output=replace(row.results["kl"].output, is_ranked=False))
    assert {key for _, key in best_results(members)} == {"modes"}
    assert table_orders(members, "kl") is None
    assert arrow(members[0].results["kl"].output) == ""
    assert [output.is_ranked for output in PointMoments.outputs(PointMoments.Options())] == [False, True]


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
    assert "Read in: the PDF, page 7. Its ± is the spread over training seeds, 8 trainings.\n" in document
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
