"""tests.unit.analysis.test_ordering"""

import math
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.analysis.ordering import (
    ORDER_MEANINGS,
    OrderVerdict,
    RankedMethod,
    compare_methods,
    kendall_tau,
    probability_in_order,
    table_orders,
)
from benchmark.config.suite import load_suite


def method(label, scores, published, **fields):
    mean = sum(scores) / len(scores) if scores else math.nan
    scores = tuple(map(float, scores))
    return RankedMethod(label=label, scores=scores, mean=mean, published=published, **({"is_complete": True} | fields))


LOW, HIGH = range(5), range(10, 15)


@pytest.mark.parametrize(
    "better, worse, verdict",
    [
        (HIGH, LOW, "reproduced"),
        (LOW, HIGH, "reversed"),
        (LOW, LOW, "undecided"),
        (range(10, 14), range(4), "reproduced"),
        (range(10, 13), range(3), "undecided"),
        ([10, 11], range(20), "undecided"),
        ([10, 11], range(-90, 0), "undecided"),
        ([], LOW, "undecided"),
    ],
)
def test_an_order_needs_enough_seeds(better, worse, verdict):
    found = compare_methods([method("a", worse, 1.0), method("b", better, 2.0)], True)
    assert (found.pairs[0].first, found.pairs[0].second, found.pairs[0].verdict) == ("b", "a", verdict)


def test_lower_may_be_better():
    """Scores are already oriented: only the published order is reversed."""
    found = compare_methods([method("a", LOW, 1.0), method("b", HIGH, 2.0)], False)
    assert (found.pairs[0].first, found.pairs[0].verdict) == ("a", "reversed")


def test_a_missing_seed_may_be_the_one_that_matters():
    found = compare_methods([method("a", LOW, 1.0), method("b", HIGH, 2.0, is_complete=False)], True)
    assert found.pairs[0].verdict == "undecided"
    assert found.pairs[0].improvement.probability == 1


def test_many_orders_need_more_evidence_than_one():
    seeds = [range(10 * place, 10 * place + 4) for place in range(3)]
    found = compare_methods([method(str(place), scores, place) for place, scores in enumerate(seeds)], True)
    assert [pair.verdict for pair in found.pairs] == ["undecided"] * 3
    assert all(pair.p_value == pytest.approx(3 * 2 / 70) for pair in found.pairs)
    assert found.kendall_tau == 1.0


def test_pairs_without_a_published_order_are_compared_and_not_judged():
    methods = [method("a", LOW, 1.0), method("b", HIGH, None), method("c", HIGH, 1.0)]
    found = compare_methods(methods, True)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(pair.verdict is None and pair.p_value is None and pair.improvement for pair in found.pairs)
    assert str(found) == ""
    assert found.kendall_tau is None


def test_the_summary_of_a_table():
    methods = [method("a", range(6), 3.0), method("b", range(20, 26), 2.0), method("c", range(0, 12, 2), 1.0)]
    found = compare_methods(methods, True)
    assert found.counts == {"reproduced": 1, "reversed": 1, "undecided": 1}
    assert str(found) == "1 of 3 published orderings reproduced, 1 reversed, 1 undecided"
    assert str(compare_methods(methods[1:], True)) == "1 of 1 published ordering reproduced"


def test_touching_published_ranges_are_marked():
    published = (("a", 4.0), ("b", 3.0), ("c", 1.0))
    methods = [replace(method(name, LOW, value), published_spread=0.5) for name, value in published]
    assert [pair.ranges_touch for pair in compare_methods(methods, True).pairs] == [True, False, False]
    assert not any(
        pair.ranges_touch for pair in compare_methods([method("a", LOW, 2.0), method("b", LOW, None)], True).pairs
    )


GROUPS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=4)


@settings(max_examples=60)
@given(GROUPS)
def test_the_probability_in_order_equals_the_count_over_all_draws(groups):
    draws = list(product(*groups))
    rising = sum(all(low < high for low, high in pairwise(draw)) for draw in draws)
    assert probability_in_order(groups) == pytest.approx(rising / len(draws))


def test_a_diverged_training_ranks_below_all_others_and_ties_with_other_diverged_ones():
    assert probability_in_order([(-math.inf, 1.0), (2.0,)]) == 1
    assert probability_in_order([(-math.inf,), (-math.inf, 2.0)]) == 0.5


def test_the_published_order_needs_no_comparable_values():
    methods = [method(name, [place], place, is_comparable=False) for name, place in (("b", 2), ("c", 3), ("a", 1))]
    rising, falling = (compare_methods(methods, higher).published_order for higher in (True, False))
    assert (rising.methods, rising.probability, rising.chance) == (("c", "b", "a"), 1.0, pytest.approx(1 / 6))
    assert (falling.methods, falling.probability) == (("a", "b", "c"), 0.0)
    assert (
        compare_methods([*methods, method("d", [], 4, is_comparable=False)], True).published_order.methods
        == rising.methods
    )
    assert compare_methods([*methods, method("d", [4], None)], True).published_order.methods == rising.methods
    equal = compare_methods([*methods, method("d", [4], 3, is_comparable=False)], True)
    assert equal.published_order is None, "equal values have no order"
    assert compare_methods(methods[:1], True).published_order is None


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8))
def test_scipy_agrees_on_tau(points):
    reference = stats.kendalltau(*zip(*points, strict=True)).statistic
    found = kendall_tau(points)
    assert math.isnan(reference) if found is None else found == pytest.approx(reference)


def test_every_verdict_is_explained():
    assert set(ORDER_MEANINGS) == set(OrderVerdict)


@pytest.fixture(scope="module")
def five(suite_file):
    return load_suite(suite_file, "paper", seeds=5)


def checked(suite, records, title="Checked"):
    return rows_by_table(suite, leaderboard_rows(suite, records))[title]


def test_a_table_of_a_suite(five, all_finished):
    found = table_orders(checked(five, all_finished(five)), "modes")
    assert [(pair.first, pair.second) for pair in found.pairs] == [
        ("SSGAN", "GAN"),
        ("MSGAN", "GAN"),
        ("MSGAN", "SSGAN"),
    ]
    assert found.pairs[0].verdict == found.pairs[1].verdict == "reproduced"
    assert found.kendall_tau == 1.0


def test_a_metric_for_which_lower_is_better(five, all_finished):
    found = table_orders(checked(five, all_finished(five)), "kl")
    assert found.pairs[0].improvement.probability == 1
    assert str(found) == "3 of 3 published orderings reproduced"


@pytest.mark.parametrize("status, probability", [("diverged", 5 / 6), ("failed", 1)])
def test_a_diverged_seed_counts_as_the_worst_and_a_failed_one_as_missing(
    suite_file, all_finished, specs_of, make_record, status, probability
):
    six = load_suite(suite_file, "paper", seeds=6)
    records = all_finished(six)
    assert table_orders(checked(six, records), "modes").pairs[0].verdict == "reproduced"
    spec = specs_of(six, "Checked", "SSGAN")[0]
    records[spec.trial_id] = make_record(spec, status, "why")
    pair = table_orders(checked(six, records), "modes").pairs[0]
    assert (pair.improvement.probability, pair.verdict) == (pytest.approx(probability), "undecided")


def test_values_that_are_not_comparable_get_no_verdict(suite_file, five, all_finished):
    quick = load_suite(suite_file, "quick", seeds=5)
    for suite, title in ((quick, "Checked"), (five, "Remembered"), (five, "Own")):
        found = table_orders(checked(suite, all_finished(suite), title), "modes")
        assert found.pairs[0].improvement.probability >= 0
        assert {pair.verdict for pair in found.pairs} == {None}


def test_one_measured_row_has_no_order(five, all_finished, specs_of):
    some = {spec.trial_id for spec in specs_of(five, "Checked", "GAN")}
    records = {trial_id: record for trial_id, record in all_finished(five).items() if trial_id in some}
    assert table_orders(checked(five, records), "modes") is None
    assert table_orders(checked(five, records), "unheard of") is None
