import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.report.verdicts import MEANINGS, Counts, Reference, Verdict, judge, protocol_mismatches

ALL = Counts(finished=3)
NEAR = Reference(100.0, verified=True, tolerance=0.05)


@pytest.mark.parametrize(
    "counts, interval, reference, reduced, verdict",
    [
        (Counts(not_run=3), None, NEAR, False, "not run"),
        (Counts(not_run=3), None, None, True, "not run"),
        (Counts(failed=3), None, NEAR, False, "failed"),
        (Counts(diverged=3), None, NEAR, True, "diverged"),
        (Counts(diverged=1, not_run=2), None, NEAR, False, "diverged"),
        (Counts(diverged=2, failed=1), None, NEAR, False, "failed"),
        (ALL, (99, 101), None, False, "no matched reference"),
        (ALL, (99, 101), None, True, "no matched reference"),
        (ALL, (99, 101), NEAR, True, "reduced scale"),
        (ALL, (99, 101), Reference(100.0, False, ("n_fake",)), True, "reduced scale"),
        (ALL, (99, 101), Reference(100.0, verified=False, tolerance=0.05), False, "no matched reference"),
        (ALL, (99, 101), Reference(100.0, True, ("n_fake",), 0.05), False, "no matched reference"),
        (Counts(finished=2), (99, 101), NEAR, False, "inconclusive"),
        (Counts(finished=2, not_run=1), (99, 101), NEAR, False, "inconclusive"),
        (ALL, None, NEAR, False, "inconclusive"),
        (ALL, (99, 101), NEAR, False, "reproduced"),
        (ALL, (95, 105), NEAR, False, "reproduced"),
        (ALL, (94, 101), NEAR, False, "inconclusive"),
        (ALL, (90, 110), NEAR, False, "inconclusive"),
        (ALL, (106, 107), NEAR, False, "better"),
        (ALL, (105, 107), NEAR, False, "inconclusive"),
        (ALL, (90, 94), NEAR, False, "worse"),
        (ALL, (99, 101), Reference(100.0, verified=True), False, "inconclusive"),
        (ALL, (100, 100), Reference(100.0, verified=True), False, "inconclusive"),
        (ALL, (101, 102), Reference(100.0, verified=True), False, "better"),
        (Counts(finished=3, failed=1), (99, 101), NEAR, False, "inconclusive"),
        (Counts(finished=3, diverged=1), (106, 107), NEAR, False, "inconclusive"),
        (Counts(finished=3, not_run=1), (90, 94), NEAR, False, "worse"),
    ],
)
def test_the_rule_for_a_metric_of_which_more_is_better(counts, interval, reference, reduced, verdict):
    assert judge(counts, interval, reference, "higher", reduced) == verdict


def test_less_may_be_better():
    assert judge(ALL, (106, 107), NEAR, "lower", False) == "worse"
    assert judge(ALL, (90, 94), NEAR, "lower", False) == "better"


counts = st.builds(Counts, *[st.integers(0, 5)] * 4).filter(lambda c: c.total)
values = st.floats(-100, 100)
intervals = st.none() | st.tuples(values, values).map(lambda ends: tuple(sorted(ends)))
references = st.none() | st.builds(
    Reference, values, st.booleans(), st.sampled_from([(), ("n_fake",)]), st.none() | st.floats(0.001, 0.5)
)
directions = st.sampled_from(["higher", "lower"])
PRAISE = {Verdict.REPRODUCED, Verdict.BETTER}


@given(counts, intervals, references, directions, st.booleans())
def test_praise_needs_every_seed_a_verified_value_and_the_full_recipe(counts, interval, reference, better, reduced):
    verdict = judge(counts, interval, reference, better, reduced)
    assert verdict in MEANINGS
    if verdict in PRAISE:
        assert counts.complete
        assert counts.finished >= 3
        assert reference.verified
        assert not reference.mismatches
        assert not reduced
    if reduced:
        assert verdict not in {*PRAISE, Verdict.WORSE, Verdict.INCONCLUSIVE}


@given(values, st.floats(0, 20), st.floats(0, 50), values, st.floats(0.001, 0.5))
def test_a_better_measurement_never_gets_a_worse_verdict(low, width, lift, published, tolerance):
    reference = Reference(published, verified=True, tolerance=tolerance)

    def rank(shift):
        verdict = judge(ALL, (low + shift, low + shift + width), reference, "higher", False)
        return {Verdict.WORSE: 0, Verdict.BETTER: 2}.get(verdict, 1)

    assert rank(0) <= rank(lift)


@given(counts, intervals, references)
def test_the_direction_only_swaps_better_and_worse(counts, interval, reference):
    mirrored = reference and Reference(-reference.value, reference.verified, reference.mismatches, reference.tolerance)
    turned = interval and (-interval[1], -interval[0])
    assert judge(counts, interval, reference, "higher", False) == judge(counts, turned, mirrored, "lower", False)


@given(counts)
def test_counts_hide_nothing(counts):
    words = str(counts)
    for count, word in (
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.not_run, "not run"),
    ):
        assert (f"{count} {word}" in words) == bool(count)


def test_every_verdict_is_explained():
    assert set(MEANINGS) == set(Verdict)


@pytest.mark.parametrize(
    "stated, differing",
    [
        ({}, []),
        ({"n_fake": 25600, "codec": "none", "batch_norm": "moving_average", "checkpoint": "last"}, []),
        ({"n_fake": 50000}, ["n_fake: published 50000, here 25600"]),
        ({"codec": "jpeg", "batch_norm": "batch"}, ["codec: published jpeg", "batch_norm: published batch"]),
        ({"feature_extractor": "harness digit classifier"}, []),
        ({"feature_extractor": "authors' CNN"}, ["feature_extractor: published authors' CNN"]),
        ({"checkpoint": "best"}, ["checkpoint: published best, here last"]),
        ({"n_real": 10000, "reference_split": "test", "step_unit": "generator"}, []),
    ],
)
def test_a_protocol_differs_only_where_the_source_states_it(suite, stated, differing):
    cell = suite.cells[0]
    protocol = cell.published.table.protocol.model_copy(update={"n_fake": None, "codec": None, **stated})
    table = cell.published.table.model_copy(update={"protocol": protocol})
    found = protocol_mismatches(cell.published.model_copy(update={"table": table}), cell.specs[0])
    assert len(found) == len(differing)
    assert all(words in mismatch for words, mismatch in zip(differing, found, strict=True))


def test_another_dataset_is_another_protocol(suite):
    cell = suite.cells[0]
    for name, differs in (("Stacked-Digits", False), ("stacked_mnist", True)):
        table = cell.published.table.model_copy(update={"dataset": name})
        found = protocol_mismatches(cell.published.model_copy(update={"table": table}), cell.specs[0])
        assert bool(found) == differs
