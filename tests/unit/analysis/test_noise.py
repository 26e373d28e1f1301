"""Sources of noise: pooled deviations and paired differences compared with NumPy, and their section of the report."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from scipy import stats

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.analysis.noise import NoiseSources, PairedShift, PooledNoise, noise_groups
from benchmark.config.suite import load_suite
from benchmark.report.markdown import leaderboard
from benchmark.report.sections.noise import DECIMALS, decimals, section

SUITE = """
title: Noise
seeds: [0, 1, 2]
defaults:
  dataset: stacked_digits
  network: mlp
  latent: {dim: 64, distribution: normal}
  steps: 1000
  batch_size: 64
  optimizer: {lr: 2e-4, betas: [0.5, 0.9]}
  protocol:
    measures:
      modes: {n_fake: 25600, codec: jpeg}
      modes_raw: {metric: modes, n_fake: 25600}
      modes_again: {metric: modes, n_fake: 25600, codec: jpeg, options: {extractor: digits_again}}
      modes_few: {metric: modes, n_fake: 640}
      modes_few_again: {metric: modes, n_fake: 640, options: {extractor: digits_again}}
      fid: {n_fake: 640, options: {extractor: pixels, reference: train}}
      rotation_accuracy: {}
    draws: 3
    evaluations: 1
tables:
  - title: One
    rows:
      GAN: {method: gan}
      SSGAN: {method: ssgan}
  - title: Two
    defaults: {steps: 500}
    rows:
      GAN: {method: gan}
      "Other | *way*": {method: ssgan, protocol: {batch_norm: batch}}
scales: {paper: {}}
"""
SHIFTS = {"": 0.0, "_raw": 12.5, "_again": -0.5, "_few": -300.0, "_few_again": -301.0}

numbers = st.floats(-1e6, 1e6)
groups = st.lists(st.lists(numbers, max_size=6).map(tuple), max_size=6).map(tuple)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "noise.yaml"
    path.write_text(SUITE)
    return load_suite(path)


def metrics_of_draw(rng, level):
    """All metrics of one draw of samples: noise, plus the shift of each measure."""
    modes = level + rng.normal(0, 3)
    found = {f"modes{suffix}": modes + shift + rng.normal(0, 0.1) for suffix, shift in SHIFTS.items()}
    return found | {f"kl{suffix}": rng.uniform(1, 2) for suffix in SHIFTS} | {"fd_pixels": rng.uniform(5, 9)}


@pytest.fixture(scope="module")
def records(suite, make_record):
    found = {}
    for number, (trial_id, spec) in enumerate(suite.specs.items()):
        rng = np.random.default_rng(number)
        first, *again = (metrics_of_draw(rng, 500 + 20 * number) for _ in range(3))
        if spec.method == "ssgan":
            first["rotation_accuracy"] = 50.0 + spec.seed
        found[trial_id] = make_record(spec, metrics=first, redraws=again)
    return found


def page_of(suite, records):
    return section(rows_by_table(suite, leaderboard_rows(suite, records)))


def first_group(suite, records):
    return noise_groups(rows_by_table(suite, leaderboard_rows(suite, records))["One"])[0]


def first_shift(source):
    return next(iter(source.shifts.values()))


def of(group, key):
    return next(one for one in group.sources if one.output.key == key)


# --- the numbers ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(groups)
def test_the_pooled_std_is_that_of_the_residuals(values):
    """NumPy, of the residuals: their sum of squares over values minus groups."""
    counted = [np.array(group) for group in values if len(group) > 1]
    residuals = np.concatenate([group - group.mean() for group in counted]) if counted else np.zeros(0)
    found = PooledNoise(values)
    assert found.degrees_of_freedom == len(residuals) - len(counted)
    if not counted:
        assert found.std is None
    else:
        expected = math.sqrt((residuals**2).sum() / found.degrees_of_freedom)
        assert found.std == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_groups_of_equal_size_pool_to_the_root_mean_variance():
    values = np.random.default_rng(0).normal(size=(5, 3)) * np.arange(1, 6)[:, None]
    expected = math.sqrt(values.var(axis=1, ddof=1).mean())
    assert PooledNoise(tuple(map(tuple, values))).std == pytest.approx(expected)


@pytest.mark.parametrize("odd", [math.inf, math.nan])
def test_a_group_with_a_non_finite_value_is_ignored(odd):
    assert PooledNoise(((1.0, 2.0, 4.0), (3.0, odd))).std == PooledNoise(((1.0, 2.0, 4.0),)).std
    assert PooledNoise(((3.0, odd),)).std is None


def test_huge_numbers_do_not_overflow():
    assert PooledNoise(((1e200, -1e200),)).std == pytest.approx(math.sqrt(2) * 1e200)
    assert PairedShift((1e200, 1e200)).rms == pytest.approx(1e200)


@settings(max_examples=60)
@given(st.lists(numbers, min_size=1, max_size=8))
def test_paired_differences_agree_with_numpy(values):
    found = PairedShift(tuple(values))
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert found.rms == pytest.approx(math.sqrt(np.square(values).mean()), rel=1e-9, abs=1e-6)
    if len(values) > 1:
        assert found.std == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-6)
    else:
        assert found.std is None


def noise_of(training):
    return NoiseSources(output=None, training=PooledNoise(training), shifts={})


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_minimum_detectable_difference_has_a_t_test_of_5_percent(n, seed):
    one, other = np.random.default_rng(seed).normal(size=(2, n))
    detectable = noise_of((tuple(one), tuple(other))).minimum_detectable_difference
    other += one.mean() - other.mean() + detectable
    assert stats.ttest_ind(one, other).pvalue == pytest.approx(0.05, rel=1e-6)


def test_the_row_with_the_fewest_seeds_sets_the_number_of_seeds():
    found = noise_of(((1.0, 2.0, 4.0), (1.0, 5.0), (7.0,)))
    assert found.seeds == 2
    assert found.minimum_detectable_difference == pytest.approx(stats.t.ppf(0.975, 3) * found.training.std)


def test_seeds_without_variance_give_no_detectable_difference():
    found = noise_of(((5.0, 5.0), (6.0, 6.0)))
    assert found.is_known
    assert found.training.std == 0
    assert found.minimum_detectable_difference is None


# --- from records --------------------------------------------------------------------------------------


def test_variants_differ_in_one_entry_and_other_measures_have_their_own_sources(suite, records):
    group = first_group(suite, records)
    found = {(v.first, v.second): (v.key, v.before, v.after) for v in group.variants}
    assert found == {
        ("modes", "modes_raw"): ("codec", "jpeg", "none"),
        ("modes", "modes_again"): ("options.extractor", "digits", "digits_again"),
        ("modes_raw", "modes_few"): ("n_fake", "25600", "640"),
        ("modes_few", "modes_few_again"): ("options.extractor", "digits", "digits_again"),
    }
    assert [one.output.key for one in group.sources] == ["modes", "kl", "fd_pixels", "rotation_accuracy"]
    assert [list(one.shifts) for one in group.sources] == [group.variants, group.variants, [], []]


def test_a_measure_of_one_row_without_samples(suite, records):
    rotation = of(first_group(suite, records), "rotation_accuracy")
    assert rotation.training.std == pytest.approx(1.0)
    assert rotation.training.degrees_of_freedom == 2
    assert rotation.sampling is None
    assert len(rotation.row_means) == 1


def test_the_noise_of_records_agrees_with_numpy(suite, records):
    by_row = [[records[spec.trial_id] for spec in cell.specs] for cell in suite.cells if cell.table == "One"]
    values = np.array([[record.metrics["modes"] for record in row] for row in by_row])
    raw = np.array([[record.metrics["modes_raw"] for record in row] for row in by_row])
    draws = np.array([[d["modes"] for d in (r.metrics, *r.redraws)] for row in by_row for r in row])
    modes = of(first_group(suite, records), "modes")
    assert modes.training.std == pytest.approx(math.sqrt(values.var(axis=1, ddof=1).mean()))
    assert modes.sampling.std == pytest.approx(math.sqrt(draws.var(axis=1, ddof=1).mean()))
    assert (modes.training.degrees_of_freedom, modes.sampling.degrees_of_freedom) == (4, 12)
    assert first_shift(modes).mean == pytest.approx((raw - values).mean())
    assert first_shift(modes).std == pytest.approx((raw - values).std(ddof=1))
    assert modes.row_means == pytest.approx(values.mean(axis=1))


def test_rows_of_the_same_trials_count_once(suite, records):
    found = leaderboard_rows(suite, records)[:2]
    assert of(noise_groups([*found, found[0]])[0], "modes").training.degrees_of_freedom == 4


def test_only_finished_trials_count(suite, records, make_record):
    spent = next(iter(suite.specs.values()))
    changed = records | {spent.trial_id: make_record(spent, "diverged", "nan", metrics={"modes": 1e9})}
    found = of(first_group(suite, changed), "modes")
    assert found.training.degrees_of_freedom == 3
    assert len(first_shift(found).differences) == 5


def test_a_shift_needs_finite_values_of_both_measures(suite, records):
    broken = {
        trial_id: record.model_copy(
            update={
                "history": [record.history[-1].model_copy(update={"metrics": record.metrics | {"modes": math.inf}})]
            }
        )
        for trial_id, record in records.items()
    }
    group = first_group(suite, broken)
    assert first_shift(of(group, "modes")) is None
    assert of(group, "modes").row_means == ()
    assert first_shift(of(group, "kl")) is not None
    page = "\n".join(page_of(suite, broken))
    assert "unknown: no trial has both" in page
    assert "unknown: some values are not finite" in page


def test_rows_of_different_protocols_form_separate_groups(suite, records):
    found = rows_by_table(suite, leaderboard_rows(suite, records))
    assert [[row.label for row in group.rows] for group in noise_groups(found["Two"])] == [["GAN"], ["Other | *way*"]]
    assert len(noise_groups(found["One"])) == 1


# --- the page ------------------------------------------------------------------------------------------


def lines(page, start):
    return [line for block in page for line in block.splitlines() if line.startswith(start)]


def test_every_source_has_a_line_and_every_table_a_title(suite, records):
    page = page_of(suite, records)
    modes = of(first_group(suite, records), "modes")
    assert [line for line in page if line.startswith("**")] == [
        "**One**",
        "**Two: GAN**",
        "**Two: Other \\| \\*way\\***",
    ]
    training = lines(page, "| Training")
    assert len(training) == 3
    assert f"| {modes.training.std:.1f} (6 trials, 4 df) |" in training[0]
    assert f"| {modes.sampling.std:.1f} (6 trials, 12 df) |" in lines(page, "| Sampling")[0]
    raw = lines(page, "| `modes_raw` − `modes`: codec none instead of jpeg")[0]
    assert f"| {first_shift(modes).mean:+.2f} ± {first_shift(modes).std:.2f} (6 trials) |" in raw
    assert raw.endswith("| – | – |")
    assert "| all 1,000 | floor 0.020 | – | – |" in lines(page, "| Best possible")[0]
    assert "(2 rows)" in lines(page, "| Range")[0]
    assert "(1 row)" in lines(page, "| Range")[0]


def test_a_sentence_names_the_largest_source_and_the_detectable_difference(suite, records):
    modes = of(first_group(suite, records), "modes")
    said = lines(page_of(suite, records), "- **modes covered")[0]
    assert "the largest source is `modes_few` − `modes_raw` (312.5)" in said
    detectable = modes.minimum_detectable_difference
    assert f"the minimum detectable difference with 3 seeds per row is {detectable:.1f}." in said


def test_one_seed_and_one_draw_give_shifts_but_no_noise(suite, records):
    first = {cell.specs[0].trial_id for cell in suite.cells}
    few = {t: r.model_copy(update={"redraws": []}) for t, r in records.items() if t in first}
    page = page_of(suite, few)
    assert "| unknown: one seed | unknown: one seed |" in lines(page, "| Training")[0]
    assert "| unknown: one draw | unknown: one draw |" in lines(page, "| Sampling")[0]
    assert "(2 trials)" in lines(page, "| `modes_raw`")[0]
    assert "unknown." in lines(page, "- **modes")[0]
    alone = lines(page, "| `modes_raw`")[1]
    assert "±" not in alone
    assert "(1 trial)" in alone


def test_the_section_is_empty_without_known_noise(suite, records, small_suite, all_finished):
    assert page_of(suite, {}) == []
    alone = small_suite("GAN")
    assert page_of(alone, all_finished(alone)) == []
    assert "Sources of variation" not in leaderboard(alone, leaderboard_rows(alone, all_finished(alone)), ())


def test_labels_do_not_break_a_table_and_the_section_is_in_its_place(suite, records):
    page = leaderboard(suite, leaderboard_rows(suite, records), ("curves.png",))
    assert page.index("## How to read") < page.index("## Sources of variation") < page.index("## Learning")
    for block in page_of(suite, records):
        if block.startswith("| "):
            tokens = MarkdownIt("commonmark").enable("table").parse(block)
            assert sum(token.type == "table_open" for token in tokens) == 1
            widths = {line.count(" | ") for line in block.splitlines()}
            assert widths in ({3}, {4})


@pytest.mark.parametrize("value", [1e-9, 0.00042, 0.0197, 0.5, 3.0, 812.3])
@pytest.mark.parametrize("digits", [1, 3])
def test_a_small_number_is_shown_with_two_figures(value, digits):
    shown = decimals(value, digits)
    assert digits <= shown <= DECIMALS
    assert shown == DECIMALS or round(value, shown) == pytest.approx(value, rel=0.05)
