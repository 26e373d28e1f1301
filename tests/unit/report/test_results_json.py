"""tests.unit.report.test_results_json"""

import json
import math

import pytest

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.analysis.ordering import table_orders
from benchmark.report.results_json import results_json


def no_constants(constant):
    raise AssertionError(f"{constant} is not JSON")


def read_json(text):
    """Reads JSON strictly: NaN, Infinity and duplicate keys are errors."""

    def pairs(items):
        assert len(dict(items)) == len(items), "duplicate key"
        return dict(items)

    return json.loads(text, parse_constant=no_constants, object_pairs_hook=pairs)


def members(content):
    return {(table["title"], row["row"]): row for table in content["tables"] for row in table["rows"]}


@pytest.fixture(scope="module", params=["mixed", "all_finished"])
def records(request, suite):
    found = request.getfixturevalue(request.param)
    return found if request.param == "mixed" else found(suite)


@pytest.fixture(scope="module")
def expected(suite, records):
    return leaderboard_rows(suite, records)


@pytest.fixture(scope="module")
def content(suite, expected):
    return read_json(results_json(suite, expected))


def test_the_file_describes_its_suite(suite, content):
    assert content["format"] == 1
    described = (content["suite"], content["title"], content["scale"], content["reduced"])
    assert described == (suite.name, suite.title, "paper", False)
    assert content["seeds"] == list(suite.seeds)
    assert content["tolerance"] == suite.tolerance


def test_rows_keep_the_order_of_the_suite(suite, content, expected):
    assert [table["title"] for table in content["tables"]] == list(suite.tables)
    assert list(members(content)) == [(row.table, row.label) for row in expected]


def test_results_are_those_of_the_rows(content, expected):
    for row in expected:
        found = members(content)[row.table, row.label]["results"]
        assert list(found) == list(row.results)
        for key, result in row.results.items():
            entry = found[key]
            assert entry["verdict"] == result.verdict.value
            assert (entry["title"], entry["better"]) == (result.output.title, result.output.better)
            if result.published is None:
                assert entry["published"] is None
            else:
                assert entry["published"] == result.published.model_dump(mode="json")
                assert entry["published"]["status"] in ("verified", "unverified")
                assert entry["published"]["source"]
            if result.aggregate is None:
                assert entry["measured"] is None
            else:
                assert entry["measured"]["by_seed"] == {str(seed): v for seed, v in result.aggregate.values.items()}
                assert entry["measured"]["mean"] == result.aggregate.mean
                assert entry["measured"]["standard_deviation"] == result.aggregate.std
            if result.judged is None:
                assert entry["judged"] is None
            else:
                judged = entry["judged"]
                assert (judged["rule"], judged["value"]) == (result.rule, result.judged.estimate)
                assert bool(judged["rule"]) == bool(judged["notes"]) == (result.published is not None)
                variation = result.judged.trainings.coefficient_of_variation
                assert judged["coefficient_of_variation"] == variation
            if result.difference is None:
                assert entry["difference"] is None
            else:
                interval = result.difference.interval
                assert entry["difference"]["estimate"] == result.difference.estimate
                assert entry["difference"]["interval_95"] == (None if interval is None else list(interval))
                assert entry["difference"]["margin"] == result.difference.margin
            reasons = result.reference.mismatches if result.reference else ()
            assert entry["mismatches"] == list(reasons)


def test_trials_and_cost_are_those_of_the_rows(content, expected):
    for row in expected:
        found = members(content)[row.table, row.label]
        assert [(t["trial_id"], t["seed"], t["status"]) for t in found["trials"]] == [
            (trial.spec.trial_id, trial.spec.seed, trial.status) for trial in row.trials
        ]
        assert found["protocol"] == row.spec.protocol.model_dump(mode="json")
        assert (found["cost"] is None) == (row.cost is None)
        if row.cost:
            assert found["cost"]["core_seconds"] == row.cost.core_seconds


def test_orders_are_those_of_the_tables(suite, content, expected):
    for table in content["tables"]:
        for key in ("modes", "kl"):
            order = table_orders(rows_by_table(suite, expected)[table["title"]], key)
            if order is None:
                assert key not in table["orders"]
                continue
            entry = table["orders"][key]
            assert entry["kendall_tau"] == order.kendall_tau
            assert [(pair["first"], pair["second"]) for pair in entry["pairs"]] == [
                (pair.first, pair.second) for pair in order.pairs
            ]
            for pair, expect in zip(entry["pairs"], order.pairs, strict=True):
                assert pair["verdict"] == (expect.verdict and expect.verdict.value)
                assert pair["rank_test_p_holm"] == expect.p_value
                probability = expect.improvement and expect.improvement.probability
                assert pair["probability_of_improvement"] == probability


def test_a_published_order_has_its_pairs(suite, all_finished):
    checked, *_ = read_json(results_json(suite, leaderboard_rows(suite, all_finished(suite))))["tables"]
    assert len(checked["orders"]["modes"]["pairs"]) == 3
    assert checked["orders"]["modes"]["kendall_tau"] == 1.0, "GAN, SSGAN, MSGAN, as published"
    whole = {"methods": ["MSGAN", "SSGAN", "GAN"], "probability": 1.0, "chance": 1 / 6}
    assert checked["orders"]["modes"]["published_order"] == whole


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_null(suite, all_finished, make_record, specs_of, value):
    records = all_finished(suite)
    spec = specs_of(suite, "Checked", "GAN")[0]
    records[spec.trial_id] = make_record(spec, metrics={"modes": value, "kl": 1.0})
    found = members(read_json(results_json(suite, leaderboard_rows(suite, records))))["Checked", "GAN"]["results"][
        "modes"
    ]
    assert found["measured"]["by_seed"][str(spec.seed)] is None
    assert found["measured"]["mean"] is None
    assert found["difference"] is None
    others = [number for seed, number in found["measured"]["by_seed"].items() if seed != str(spec.seed)]
    assert all(isinstance(number, float) for number in others)


def test_a_reduced_scale_has_no_comparisons(quick, all_finished):
    content = read_json(results_json(quick, leaderboard_rows(quick, all_finished(quick))))
    assert content["reduced"] is True
    verdicts = {result["verdict"] for row in members(content).values() for result in row["results"].values()}
    assert verdicts == {"reduced scale", "no matched reference"}


def test_without_records_nothing_is_measured(suite):
    content = read_json(results_json(suite, leaderboard_rows(suite, {})))
    for row in members(content).values():
        assert {result["verdict"] for result in row["results"].values()} == {"not run"}
        assert all(result["measured"] is None for result in row["results"].values())
    assert all(table["orders"] == {} for table in content["tables"])


def test_the_order_of_records_does_not_change_the_bytes(suite, records):
    text = results_json(suite, leaderboard_rows(suite, records))
    backwards = dict(reversed(records.items()))
    assert results_json(suite, leaderboard_rows(suite, backwards)) == text
    assert text.endswith("}\n")
