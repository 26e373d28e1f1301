"""The run of a report in MLflow's terms: tags and metrics of claims, and the files."""

import pytest

from benchmark.tracking.report_run import report_artifacts, report_metrics, report_tags
from tests.support.claim_suite import DROP, load_claims, records_of

SIDES = {"row": ["Plain", "Rotated"], "output": "modes", "after": 100, "up_to": 200}
CLAIMS = {"drops": DROP, "all/drop": DROP | {"left": SIDES, "quantifier": "every"}}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_claims(tmp_path_factory.mktemp("claims"), CLAIMS)


@pytest.fixture(scope="module")
def records(suite):
    return records_of(suite, lambda row, seed, step: {"modes": 100.0 - 5 * (step > 100) + 0.01 * seed * step})


def test_a_claim_is_a_tag_and_its_p_values_are_metrics(suite, records):
    tags, metrics = report_tags(suite, records), report_metrics(suite, records)
    assert (tags["claim.drops"], tags["claim.all/drop"]) == ("supported",) * 2
    assert metrics["claim/drops/p_for"] < 0.05 < metrics["claim/drops/p_against"]
    assert metrics["claim/drops/difference"] == pytest.approx(-5 + 2.0)
    assert {key.rpartition("/")[2] for key in metrics if "all" in key} >= {"p_for", "p_against", "Plain", "Rotated"}


def test_a_suite_without_records_has_tags_and_no_metrics(suite):
    assert report_tags(suite, {})["claim.drops"] == "not run"
    assert report_metrics(suite, {}) == {}


def test_the_files_of_claims_belong_to_the_report(tmp_path):
    for name in ("leaderboard.md", "results.csv"):
        (tmp_path / name).write_text("x")
    assert "claims.csv" not in report_artifacts(tmp_path)
    (tmp_path / "claims.csv").write_text("table,claim")
    assert report_artifacts(tmp_path)["claims.csv"] == b"table,claim"
