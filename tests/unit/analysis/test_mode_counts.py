"""tests.unit.analysis.test_mode_counts"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.analysis.mode_counts import histograms, sorted_counts, uniform_counts
from benchmark.evaluation.metrics.base import HistogramSpec

N = 25_600


def all_in(mode):
    return [N * (place == mode) for place in range(1000)]


# --- a uniform generator -----------------------------------------------------------------------------------


@given(n=st.integers(1, 100_000), bins=st.integers(1, 300))
@settings(max_examples=30)
def test_uniform_counts_sum_to_all_images(n, bins):
    expected = uniform_counts(n, bins)
    assert expected.shape == (bins,)
    assert expected.sum() == pytest.approx(n, rel=1e-6)
    assert (np.diff(expected) <= 1e-9).all()
    assert (expected >= 0).all()


@pytest.mark.parametrize(("n", "bins"), [(N, 1000), (500, 1000), (2000, 10)])
def test_uniform_counts_agree_with_simulation(n, bins):
    drawn = sorted_counts(np.random.default_rng(0).multinomial(n, np.full(bins, 1 / bins), 300))
    noise = 4 * drawn.std(axis=0) / 300**0.5
    apart = np.abs(drawn.mean(axis=0) - uniform_counts(n, bins))
    assert (apart < 0.2 + noise).all(), "the sum of the counts is fixed: a fifth of an image"


def test_counts_are_sorted_per_seed():
    counts = np.array([[1, 5, 0], [7, 2, 2]])
    assert sorted_counts(counts).tolist() == [[5, 1, 0], [7, 2, 2]]
    assert counts.tolist() == [[1, 5, 0], [7, 2, 2]]


# --- from records -------------------------------------------------------------------------------------


def test_histograms_are_of_finished_seeds_with_counts_of_all_modes(suite, specs_of, make_record):
    first, second, third = specs_of(suite, "Own", "GAN")
    records = [
        make_record(first, histograms={"modes": all_in(5)}),
        make_record(second, "diverged", "nan", histograms={"modes": all_in(6)}),
        make_record(third),  # from before there were histograms
        make_record(specs_of(suite, "Own", "MSGAN")[0], histograms={"modes": [1, 2], "other": all_in(7)}),
        make_record(specs_of(suite, "Checked", "MSGAN")[0], histograms={"modes": [0] * 1000}),
    ]
    (found,) = histograms(
        rows_by_table(suite, leaderboard_rows(suite, {record.trial_id: record for record in records}))
    )
    assert (found.table, found.variant, found.n_fake) == ("Own", "", N)
    ((row, counts),) = found.counts
    assert row.label == "GAN"
    assert counts.tolist() == [all_in(5)]


def test_bins_are_the_cells_of_a_grid():
    bins = HistogramSpec((("row", 2), ("column", 3)), "place")
    assert (bins.shape, bins.num_bins) == ((2, 3), 6)
