"""The chance of a decision, compared with simulated cells, and the seeds that give one of 80 %."""

from dataclasses import replace

import numpy as np
import pytest

from benchmark.analysis import power
from benchmark.analysis.power import CellModel, decision_chance, seeds_needed
from benchmark.analysis.rules.best_of import expected_best
from benchmark.analysis.rules.difference import InstrumentNoise
from benchmark.analysis.rules.uncertainty import EXACT, published_uncertainty
from benchmark.analysis.verdicts import Reference, Verdict
from tests.support.simulated_cells import judge_cells

CELLS = 20_000
MARGIN = 5.0
MEAN_OF_FIVE = published_uncertainty("training_seeds", 2.0, 5, "mean")
SINGLE = published_uncertainty("none", None, None, "single")
BEST_OF_THREE = published_uncertainty("none", None, 3, "best")


def cell(spread, **changes):
    fields = {"spread": spread, "margin": MARGIN, "uncertainty": EXACT, "better": "lower"}
    return CellModel(**fields | changes)


def simulated_chance(of, seeds, published_error=0.0):
    """The share of simulated cells with a verdict other than `inconclusive`."""
    rng = np.random.default_rng(seeds)
    values = rng.normal(100 + of.difference, of.spread, (CELLS, seeds))
    published = 100 + rng.normal(0, published_error, CELLS)
    if (k := of.uncertainty.best_of) > 1:
        published = expected_best(rng.normal(100, of.spread, (CELLS, k)), k, of.better)
    # the tolerance as an absolute width: a fraction of a random value would be random too
    reference = Reference(100.0, True, (), of.margin / 100, of.uncertainty)
    verdicts = [judge_cells(values - published[:, None] + 100, reference, of.better, of.instruments) != "inconclusive"]
    return np.mean(verdicts)


def three_deviations(rate):
    return 3 * (rate * (1 - rate) / CELLS) ** 0.5


@pytest.mark.parametrize(
    "of, published_error",
    [
        (cell(1.3), 0.0),
        (cell(3.0), 0.0),
        (cell(8.0), 0.0),
        (cell(3.0, difference=9.0), 0.0),
        (cell(2.0, uncertainty=MEAN_OF_FIVE), 2.0 / 5**0.5),
        (cell(1.2, uncertainty=SINGLE), 1.2),
        (cell(1.0, uncertainty=BEST_OF_THREE), 0.0),
    ],
    ids=["quiet", "usual", "noisy", "clearly off", "mean of five", "single training", "best of three"],
)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_chance_of_a_decision_is_that_of_simulated_cells(of, published_error, seeds):
    expected = simulated_chance(of, seeds, published_error)
    # the quadrature has 128 points, and the chance for a best of k is simulated itself
    own_error = 0.002 if of.uncertainty.best_of == 1 else 3 * (0.25 / power.SIMULATED) ** 0.5
    assert decision_chance(of, seeds) == pytest.approx(expected, abs=three_deviations(expected) + own_error)


@pytest.mark.parametrize(
    "percent, seeds_80, seeds_95, chances",
    [
        (1.3, 3, 3, (0.98, 1.00, 1.00)),
        (2, 4, 4, (0.75, 1.00, 1.00)),
        (3, 5, 7, (0.41, 0.84, 1.00)),
        (5, 11, 15, (0.13, 0.29, 0.79)),
        (8, 24, 35, (0.03, 0.05, 0.21)),
        (10, 36, 54, (0.02, None, None)),
        (15, 78, 118, (0.00, None, None)),
    ],
)
def test_the_seeds_for_a_tolerance_of_5_percent_are_those_of_the_simulated_table(
    monkeypatch, percent, seeds_80, seeds_95, chances
):
    """An independent simulation: the equivalence test, a true difference of 0 and an exact published value.

    `reproduced` alone was counted, so for a noisy cell the chance of any decision is larger by that of wrong ones.
    """
    of = cell(float(percent))
    assert power._search(of, 1.0).seeds == pytest.approx(seeds_80, rel=0.015)
    monkeypatch.setattr(power, "POWER", 0.95)
    assert power._search.__wrapped__(of, 1.0).seeds == pytest.approx(seeds_95, rel=0.015)
    for seeds, chance in zip((3, 5, 10), chances, strict=True):
        if chance is not None:
            assert decision_chance(of, seeds) == pytest.approx(chance, abs=0.026)


def test_the_number_found_is_the_smallest():
    for spread in (1.3, 2.0, 3.3, 5.0, 8.0):
        needed = power._search(cell(spread), 1.0)
        assert needed.chance >= 0.8
        assert needed.seeds == 3 or decision_chance(cell(spread), needed.seeds - 1) < 0.8


def test_without_variance_three_seeds_decide():
    assert power._search(cell(0.0), 1.0).seeds == 3


def test_a_smaller_share_of_the_error_rates_needs_more_seeds():
    whole, third = (power._search(cell(3.0), share).seeds for share in (1.0, 1 / 3))
    assert (whole, third) == (5, 7)


def test_a_cell_whose_published_value_is_too_uncertain_is_out_of_reach():
    of = cell(3.0, uncertainty=published_uncertainty("training_seeds", 6.0, 3, "mean"))
    assert of.half_width == pytest.approx(10.1, abs=0.1)  # 2.92 x 6 / sqrt(3)
    assert of.is_out_of_reach
    assert not replace(of, difference=20.0).is_out_of_reach, "worse is still possible"
    noisy = cell(1.0, instruments=InstrumentNoise(2.0, 3))
    assert noisy.half_width == pytest.approx(2.92 * 2 * (4 / 3) ** 0.5, abs=0.01)
    assert noisy.is_out_of_reach


@pytest.mark.parametrize("seeds, expected", [(3, None), (10, None)])
def test_a_single_published_training_may_never_be_decided_with_80_percent(seeds, expected):
    """Its own error stays, however many seeds are trained: 2.5 % around a tolerance of 5 %."""
    needed = power._search(cell(2.5, uncertainty=SINGLE), 1.0)
    assert needed.seeds is expected
    assert 0.2 < needed.chance < 0.4
    assert not needed.cell.is_out_of_reach


# --- rows of a leaderboard ---------------------------------------------------------------------------------


def needs(row_of, suite, records, label="GAN"):
    return seeds_needed(row_of(suite, records, "Checked", label))


def records_with(suite, make_record, specs_of, values, label="GAN", status="finished"):
    specs = specs_of(suite, "Checked", label)
    return {
        spec.trial_id: make_record(spec, status=status, metrics={"modes": value, "kl": 2.0})
        for spec, value in zip(specs, values, strict=False)
    }


def test_before_any_seed_the_published_spread_counts(suite, row_of):
    needed = needs(row_of, suite, {})["modes"]
    assert (needed.source, needed.cell.spread, needed.finished) == ("published", 136.3, 0)


def test_without_any_spread_the_number_is_unknown(suite, row_of):
    needed = needs(row_of, suite, {})["kl"]
    assert (needed.cell, needed.seeds, needed.more) == (None, None, None)
    assert needed.as_json()["spread"] is None


def test_from_two_seeds_on_the_measured_spread_counts(suite, row_of, make_record, specs_of):
    records = records_with(suite, make_record, specs_of, [600.0, 680.0])
    needed = needs(row_of, suite, records)["modes"]
    assert needed.source == "measured"
    assert needed.cell.spread == pytest.approx(56.57, abs=0.01)
    assert needed.finished == 2


def test_a_value_far_outside_the_tolerance_needs_seeds_for_worse(suite, row_of, make_record, specs_of):
    records = records_with(suite, make_record, specs_of, [688.0, 757.0, 826.0], "SSGAN")
    needed = needs(row_of, suite, records, "SSGAN")["modes"]
    assert needed.cell.towards is Verdict.WORSE
    assert needed.cell.difference == pytest.approx(757.0 - 906.75)
    assert needed.more > 0


def test_a_decided_metric_needs_no_seeds(suite, row_of, make_record, specs_of):
    records = records_with(suite, make_record, specs_of, [300.0, 301.0, 302.0], "SSGAN")
    assert "modes" not in needs(row_of, suite, records, "SSGAN")


def test_after_a_seed_that_diverged_no_number_helps(suite, row_of, make_record, specs_of):
    records = records_with(suite, make_record, specs_of, [900.0, 905.0], "SSGAN")
    third = specs_of(suite, "Checked", "SSGAN")[2]
    records[third.trial_id] = make_record(third, status="diverged")
    needed = needs(row_of, suite, records, "SSGAN")["modes"]
    assert needed.has_gap
    assert needed.more is None


def test_a_value_close_to_the_edge_needs_more_seeds_than_a_difference_of_0(suite, row_of, make_record, specs_of):
    """With a true difference of 0, three seeds would do; the measured one is 35 of the 45 that are tolerated."""
    records = records_with(suite, make_record, specs_of, [935.0, 942.0, 949.0], "SSGAN")
    row = row_of(suite, records, "Checked", "SSGAN")
    result = row.results["modes"]
    exact = replace(result, reference=replace(result.reference, uncertainty=EXACT))
    needed = seeds_needed(replace(row, results={"modes": exact}))["modes"]
    assert power._search(replace(needed.cell, difference=0.0), 1.0).seeds == 3
    assert needed.cell.difference == pytest.approx(942.0 - 906.75)
    assert needed.cell.towards is Verdict.REPRODUCED
    assert needed.seeds > 3


def test_an_unverified_value_needs_nothing(suite, row_of):
    assert seeds_needed(row_of(suite, {}, "Remembered", "GAN")) == {}
