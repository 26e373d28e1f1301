"""The seeds that the claims of a suite need, as `plan` shows them."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmark.cli.plan import claims_table
from benchmark.planning.claim_needs import claim_needs
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace
from tests.support.claim_suite import DROP, load_claims, records_of

SEVERAL = {"row": ["Plain", "Rotated", "Third"], "output": "modes", "after": 100, "up_to": 200}
CLAIMS = {
    "unclear": DROP,
    "clear": DROP | {"left": DROP["left"] | {"output": "kl"}},
    "signs": DROP | {"test": "sign", "quantifier": "some", "left": SEVERAL},
}
DROPS = (3.0, -2.0, 1.0, -1.5, 4.0)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace.at(tmp_path_factory.mktemp("work"))
    workspace.create()
    return workspace


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_claims(tmp_path_factory.mktemp("claims"), CLAIMS)


def needs_of(suite, workspace):
    return claim_needs(SimpleNamespace(suite=suite), workspace)


def test_before_training_the_fewest_seeds_are_known(suite, workspace):
    needs = needs_of(suite, workspace)
    assert [need.result.claim.name for need in needs] == [*CLAIMS]
    assert [tuple(need.fewest) for need in needs] == [(3, 3), (3, 3), (6, 5)]
    assert {need.enough for need in needs} == {None}


def test_decided_claims_are_left_out_and_others_have_a_number(suite, tmp_path):
    def value(row, seed, step):
        return {"modes": -DROPS[seed] * (step > 100), "kl": 9.0 - (step > 100) + 0.001 * seed * step}

    workspace = Workspace.at(tmp_path)
    workspace.create()
    for record in records_of(suite, value).values():
        RecordStore(workspace.results).write(record)
    unclear, signs = needs_of(suite, workspace)
    assert unclear.enough > 5
    entry = unclear.as_json()
    assert (entry["claim"], entry["verdict"], entry["finished"]) == ("unclear", "inconclusive", 5)
    assert entry["seeds_to_decide"] == unclear.enough
    console = Console(file=io.StringIO(), width=100)
    console.print(claims_table([unclear, signs]))
    line = next(line for line in console.file.getvalue().splitlines() if "unclear" in line)
    assert line.split()[-6:] == ["5", "of", "5", "3", "3", str(unclear.enough)]


def test_a_claim_that_is_not_judged_needs_nothing(tmp_path, workspace):
    assert needs_of(load_claims(tmp_path, CLAIMS, "quick"), workspace) == []
