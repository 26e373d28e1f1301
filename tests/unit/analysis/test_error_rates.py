"""Simulations of the claimed error rates: thousands of cells with a known truth."""

import numpy as np
import pytest

from benchmark.analysis.aggregate import Aggregate
from benchmark.analysis.equivalence import FIXED, difference_to_published, published_uncertainty
from benchmark.analysis.ordering import RankedMethod, compare_methods
from benchmark.analysis.verdicts import Reference, SeedCounts, judge

CELLS = 2000
PUBLISHED, TOLERANCE = 100.0, 0.05


def margin_of(rate, cells=CELLS):
    """Three standard deviations of a simulated rate."""
    return 3 * (rate * (1 - rate) / cells) ** 0.5


def cells_of(truth, spread, seeds, published_seeds=None, published_spread=4.0, name=0):
    """(measured, published value, its uncertainty) of many cells."""
    rng = np.random.default_rng([name, seeds, published_seeds or 0])
    for values in rng.normal(truth, spread, (CELLS, seeds)):
        measured = Aggregate(dict(enumerate(values.tolist())))
        if published_seeds is None:
            yield measured, PUBLISHED, FIXED
            continue
        theirs = rng.normal(PUBLISHED, published_spread, published_seeds)
        known = published_uncertainty("training_seeds", float(theirs.std(ddof=1)), published_seeds)
        yield measured, float(theirs.mean()), known


def verdicts(cells, seeds, tolerance):
    words = []
    for measured, published, known in cells:
        reference = Reference(published, True, (), tolerance, known)
        found = difference_to_published(measured, published, reference.margin, known)
        words.append(judge(SeedCounts(finished=seeds), found, reference, "higher", False))
    return {word: words.count(word) / len(words) for word in words}


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("seeds, published_seeds", [(3, None), (5, None), (5, 5)])
def test_a_method_at_the_edge_is_rarely_called_reproduced(seeds, published_seeds, side):
    edge = PUBLISHED * (1 + side * TOLERANCE)
    cells = cells_of(edge, 2.0, seeds, published_seeds, published_spread=2.0, name=1)
    rate = verdicts(cells, seeds, TOLERANCE).get("reproduced", 0)
    assert rate <= 0.05 + margin_of(0.05)
    if published_seeds is None:  # the verdict is not simply absent
        assert rate > 0.02


@pytest.mark.parametrize("seeds, published_seeds", [(3, None), (10, None), (5, 5)])
def test_an_equal_method_is_rarely_called_better_or_worse(seeds, published_seeds):
    found = verdicts(cells_of(PUBLISHED, 3.0, seeds, published_seeds, name=2), seeds, None)
    for word in ("better", "worse"):
        assert found[word] <= 0.025 + margin_of(0.025)
        assert found[word] > 0.01
    assert "reproduced" not in found


@pytest.mark.parametrize("side, word", [(-1, "worse"), (1, "better")])
@pytest.mark.parametrize("seeds, published_seeds, rate", [(3, None, 0.025), (10, None, 0.025), (5, 5, 0.031)])
def test_a_method_at_the_edge_is_rarely_called_better_or_worse(seeds, published_seeds, rate, side, word):
    """The tolerance is a fraction of the published value; if that is a mean of trainings, the edge is random too."""
    edge = PUBLISHED * (1 + side * TOLERANCE)
    found = verdicts(cells_of(edge, 3.0, seeds, published_seeds, name=4), seeds, TOLERANCE)[word]
    assert 0.01 < found <= rate + margin_of(rate)


@pytest.mark.parametrize("published_seeds", [None, 3])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_of_the_difference_covers_the_truth(seeds, published_seeds):
    truth = 3.0
    found = [
        difference_to_published(measured, published, None, known).interval
        for measured, published, known in cells_of(PUBLISHED + truth, 3.0, seeds, published_seeds, name=3)
    ]
    rate = np.mean([low <= truth <= high for low, high in found])
    assert rate >= 0.95 - margin_of(0.05)
    # with few seeds on both sides Welch's interval is slightly conservative
    assert rate <= 0.95 + margin_of(0.05) + (0.02 if published_seeds else 0)


def ranked(table):
    """Methods with these scores, published in increasing order."""
    return [
        RankedMethod(label=str(i), scores=tuple(row), is_complete=True, mean=row.mean(), published=float(i))
        for i, row in enumerate(table)
    ]


@pytest.mark.parametrize("seeds", [4, 5])
def test_equal_methods_are_rarely_ordered(seeds):
    tables = 1000
    scores = np.random.default_rng([4, seeds]).normal(size=(tables, 3, seeds))
    called = 0
    for table in scores:
        called += any(pair.verdict != "undecided" for pair in compare_methods(ranked(table), True).pairs)
    assert called / tables <= 0.05 + margin_of(0.05, tables)
    assert (called == 0) == (seeds < 5)  # three orders of four seeds each can never decide


def test_a_true_order_is_found_with_enough_seeds():
    scores = np.random.default_rng(5).normal([[0.0], [3.0]], 1.0, (200, 2, 6))
    words = [compare_methods(ranked(table), True).pairs[0].verdict for table in scores]
    assert words.count("reproduced") > 150
    assert words.count("reversed") == 0
