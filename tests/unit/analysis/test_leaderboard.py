"""tests.unit.analysis.test_leaderboard"""

import math
import statistics

import pytest

from benchmark.analysis.leaderboard import best_results, leaderboard_rows, outputs_of, rows_by_table
from benchmark.config.suite import load_suite
from benchmark.store.records import Cost


def finish(make_record, specs, values):
    return {
        spec.trial_id: make_record(spec, metrics={"modes": modes, "kl": kl})
        for spec, (modes, kl) in zip(specs, values, strict=True)
    }


def test_a_row_per_cell_in_the_order_of_the_suite_even_of_an_empty_store(suite):
    found = leaderboard_rows(suite, {})
    assert [(row.table, row.label) for row in found] == [(cell.table, cell.row) for cell in suite.cells]
    assert {word for row in found for word in row.verdicts.values()} == {"not run"}
    assert all(row.counts.not_run == 3 and row.cost is None for row in found)
    assert all(result.aggregate is None for row in found for result in row.results.values())


def test_aggregates_are_over_finished_seeds_with_their_last_measurement(suite, make_record, specs_of, row_of):
    specs = specs_of(suite, "Checked", "SSGAN")
    records = finish(make_record, specs[:2], [(900.0, 0.5), (910.0, 0.7)])
    records[specs[2].trial_id] = make_record(specs[2], "diverged", "nan")
    row = row_of(suite, records, "Checked", "SSGAN")
    modes = row.results["modes"]
    assert modes.aggregate.values == {0: 900.0, 1: 910.0}
    assert (modes.aggregate.mean, modes.aggregate.std) == (905.0, statistics.stdev([900, 910]))
    assert (modes.published.value, modes.published.spread) == (906.75, 26.15)
    assert str(row.counts) == "2 of 3; 1 diverged"


def test_an_interval_ends_where_the_metric_does(suite, make_record, specs_of, row_of):
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


def test_the_difference_counts_the_doubt_of_the_published_value_where_it_bears_on_training(
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


def test_the_noise_of_samples_is_told_per_checkpoint_and_kept_out_of_the_spread(suite, make_record, specs_of, row_of):
    specs = specs_of(suite, "Checked", "MSGAN")
    records = finish(make_record, specs, [(900, 0.5), (910, 0.5), (920, 0.5)])
    again = {"redraws": [{"modes": 904.0, "kl": 0.5}]}
    records[specs[1].trial_id] = make_record(specs[1], metrics={"modes": 910.0, "kl": 0.5}, **again)
    found = row_of(suite, records, "Checked", "MSGAN").results["modes"].aggregate
    assert found.sampling == {1: statistics.stdev([910, 904])}
    assert (found.std, found.sampling_std) == (10.0, found.sampling[1])


def test_a_value_that_nothing_was_published_for_has_no_difference(suite, all_finished, row_of):
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


def test_cost_counts_failed_trials_and_tells_cores_from_gpus(suite, make_record, specs_of, row_of):
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
    assert found.hours == pytest.approx(0.1)


def test_the_best_is_told_by_direction_and_as_printed(suite, make_record, specs_of):
    records = {}
    for label, value in (("GAN", (900.01, 0.5)), ("SSGAN", (900.04, 0.4)), ("MSGAN", (100.0, 0.6))):
        records |= finish(make_record, specs_of(suite, "Checked", label), [value] * 3)
    members = rows_by_table(suite, leaderboard_rows(suite, records))["Checked"]
    assert best_results(members) == {("GAN", "modes"), ("SSGAN", "modes"), ("SSGAN", "kl")}
    assert best_results(members[:1]) == set()
    assert [output.key for output in outputs_of(members)] == ["modes", "kl"]
