"""Claims of a suite, measured and judged from its records."""

import pytest

from benchmark.analysis.claims.paired_tests import LEVEL
from benchmark.analysis.claims.power import seeds_to_decide
from benchmark.analysis.claims.results import claim_results, results_by_table
from benchmark.analysis.claims.verdicts import CLAIM_VERDICT_MEANINGS, ClaimVerdict, judge_claim
from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.analysis.verdicts import SeedCounts
from tests.support.claim_suite import DROP, load_claims, records_of

NOISE = (0.03, -0.02, 0.01, -0.04, 0.02)


def falling(row, seed, step):
    """Modes that fall by 5, give or take a little, from step 100 to 200 in every row, and then stay."""
    return {"modes": 100.0 - (5 + NOISE[seed % 5]) * (step > 100) + seed, "kl": 1.0}


def judged(folder, changes=(), value=falling, scale="paper", without=(), status=None):
    """The result of one claim. `without`: (row, seed) that have no record, or one with this status."""
    suite = load_claims(folder, {"C": DROP | dict(changes)}, scale)
    records = records_of(suite, value)
    for cell in suite.cells:
        for spec in cell.specs:
            if (cell.row, spec.seed) in without:
                record = records.pop(spec.trial_id)
                if status:
                    records[spec.trial_id] = record.model_copy(update={"status": status})
    (result,) = claim_results(suite, leaderboard_rows(suite, records))
    return result


def test_a_drop_is_measured_and_supported(tmp_path):
    result = judged(tmp_path)
    (side,) = result.sides
    assert side.right.values == {seed: 100.0 + seed for seed in range(5)}
    assert side.left.values == pytest.approx({seed: 95.0 + seed - NOISE[seed] for seed in range(5)})
    assert side.difference.values == pytest.approx({seed: -5 - NOISE[seed] for seed in range(5)})
    low, high = side.interval
    assert low < side.difference.mean < high < 0
    assert (result.verdict, result.p_for) == (ClaimVerdict.SUPPORTED, side.p_for)
    assert result.p_for < 1e-6
    assert result.p_against == pytest.approx(1 - result.p_for)
    assert result.counts == SeedCounts(finished=5)


def test_a_quantity_is_the_mean_over_the_evaluations_of_its_steps(tmp_path):
    left = {"row": "Plain", "output": "modes", "after": 200, "up_to": 300, "every": 300}  # 300, 600, 900
    result = judged(tmp_path, {"left": left, "right": {"up_to": 200}}, lambda row, seed, step: {"modes": step + seed})
    assert result.sides[0].left.values == {seed: 600 + seed for seed in range(5)}
    assert result.sides[0].right.values == {seed: 150 + seed for seed in range(5)}


def test_seeds_are_paired_across_rows(tmp_path):
    """The seeds differ by far more than the rows, which only the pairing shows."""
    value = lambda row, seed, step: {"modes": 100.0 * seed + (row == "Rotated") + NOISE[seed]}  # noqa: E731
    left = {"row": "Rotated", "output": "modes"}
    result = judged(tmp_path, {"left": left, "relation": "greater", "right": {"row": "Plain"}}, value)
    assert result.verdict is ClaimVerdict.SUPPORTED


@pytest.mark.parametrize(
    ("relation", "shift", "verdict"),
    [
        ("less", -1, "supported"),
        ("less", 0, "inconclusive"),
        ("less", 1, "contradicted"),
        ("greater", 1, "supported"),
        ("greater", 0, "inconclusive"),
        ("greater", -1, "contradicted"),
        ("not_greater", -1, "supported"),
        ("not_greater", 0, "supported"),
        ("not_greater", 0.5, "inconclusive"),
        ("not_greater", 1, "contradicted"),
    ],
)
@pytest.mark.parametrize("test", ["t", "sign"])
def test_the_sign_of_the_difference_decides(tmp_path, relation, shift, verdict, test):
    changes = {"relation": relation, "test": test} | ({"margin": 0.5} if relation == "not_greater" else {})
    result = judged(
        tmp_path, changes, lambda row, seed, step: {"modes": shift * (step > 100) + NOISE[seed] * step / 100}
    )
    assert result.verdict == verdict


def test_four_seeds_of_a_sign_test_show_nothing(tmp_path):
    suite = load_claims(tmp_path, {"C": DROP | {"test": "sign"}}, seeds=4)
    (result,) = claim_results(suite, leaderboard_rows(suite, records_of(suite, falling)))
    assert (result.p_for, result.verdict) == (2**-4, ClaimVerdict.INCONCLUSIVE)


def test_some_and_every_side(tmp_path):
    def value(row, seed, step):
        return {"modes": 100.0 + seed - 5 * (step > 100) * (row == "Rotated") + NOISE[seed] * step / 100}

    left = {"row": ["Plain", "Rotated", "Third"], "output": "modes", "after": 100, "up_to": 200}
    some = judged(tmp_path, {"left": left, "quantifier": "some"}, value)
    assert some.verdict is ClaimVerdict.SUPPORTED
    assert [side.pair.side for side in some.as_predicted] == ["Rotated"]
    assert some.opposed == ()
    assert some.p_for == pytest.approx(3 * min(side.p_for for side in some.sides))
    every = judged(tmp_path, {"left": left, "quantifier": "every"}, value)
    assert every.verdict is ClaimVerdict.INCONCLUSIVE
    assert every.p_for == max(side.p_for for side in every.sides)
    opposite = judged(tmp_path, {"left": left, "quantifier": "every", "relation": "greater"}, value)
    assert opposite.verdict is ClaimVerdict.CONTRADICTED
    assert [side.pair.side for side in opposite.opposed] == ["Rotated"]


@pytest.mark.parametrize("status", [None, "failed", "diverged"])
def test_a_seed_that_is_missing_on_one_row_leaves_the_claim_open(tmp_path, status):
    changes = {"left": {"row": "Rotated", "output": "modes"}, "right": {"row": "Plain", "up_to": 100}}
    result = judged(tmp_path, changes, without={("Rotated", 2)}, status=status)
    assert result.verdict is ClaimVerdict.INCONCLUSIVE
    assert (result.counts.finished, result.counts.total) == (4, 5)
    assert getattr(result.counts, status or "not_run") == 1
    assert result.sides[0].difference.n == 4


def test_rows_with_different_numbers_of_seeds_are_tested_on_those_that_all_have(tmp_path):
    """As in a report on a suite that is still running."""
    left = {"row": ["Plain", "Rotated"], "output": "modes", "after": 100, "up_to": 200}
    changes = {"left": left, "quantifier": "every"}
    result = judged(tmp_path, changes, without={("Rotated", 2), ("Rotated", 4)})
    assert [side.difference.n for side in result.sides] == [5, 3]
    assert (result.verdict, result.counts.finished) == (ClaimVerdict.INCONCLUSIVE, 3)
    of_three = judged(tmp_path, changes, without={(row, seed) for row in left["row"] for seed in (2, 4)})
    assert result.p_for == of_three.p_for
    assert seeds_to_decide(result) == seeds_to_decide(of_three)


def test_nothing_measured_is_not_run(tmp_path):
    result = judged(tmp_path, without={("Plain", seed) for seed in range(5)})
    assert (result.verdict, result.sides, result.p_for) == (ClaimVerdict.NOT_RUN, (), None)


def test_a_record_without_the_output_is_never_judged(tmp_path):
    result = judged(tmp_path, value=lambda row, seed, step: {"modes": 1.0 * step} if seed else {"kl": 1.0})
    assert (result.verdict, result.p_for) == (ClaimVerdict.INCONCLUSIVE, None)
    assert result.sides[0].difference.n == 4


def test_values_that_are_not_finite_decide_nothing(tmp_path):
    result = judged(tmp_path, value=lambda row, seed, step: {"modes": float("nan") if seed else 1.0})
    assert result.verdict is ClaimVerdict.INCONCLUSIVE
    assert result.as_predicted == result.opposed == ()


def test_a_reduced_scale_is_judged_only_where_the_paper_states_none(tmp_path):
    window = {"left": {"row": "Plain", "output": "modes"}, "right": {"up_to": 4}}
    value = lambda row, seed, step: {"modes": float(-step - seed * step)}  # noqa: E731
    assert judged(tmp_path, window, value, "quick").verdict is ClaimVerdict.REDUCED
    assert judged(tmp_path, window | {"published": "paper/small-scale"}, value, "quick").verdict is (
        ClaimVerdict.SUPPORTED
    )
    assert judged(tmp_path, {}, value, "quick").sides == (), "there are no evaluations at these steps"


def test_an_unverified_claim_is_never_judged(tmp_path):
    result = judged(tmp_path, {"published": "paper/remembered"})
    assert result.verdict is ClaimVerdict.UNVERIFIED
    assert result.p_for < LEVEL


def test_added_seeds_are_not_those_of_the_claim(tmp_path):
    suite = load_claims(tmp_path, {"C": DROP})
    suite = suite.with_looks([(5, 8)] * len(suite.cells), 8)
    (result,) = claim_results(suite, leaderboard_rows(suite, records_of(suite, falling)))
    assert result.counts == SeedCounts(finished=5)


def test_results_are_grouped_by_table(tmp_path):
    suite = load_claims(tmp_path, {"A": DROP, "B": DROP | {"relation": "greater"}})
    results = claim_results(suite, leaderboard_rows(suite, {}))
    assert results_by_table(results) == {"Experiment": results}
    assert results_by_table([]) == {}


def test_every_verdict_has_a_meaning_and_two_answer_the_question():
    assert set(CLAIM_VERDICT_MEANINGS) == set(ClaimVerdict)
    assert [verdict for verdict in ClaimVerdict if verdict.is_decided] == ["supported", "contradicted"]


def test_two_seeds_decide_nothing():
    assert judge_claim(SeedCounts(finished=2), 0.001, 0.999) is ClaimVerdict.INCONCLUSIVE
    assert judge_claim(SeedCounts(finished=3), 0.001, 0.999) is ClaimVerdict.SUPPORTED
