"""Claims about some or every side, by simulation under the null and the alternative."""

import numpy as np
import pytest

from benchmark.analysis.claims.paired_tests import LEVEL, p_values
from benchmark.analysis.claims.quantifiers import combine, corrections

CELLS, SIDES = 10_000, 10


def rates(means, quantifier, seeds=5, test="t", shared=0.0):
    """(supported, contradicted) shares of cells whose sides have these true means, with a correlation between them."""
    rng = np.random.default_rng([seeds, len(quantifier), round(10 * shared)])
    own = rng.normal(0, 1, (CELLS, len(means), seeds))
    common = rng.normal(0, 1, (CELLS, 1, seeds))
    differences = np.asarray(means)[None, :, None] + np.sqrt(1 - shared) * own + np.sqrt(shared) * common
    found = combine(*p_values(differences, 0.0, "greater", test), quantifier)
    return tuple(float((p <= LEVEL).mean()) for p in found)


def tolerance(rate=LEVEL):
    return 3 * (rate * (1 - rate) / CELLS) ** 0.5


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("test", "seeds"), [("t", 3), ("t", 5), ("sign", 10)])
@pytest.mark.parametrize("quantifier", ["some", "every"])
def test_sides_at_the_edge_support_and_contradict_by_chance_in_five_per_cent_at_most(quantifier, test, seeds, shared):
    assert max(rates([0.0] * SIDES, quantifier, seeds, test, shared)) <= LEVEL + tolerance()


def test_every_is_not_supported_by_nine_clear_sides_of_ten():
    supported, _ = rates([5.0] * (SIDES - 1) + [0.0], "every")
    assert LEVEL - tolerance() <= supported <= LEVEL + tolerance(), "the test is exact where one side is at the edge"


def test_some_is_not_contradicted_by_nine_clear_sides_of_ten():
    _, contradicted = rates([-5.0] * (SIDES - 1) + [0.0], "some")
    assert contradicted <= LEVEL + tolerance()


def test_some_is_supported_by_one_clear_side_and_every_by_all():
    one, all_sides = [5.0] + [0.0] * (SIDES - 1), [5.0] * SIDES
    assert rates(one, "some")[0] > 0.95
    assert rates(one, "every")[0] < 0.001
    assert rates(all_sides, "every")[0] > 0.95


def test_the_opposite_of_some_is_every_and_the_opposite_of_every_is_some():
    one, all_sides = [-5.0] + [0.0] * (SIDES - 1), [-5.0] * SIDES
    assert rates(one, "every")[1] > 0.95
    assert rates(one, "some")[1] < 0.001
    assert rates(all_sides, "some")[1] > 0.95


def test_a_claim_is_never_supported_and_contradicted_at_once():
    p = np.random.default_rng(0).uniform(0, 1, (CELLS, 3))
    for quantifier in ("some", "every"):
        p_for, p_against = combine(p, 1 - p, quantifier)
        assert not ((p_for <= LEVEL) & (p_against <= LEVEL)).any()


def test_a_single_side_is_not_corrected():
    for quantifier in ("each", "some", "every"):
        assert combine(np.array([0.03]), np.array([0.97]), quantifier) == (0.03, 0.97)
    assert (corrections(10, "some"), corrections(10, "every"), corrections(1, "each")) == ((10, 1), (1, 10), (1, 1))
