"""How many seeds a claim needs."""

import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.claims.paired_tests import LEVEL, p_values
from benchmark.analysis.claims.power import _sign_power, _t_power, fewest_seeds, seeds_to_decide
from benchmark.analysis.claims.results import claim_results
from benchmark.analysis.leaderboard import leaderboard_rows
from tests.support.claim_suite import DROP, load_claims, records_of

SEVERAL = {"row": ["Plain", "Rotated", "Third"], "output": "modes", "after": 100, "up_to": 200}


@pytest.mark.parametrize(
    ("changes", "fewest"),
    [
        ({}, (3, 3)),
        ({"test": "sign"}, (5, 5)),
        ({"test": "sign", "left": SEVERAL, "quantifier": "some"}, (6, 5)),
        ({"test": "sign", "left": SEVERAL, "quantifier": "every"}, (5, 6)),
        ({"left": SEVERAL, "quantifier": "some"}, (3, 3)),
    ],
)
def test_a_sign_test_needs_enough_seeds_to_reach_its_level(tmp_path, changes, fewest):
    (claim,) = load_claims(tmp_path, {"C": DROP | changes}).claims
    assert fewest_seeds(claim) == fewest


@pytest.mark.parametrize("effect", [0.3, 1.0, 2.0])
def test_the_power_of_the_t_test_is_that_of_a_simulation(effect):
    sizes, cells = np.array([3.0, 6.0, 10.0]), 10_000
    for n, power in zip(sizes, _t_power(effect, sizes, LEVEL), strict=True):
        differences = np.random.default_rng(int(n)).normal(effect, 1, (cells, int(n)))
        simulated = (p_values(differences, 0.0, "greater", "t")[0] <= LEVEL).mean()
        assert abs(simulated - power) <= 4 * (power * (1 - power) / cells) ** 0.5 + 1e-3


def test_the_power_of_the_sign_test_is_binomial():
    sizes = np.array([3.0, 5.0, 10.0])
    power = _sign_power(0.4, sizes, LEVEL)
    assert power[0] == 0.0
    assert power[1] == pytest.approx(0.9**5)
    assert power[2] == pytest.approx(stats.binom.sf(8, 10, 0.9)), "nine of ten are needed"


def result_of(folder, changes, value):
    suite = load_claims(folder, {"C": DROP | changes})
    (result,) = claim_results(suite, leaderboard_rows(suite, records_of(suite, value)))
    return result


def test_an_unclear_claim_needs_more_seeds(tmp_path):
    drops = (3.0, -2.0, 1.0, -1.5, 4.0)
    result = result_of(tmp_path, {}, lambda row, seed, step: {"modes": -drops[seed] * (step > 100)})
    n = seeds_to_decide(result)
    effect = np.mean(drops) / np.std(drops, ddof=1)
    assert n == next(n for n in range(3, 999) if _t_power(effect, np.array([float(n)]), LEVEL)[0] >= 0.8)
    assert n > 5


def test_a_decided_claim_needs_none_and_no_effect_has_no_number(tmp_path):
    decided = result_of(tmp_path, {}, lambda row, seed, step: {"modes": -5.0 * (step > 100) + 0.01 * seed * step})
    assert seeds_to_decide(decided) is None
    nothing = result_of(tmp_path, {}, lambda row, seed, step: {"modes": (seed - 2.0) * (step > 100)})
    assert seeds_to_decide(nothing) is None


def test_five_equal_signs_of_three_sides_need_one_seed_more(tmp_path):
    changes = {"test": "sign", "left": SEVERAL, "quantifier": "some"}
    result = result_of(tmp_path, changes, lambda row, seed, step: {"modes": -1.0 * (step > 100)})
    assert result.verdict == "inconclusive"
    assert seeds_to_decide(result) == 6
