"""tests.unit.analysis.test_verdicts"""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.analysis import verdicts
from benchmark.analysis.rules.difference import Difference
from benchmark.analysis.rules.uncertainty import THEORY
from benchmark.analysis.verdicts import (
    VERDICT_MEANINGS,
    Reference,
    SeedCounts,
    Verdict,
    judge,
    mismatches,
    protocol_mismatches,
)
from benchmark.config.published import PublishedProtocol
from benchmark.evaluation.metrics.base import SampleMetric
from benchmark.evaluation.metrics.fid import FID

ALL = SeedCounts(finished=3)
NEAR = Reference(100.0, is_verified=True, tolerance=0.05)


def difference_of(low, high, inner=None, margin=5.0):
    """A difference with this 95 % interval; `inner` is the 90 % interval."""
    return Difference(
        estimate=(low + high) / 2,
        margin=margin,
        interval=(low, high),
        equivalence_interval=inner or (low, high),
    )


@pytest.mark.parametrize(
    "counts, difference, reference, reduced, verdict",
    [
        (SeedCounts(not_run=3), None, NEAR, False, "not run"),
        (SeedCounts(not_run=3), None, None, True, "not run"),
        (SeedCounts(failed=3), None, NEAR, False, "failed"),
        (SeedCounts(diverged=3), None, NEAR, True, "diverged"),
        (SeedCounts(diverged=1, not_run=2), None, NEAR, False, "diverged"),
        (SeedCounts(diverged=2, failed=1), None, NEAR, False, "failed"),
        (ALL, None, None, False, "no matched reference"),
        (ALL, None, None, True, "no matched reference"),
        (ALL, difference_of(-1, 1), NEAR, True, "reduced scale"),
        (ALL, difference_of(-1, 1), Reference(100.0, False, ("n_fake",)), True, "reduced scale"),
        (ALL, difference_of(-1, 1), Reference(100.0, is_verified=False, tolerance=0.05), False, "no matched reference"),
        (ALL, difference_of(-1, 1), Reference(100.0, True, ("n_fake",), 0.05), False, "no matched reference"),
        (SeedCounts(finished=2), difference_of(-1, 1), NEAR, False, "inconclusive"),
        (SeedCounts(finished=2), difference_of(-9, -8), NEAR, False, "inconclusive"),
        (SeedCounts(finished=2, not_run=1), difference_of(-1, 1), NEAR, False, "inconclusive"),
        (ALL, None, NEAR, False, "inconclusive"),
        (ALL, Difference(estimate=0.0, margin=5.0), NEAR, False, "inconclusive"),
        (ALL, difference_of(-1, 1), NEAR, False, "reproduced"),
        (ALL, difference_of(-5, 5), NEAR, False, "reproduced"),
        (ALL, difference_of(-6, 6, inner=(-5, 5)), NEAR, False, "reproduced"),
        (ALL, difference_of(-6, 1), NEAR, False, "inconclusive"),
        (ALL, difference_of(-10, 10, inner=(-6, 4)), NEAR, False, "inconclusive"),
        (ALL, difference_of(-10, 10, inner=(-4, 6)), NEAR, False, "inconclusive"),
        (ALL, difference_of(6, 7), NEAR, False, "better"),
        (ALL, difference_of(5, 9, inner=(6, 8)), NEAR, False, "inconclusive"),
        (ALL, difference_of(-10, -6), NEAR, False, "worse"),
        (ALL, difference_of(-10, -5, inner=(-9, -6)), NEAR, False, "inconclusive"),
        (ALL, difference_of(-1, 1, margin=None), Reference(100.0, is_verified=True), False, "inconclusive"),
        (ALL, difference_of(0, 0, margin=None), Reference(100.0, is_verified=True), False, "inconclusive"),
        (ALL, difference_of(1, 2, margin=None), Reference(100.0, is_verified=True), False, "better"),
        (SeedCounts(finished=3, failed=1), difference_of(-1, 1), NEAR, False, "inconclusive"),
        (SeedCounts(finished=3, diverged=1), difference_of(6, 7), NEAR, False, "inconclusive"),
        (SeedCounts(finished=3, not_run=1), difference_of(-10, -6), NEAR, False, "worse"),
    ],
)
def test_the_verdict_on_a_metric_for_which_higher_is_better(counts, difference, reference, reduced, verdict):
    assert judge(counts, difference, reference, "higher", reduced) == verdict


def test_lower_may_be_better():
    assert judge(ALL, difference_of(6, 7), NEAR, "lower", False) == "worse"
    assert judge(ALL, difference_of(-10, -6), NEAR, "lower", False) == "better"


@pytest.mark.parametrize("value, tolerance, margin", [(200.0, 0.05, 10.0), (-200.0, 0.05, 10.0), (200.0, None, None)])
def test_the_tolerance_is_relative_to_the_published_value(value, tolerance, margin):
    assert Reference(value, is_verified=True, tolerance=tolerance).margin == margin


counts = st.builds(SeedCounts, *[st.integers(0, 5)] * 4).filter(lambda c: c.total)
values = st.floats(-100, 100)


@st.composite
def differences(draw):
    low, inner_low, inner_high, high = sorted(draw(st.tuples(values, values, values, values)))
    return difference_of(low, high, (inner_low, inner_high), draw(st.none() | st.floats(0, 50)))


references = st.none() | st.builds(
    Reference, values, st.booleans(), st.sampled_from([(), ("n_fake",)]), st.none() | st.floats(0.001, 0.5)
)
directions = st.sampled_from(["higher", "lower"])
POSITIVE = {Verdict.REPRODUCED, Verdict.BETTER}


IN_THEORY = Reference(100.0, is_verified=True, tolerance=0.05, uncertainty=THEORY)


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize(
    "counts, interval, verdict",
    [
        (ALL, (6, 7), "different"),
        (ALL, (-7, -6), "different"),
        (ALL, (-1, 1), "reproduced"),
        (ALL, (4, 6), "inconclusive"),
        (SeedCounts(finished=3, diverged=1), (6, 7), "inconclusive"),
        (SeedCounts(finished=2), (6, 7), "inconclusive"),
    ],
)
def test_neither_side_of_a_value_in_theory_is_better(counts, interval, verdict, better):
    assert judge(counts, difference_of(*interval), IN_THEORY, better, False) == verdict


@given(counts, st.none() | differences(), references, directions, st.booleans())
def test_a_positive_verdict_needs_every_seed_a_verified_value_and_the_full_recipe(
    counts, difference, reference, better, reduced
):
    verdict = judge(counts, difference, reference, better, reduced)
    assert verdict in VERDICT_MEANINGS
    if verdict in POSITIVE:
        assert counts.is_complete
        assert reference.is_verified
        assert not reference.mismatches
        assert not reduced
    if verdict in {*POSITIVE, Verdict.WORSE}:
        assert counts.finished >= 3
    if reduced:
        assert verdict not in {*POSITIVE, Verdict.WORSE, Verdict.INCONCLUSIVE}


@given(values, st.floats(0, 20), st.floats(0, 50), st.floats(0, 50))
def test_a_better_measurement_never_gets_a_worse_verdict(low, width, lift, margin):
    def rank(shift):
        verdict = judge(ALL, difference_of(low + shift, low + shift + width, margin=margin), NEAR, "higher", False)
        return {Verdict.WORSE: 0, Verdict.BETTER: 2}.get(verdict, 1)

    assert rank(0) <= rank(lift)


@given(counts, differences(), references)
def test_the_direction_only_swaps_better_and_worse(counts, found, reference):
    swapped = [(-high, -low) for low, high in (found.interval, found.equivalence_interval)]
    mirrored = difference_of(*swapped[0], swapped[1], found.margin)
    assert judge(counts, found, reference, "higher", False) == judge(counts, mirrored, reference, "lower", False)


@given(counts)
def test_the_text_of_counts_names_every_ending(counts):
    words = str(counts)
    for count, word in (
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.not_run, "not run"),
    ):
        assert (f"{count} {word}" in words) == bool(count)


def test_every_verdict_is_explained():
    assert set(VERDICT_MEANINGS) == set(Verdict)


OURS = {"n_fake": 25600, "codec": "none", "n_real": None}


@pytest.mark.parametrize(
    "stated, ours, found",
    [
        ({"n_fake": 25600}, OURS, ()),
        ({"n_fake": 25600, "codec": "none"}, OURS, ()),
        ({"n_fake": 5000, "codec": "none"}, OURS, ("n_fake: published 5000, here 25600",)),
        ({"n_fake": 25600, "codec": "jpeg"}, OURS, ("codec: published jpeg, here none",)),
        ({"n_fake": None}, OURS, ("n_fake: not stated by the source",)),
        ({}, OURS, ("n_fake: not stated by the source",)),
        ({"n_fake": 25600, "n_real": 10000}, OURS, ()),
        ({"n_fake": 25600}, {**OURS, "n_real": 10000}, ("n_real: not stated by the source",)),
        ({"n_fake": 25600, "n_real": 0}, {"n_real": 10000}, ("n_real: published 0, here 10000",)),
        ({"other": 1}, {}, ()),
    ],
)
def test_a_required_field_must_be_stated(stated, ours, found):
    assert mismatches(stated, ours, {"n_fake", "n_real"}) == found


def test_the_settings_of_a_frechet_distance_are_required():
    assert {"n_real", "n_fake", "reference_split", "feature_extractor"} == SampleMetric.required_fields


SAME = {"n_fake": 25600, "feature_extractor": "digits"}


@pytest.mark.parametrize(
    "stated, differing",
    [
        ({}, ["n_fake: not stated", "feature_extractor: not stated"]),
        (SAME, []),
        ({**SAME, "codec": "none", "batch_norm": "moving_average", "checkpoint": "last"}, []),
        ({**SAME, "n_fake": 50000}, ["n_fake: published 50000, here 25600"]),
        ({**SAME, "codec": "jpeg", "batch_norm": "batch"}, ["codec: published jpeg", "batch_norm: published batch"]),
        ({**SAME, "feature_extractor": "authors' CNN"}, ["feature_extractor: published authors' CNN"]),
        ({**SAME, "checkpoint": "best"}, ["evaluate_every: not stated by the source"]),
        ({**SAME, "checkpoint": "best", "evaluate_every": 200}, []),
        ({**SAME, "checkpoint": "best", "evaluate_every": 500}, ["evaluate_every: published 500, here 200"]),
        ({**SAME, "checkpoint": "last", "evaluate_every": 500}, []),
        ({**SAME, "checkpoint": "step 800"}, ["checkpoint: published step 800, here last"]),
        ({**SAME, "aggregation": "best"}, []),
        ({**SAME, "aggregation": "single"}, []),
        ({**SAME, "n_real": 10000, "reference_split": "test", "step_unit": "generator"}, []),
    ],
)
def test_a_protocol_is_compared_with_the_trials(suite, stated, differing):
    cell = suite.cells[0]
    table = cell.published.table.model_copy(update={"protocol": PublishedProtocol(**stated)})
    found = protocol_mismatches(cell.published.model_copy(update={"table": table}), cell.specs[0], "modes")
    assert len(found) == len(differing)
    assert all(words in mismatch for words, mismatch in zip(differing, found, strict=True))


@pytest.mark.parametrize(
    "theirs, n_real, found",
    [
        ({"n_real": 10000, "reference_split": "test"}, 10000, ()),
        ({"n_real": 10000, "reference_split": "train"}, 10000, ("reference_split: published train, here test",)),
        ({"n_real": 10000, "reference_split": "test"}, None, ("n_real: published 10000, here all of the split",)),
        ({"reference_split": "test"}, None, ("n_real: not stated by the source",)),
        ({}, 10000, ("reference_split: not stated by the source", "n_real: not stated by the source")),
    ],
)
def test_the_reference_images_must_be_stated(suite, monkeypatch, theirs, n_real, found):
    cell = suite.cells[0]
    ours = {"n_fake": 5000} | FID.protocol_fields(FID.Options(reference="test", n_real=n_real))
    bound = SimpleNamespace(protocol_fields=ours, metric=FID)
    monkeypatch.setattr(verdicts, "metric_of_output", lambda protocol, key: bound)
    monkeypatch.setattr(verdicts, "judging_instruments", lambda published, spec, key: None)
    protocol = PublishedProtocol(n_fake=5000, feature_extractor="inception", **theirs)
    table = cell.published.table.model_copy(update={"protocol": protocol})
    published = cell.published.model_copy(update={"table": table})
    assert protocol_mismatches(published, cell.specs[0], "fid") == found


def test_another_dataset_is_a_mismatch(suite):
    cell = suite.cells[0]
    for name, differs in (("Stacked-Digits", False), ("stacked_mnist", True)):
        table = cell.published.table.model_copy(update={"dataset": name})
        found = protocol_mismatches(cell.published.model_copy(update={"table": table}), cell.specs[0], "modes")
        assert bool(found) == differs
