"""Looks at a growing number of seeds: their sizes, their shares, and simulations of the claimed error rates."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.analysis.power import CellModel, chances_undecided
from benchmark.analysis.rules.difference import DIFFERENCE_CONFIDENCE, EQUIVALENCE_CONFIDENCE, standardise
from benchmark.analysis.rules.uncertainty import EXACT, published_uncertainty
from benchmark.analysis.sequential import Look, error_share, first_look, looks_from, looks_taken, next_look
from benchmark.analysis.verdicts import verdicts_on

CELLS = 20_000
PUBLISHED, MARGIN = 100.0, 5.0
MEAN_OF_FIVE = published_uncertainty("training_seeds", 2.0, 5, "mean")
SINGLE = published_uncertainty("none", None, None, "single")
BEST_OF_THREE = published_uncertainty("none", None, 3, "best")


def tolerance_of(rate):
    """Three standard deviations of a simulated rate."""
    return 3 * (rate * (1 - rate) / CELLS) ** 0.5


def simulate(truth, spread, looks, uncertainty=EXACT, corrected=True, error=0.0):
    """Verdict -> share of cells, and the mean number of seeds, of cells that stop at the first look that decides.

    `error`: standard deviation of the published values around PUBLISHED.
    """
    rng = np.random.default_rng([len(looks), looks[-1]])
    values = rng.normal(truth, spread, (CELLS, looks[-1]))
    published = rng.normal(PUBLISHED, error, (CELLS, uncertainty.best_of)).max(axis=1)
    verdicts = np.full(CELLS, "inconclusive", dtype="<U12")
    seeds = np.full(CELLS, looks[0])
    for look, number in enumerate(looks):
        undecided = verdicts == "inconclusive"
        seeds[undecided] = number
        found = standardise(values[undecided, :number], published[undecided], uncertainty, "higher")
        share = error_share(look) if corrected else 1.0
        intervals = [
            found.interval(1 - share * (1 - level)) for level in (DIFFERENCE_CONFIDENCE, EQUIVALENCE_CONFIDENCE)
        ]
        verdicts[undecided] = verdicts_on(*intervals, MARGIN, "higher")
    names, counts = np.unique(verdicts, return_counts=True)
    return dict(zip(names.tolist(), (counts / CELLS).tolist(), strict=True)), seeds.mean()


LOOKS = (3, 5, 8, 12, 18, 27)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("spread", [1.0, 3.0, 6.0])
def test_a_method_at_the_edge_is_reproduced_in_at_most_5_percent_of_cells(side, spread):
    rate = simulate(PUBLISHED + side * MARGIN, spread, LOOKS)[0].get("reproduced", 0)
    assert rate <= 0.05 + tolerance_of(0.05)
    if spread == 1.0:  # the bound is not so loose that the verdict is simply absent
        assert rate >= 0.03


def test_without_a_correction_it_would_be_reproduced_in_13_percent_of_cells_after_four_looks():
    rate = simulate(PUBLISHED + MARGIN, 1.0, LOOKS[:4], corrected=False)[0]["reproduced"]
    assert rate == pytest.approx(0.13, abs=tolerance_of(0.13))


def test_seven_looks_call_it_reproduced_in_three_and_a_half_percent_of_cells():
    rate = simulate(PUBLISHED + MARGIN, 1.0, (*LOOKS, 41))[0]["reproduced"]
    assert rate == pytest.approx(0.035, abs=tolerance_of(0.035))


@pytest.mark.parametrize("truth, word", [(PUBLISHED - MARGIN, "worse"), (PUBLISHED + MARGIN, "better")])
@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_a_method_within_the_tolerance_is_better_or_worse_in_at_most_2_5_percent_each(truth, word, spread):
    """The edge is the least favourable place within it."""
    rate = simulate(truth, spread, LOOKS)[0].get(word, 0)
    assert 0.012 < rate <= 0.025 + tolerance_of(0.025)


def test_an_equal_method_is_hardly_ever_better_or_worse():
    found, _ = simulate(PUBLISHED, 3.0, LOOKS)
    assert found.get("better", 0) + found.get("worse", 0) < 0.002
    assert found["reproduced"] > 0.99


@pytest.mark.parametrize(
    "uncertainty, error", [(MEAN_OF_FIVE, 2.0 / 5**0.5), (SINGLE, 1.0)], ids=["mean of five", "single training"]
)
def test_the_error_rates_hold_for_uncertain_published_values(uncertainty, error):
    """The same published value stays at all looks, which are therefore far from independent."""
    at_edge, _ = simulate(PUBLISHED + MARGIN, 1.0, LOOKS, uncertainty, error=error)
    assert at_edge.get("reproduced", 0) <= 0.05 + tolerance_of(0.05)
    assert at_edge.get("better", 0) <= 0.025 + tolerance_of(0.025)


def test_the_error_rates_hold_for_a_best_of_three():
    """Its intervals are simulated and no t-intervals."""
    at_edge, _ = simulate(PUBLISHED + MARGIN, 1.0, LOOKS[:3], BEST_OF_THREE, error=1.0)
    assert 0.01 < at_edge.get("reproduced", 0) <= 0.05 + tolerance_of(0.05)
    assert 0.005 < at_edge.get("better", 0) <= 0.025 + tolerance_of(0.025)


@pytest.mark.parametrize("spread, expected", [(1.3, 3.6), (2.0, 4.7), (3.0, 7.3), (5.0, 17.3)])
def test_the_expected_number_of_seeds_is_close_to_its_bound(spread, expected):
    looks = tuple(looks_from(3, 50))
    found, seeds = simulate(PUBLISHED, spread, looks)
    assert seeds == pytest.approx(expected, rel=0.03)
    assert found["reproduced"] > 0.99
    undecided = chances_undecided(CellModel(spread=spread, margin=MARGIN, uncertainty=EXACT, better="higher"), looks)
    bound = looks[0] + sum(
        chance * (after - before) for chance, (before, after) in zip(undecided, pairwise(looks), strict=False)
    )
    assert seeds - 0.1 <= bound <= 1.1 * seeds


def test_the_chance_of_each_look_is_the_simulated_one():
    cell = CellModel(spread=3.0, margin=MARGIN, uncertainty=EXACT, better="higher")
    for look, seeds in enumerate(LOOKS):
        alone = simulate(PUBLISHED, 3.0, LOOKS[: look + 1])[0].get("inconclusive", 0)
        assert alone <= chances_undecided(cell, LOOKS)[look] + tolerance_of(0.5), seeds


@given(st.integers(0, 200))
def test_all_looks_together_spend_less_than_everything(looks):
    shares = [error_share(look) for look in range(looks)]
    assert sum(shares) <= 1
    assert sum(shares) == pytest.approx(1 - (2 / 3) ** looks)


@given(st.integers(3, 300), st.integers(0, 700))
def test_looks_grow_by_half_up_to_the_limit(first, added):
    looks = list(looks_from(first, first + added))
    assert (looks[0], looks[-1]) == (first, first + added)
    for before, after in pairwise(looks):
        assert before < after == next_look(before, first + added) <= -(-3 * before // 2)


def test_the_first_looks_are_at_3_5_8_12_and_18_seeds():
    assert tuple(islice(looks_from(first_look(1), 1000), 5)) == (3, 5, 8, 12, 18)
    assert first_look(4) == 4


def test_a_look_is_taken_when_all_its_seeds_have_ended():
    assert looks_taken((3, 5, 8), 7) == [Look((3,)), Look((3, 5))]
    assert looks_taken((3, 5), 2) == [Look((3,), is_complete=False)]
    assert Look((3, 5)).share == pytest.approx(2 / 9)
