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
    compare,
    kendall_tau,
    probability_in_order,
    table_orders,
)
from benchmark.config.suite import load_suite


def entry(label, scores, published, complete=True, printed=None):
    mean = sum(scores) / len(scores) if scores else math.nan
    return RankedMethod(label, tuple(map(float, scores)), complete, mean, published, printed=printed)


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
def test_an_order_needs_seeds_enough(better, worse, verdict):
    found = compare([entry("a", worse, 1.0), entry("b", better, 2.0)], higher=True)
    assert (found.pairs[0].first, found.pairs[0].second, found.pairs[0].verdict) == ("b", "a", verdict)


def test_less_may_be_better():
    """Scores are turned already: the published order is what turns."""
    found = compare([entry("a", LOW, 1.0), entry("b", HIGH, 2.0)], higher=False)
    assert (found.pairs[0].first, found.pairs[0].verdict) == ("a", "reversed")


def test_a_missing_seed_may_be_the_one_that_matters():
    found = compare([entry("a", LOW, 1.0), entry("b", HIGH, 2.0, complete=False)], higher=True)
    assert found.pairs[0].verdict == "undecided"
    assert found.pairs[0].improvement.probability == 1


def test_many_orders_need_more_evidence_than_one():
    seeds = [range(10 * place, 10 * place + 4) for place in range(3)]
    found = compare([entry(str(place), scores, place) for place, scores in enumerate(seeds)], higher=True)
    assert [pair.verdict for pair in found.pairs] == ["undecided"] * 3
    assert all(pair.p_value == pytest.approx(3 * 2 / 70) for pair in found.pairs)
    assert found.kendall_tau == 1.0


def test_pairs_without_a_published_order_are_compared_and_not_judged():
    entries = [entry("a", LOW, 1.0), entry("b", HIGH, None), entry("c", HIGH, 1.0)]
    found = compare(entries, higher=True)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(pair.verdict is None and pair.p_value is None and pair.improvement for pair in found.pairs)
    assert str(found) == ""
    assert found.kendall_tau is None


def test_the_table_in_one_sentence():
    entries = [entry("a", range(6), 3.0), entry("b", range(20, 26), 2.0), entry("c", range(0, 12, 2), 1.0)]
    found = compare(entries, higher=True)
    assert found.counts == {"reproduced": 1, "reversed": 1, "undecided": 1}
    assert str(found) == "1 of 3 published orderings reproduced, 1 reversed, 1 undecided"
    assert str(compare(entries[1:], higher=True)) == "1 of 1 published ordering reproduced"


def test_it_is_said_where_the_published_ranges_touch():
    published = (("a", 4.0), ("b", 3.0), ("c", 1.0))
    entries = [replace(entry(name, LOW, value), published_spread=0.5) for name, value in published]
    assert [pair.ranges_touch for pair in compare(entries, higher=True).pairs] == [True, False, False]
    assert not any(
        pair.ranges_touch for pair in compare([entry("a", LOW, 2.0), entry("b", LOW, None)], higher=True).pairs
    )


GROUPS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=4)


@settings(max_examples=60)
@given(GROUPS)
def test_the_whole_order_is_counted_over_all_draws(groups):
    draws = list(product(*groups))
    rising = sum(all(low < high for low, high in pairwise(draw)) for draw in draws)
    assert probability_in_order(groups) == pytest.approx(rising / len(draws))


def test_a_training_that_diverged_is_below_all_others_and_in_order_with_none_of_its_like():
    assert probability_in_order([(-math.inf, 1.0), (2.0,)]) == 1
    assert probability_in_order([(-math.inf,), (-math.inf, 2.0)]) == 0.5


def test_the_published_order_is_followed_where_nothing_may_be_judged():
    entries = [entry(name, [place], None, printed=place) for name, place in (("b", 2), ("c", 3), ("a", 1))]
    rising, falling = (compare(entries, higher).published_order for higher in (True, False))
    assert (rising.methods, rising.probability, rising.chance) == (("c", "b", "a"), 1.0, pytest.approx(1 / 6))
    assert (falling.methods, falling.probability) == (("a", "b", "c"), 0.0)
    assert compare([*entries, entry("d", [], None, printed=4)], True).published_order.methods == rising.methods
    assert compare([*entries, entry("d", [4], None)], True).published_order.methods == rising.methods
    assert compare([*entries, entry("d", [4], None, printed=3)], True).published_order is None, (
        "equal values have no order"
    )
    assert compare(entries[:1], True).published_order is None


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8))
def test_scipy_agrees_on_tau(points):
    reference = stats.kendalltau(*zip(*points, strict=True)).statistic
    found = kendall_tau(points)
    assert math.isnan(reference) if found is None else found == pytest.approx(reference)


def test_every_word_is_explained():
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


def test_of_a_metric_of_which_less_is_better(five, all_finished):
    found = table_orders(checked(five, all_finished(five)), "kl")
    assert found.pairs[0].improvement.probability == 1
    assert str(found) == "3 of 3 published orderings reproduced"


@pytest.mark.parametrize("status, probability", [("diverged", 5 / 6), ("failed", 1)])
def test_a_diverged_seed_is_a_bad_one_and_a_failed_one_is_unknown(
    suite_file, all_finished, specs_of, make_record, status, probability
):
    six = load_suite(suite_file, "paper", seeds=6)
    records = all_finished(six)
    assert table_orders(checked(six, records), "modes").pairs[0].verdict == "reproduced"
    spec = specs_of(six, "Checked", "SSGAN")[0]
    records[spec.trial_id] = make_record(spec, status, "why")
    pair = table_orders(checked(six, records), "modes").pairs[0]
    assert (pair.improvement.probability, pair.verdict) == (pytest.approx(probability), "undecided")


def test_what_may_not_be_judged_is_compared_only(suite_file, five, all_finished):
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
