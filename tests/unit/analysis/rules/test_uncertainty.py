"""tests.unit.analysis.rules.test_uncertainty"""

import pytest

from benchmark.analysis.rules.uncertainty import published_uncertainty


@pytest.mark.parametrize(
    "kind, spread, seeds, aggregation, error, degrees, trainings, words",
    [
        ("training_seeds", 6.0, 9, None, 2.0, 8, None, "spread over 9 trainings is counted in"),
        ("training_seeds", 6.0, 9, "mean", 2.0, 8, None, "spread over 9 trainings is counted in"),
        ("training_seeds", 6.0, None, None, 6 / 2**0.5, 1, None, "not stated, so that it counts as two,"),
        ("standard_error", 6.0, 50, None, 6.0, 49, None, "standard error over 50 trainings is counted in"),
        ("standard_error", 6.0, None, None, 6.0, 1, None, "not stated, so that it counts as two,"),
        ("training_seeds", None, 9, "mean", 0.0, None, 9, "no spread over its 9 trainings, so the measured one"),
        ("none", None, None, "mean", 0.0, None, 2, "no spread over its 2 trainings"),
        ("none", None, None, None, 0.0, None, 1, "prediction interval for one published training"),
        ("none", None, 1, None, 0.0, None, 1, "the source reports one training"),
        ("sampling_seeds", 6.0, 1, None, 0.0, None, 1, "the source reports one training"),
        ("none", None, None, "single", 0.0, None, 1, "the source reports one training"),
        ("not_stated", 6.0, None, None, 6.0, None, 1, "unless the measured spread over one training is larger"),
        ("not_stated", 6.0, 4, None, 6.0, None, 4, "unless the measured spread over 4 trainings is larger"),
    ],
)
def test_gaps_get_the_reading_with_the_widest_interval(
    kind, spread, seeds, aggregation, error, degrees, trainings, words
):
    known = published_uncertainty(kind, spread, seeds, aggregation)
    assert known.standard_error == pytest.approx(error)
    assert (known.df, known.trainings, known.best_of) == (degrees, trainings, 1)
    assert known.is_single == (trainings == 1)
    assert words in known.basis


@pytest.mark.parametrize("seeds, trainings", [(None, 1), (1, 1), (4, 4)])
def test_a_value_read_off_a_figure_adds_the_error_of_reading_to_the_spread_of_trainings(seeds, trainings):
    known = published_uncertainty("reading_error", 0.006, seeds, "single" if seeds == 1 else None)
    assert known.reading_error == pytest.approx(0.006 / 3**0.5)
    assert (known.standard_error, known.df, known.trainings, known.is_theory) == (0.0, None, trainings, False)
    assert "read off a figure" in known.basis
    assert "at most 0.006" in known.basis


def test_a_value_in_theory_is_exact():
    known = published_uncertainty("exact", None)
    assert (known.standard_error, known.trainings, known.best_of, known.is_theory) == (0.0, None, 1, True)
    assert "theory" in known.basis


def test_the_best_of_several_trainings_is_a_rule_of_its_own():
    known = published_uncertainty("none", None, 3, "best")
    assert (known.best_of, known.is_single) == (3, False)
    assert known.basis.startswith("expected best of 3: ")
