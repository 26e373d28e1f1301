"""The claims of a suite: which evaluations each compares, and messages that name what is wrong and where."""

from pathlib import Path

import pytest

from benchmark.config.published import find_paper
from benchmark.config.suite import load_suite, select_cells
from benchmark.core.errors import UserError
from tests.support.claim_suite import DROP, PAPER, load_claims, write_claims


def only_claim(folder, scale="paper", **changes):
    (claim,) = load_claims(folder, {"C": DROP | changes}, scale).claims
    return claim


def problem(folder, name="C", **changes):
    with pytest.raises(UserError) as raised:
        load_claims(folder, {name: {key: value for key, value in (DROP | changes).items() if value is not ...}})
    return str(raised.value)


def test_a_claim_holds_the_sentence_the_quantities_and_the_prediction(tmp_path):
    claim = only_claim(tmp_path, assumptions=["SS-01", "the batch size"], note="ours")
    assert claim.published.sentence == '"the accuracy drops" at every switch'
    assert claim.paper == "A Paper (CVPR 2019)"
    assert (claim.table, claim.name, claim.reference) == ("Experiment", "C", "paper/drop")
    assert (claim.relation, claim.edge, claim.test, claim.note) == ("less", 0.0, "t", "ours")
    assert claim.assumptions == ("SS-01", "the batch size")
    (pair,) = claim.comparisons
    assert (pair.left.row, pair.left.output.key, pair.left.steps) == ("Plain", "modes", (200,))
    assert (pair.right.row, pair.right.output.key, pair.right.steps) == ("Plain", "modes", (100,))
    assert pair.side == ""


@pytest.mark.parametrize(
    ("window", "steps"),
    [
        ({}, (1000,)),
        ({"after": 900}, (1000,)),
        ({"up_to": 300}, (100, 200, 300)),
        ({"after": 100, "up_to": 300}, (200, 300)),
        ({"after": 100, "up_to": 200, "every": 400}, (200, 600, 1000)),
        ({"after": 100, "up_to": 200, "every": 400, "until": 700}, (200, 600)),
        ({"up_to": 100, "every": 300}, (100, 400, 700, 1000)),
    ],
)
def test_a_quantity_covers_the_evaluations_of_its_windows(tmp_path, window, steps):
    left = {"row": "Rotated", "output": "modes", **window}
    (pair,) = only_claim(tmp_path, left=left, right={"row": "Plain"}).comparisons
    assert pair.left.steps == steps
    assert bool(pair.left.when) == bool(window)


def test_the_right_side_takes_row_and_output_from_the_left(tmp_path):
    left = {"row": ["Plain", "Rotated"], "output": ["modes", "kl"], "after": 500}
    claim = only_claim(tmp_path, left=left, right={"up_to": 500}, quantifier="every")
    assert [(pair.left.row, pair.left.output.key) for pair in claim.comparisons] == [
        (pair.right.row, pair.right.output.key) for pair in claim.comparisons
    ]
    assert len({pair.side for pair in claim.comparisons}) == 4
    assert claim.rows == ("Plain", "Rotated")


def test_an_asterisk_stands_for_several_outputs(tmp_path):
    left = {"row": "Plain", "output": "*"}
    claim = only_claim(tmp_path, left=left, right={"row": "Rotated", "output": "kl"}, quantifier="some")
    assert [pair.left.output.key for pair in claim.comparisons] == ["modes", "kl"]
    assert {pair.right.output.key for pair in claim.comparisons} == {"kl"}


def test_a_claim_for_each_side_is_several_claims(tmp_path):
    left = {"row": ["Plain", "Rotated"], "output": "modes", "after": 500}
    claims = load_claims(tmp_path, {"C": DROP | {"left": left, "right": {"up_to": 500}}}).claims
    assert [(claim.name, claim.rows) for claim in claims] == [("C: Plain", ("Plain",)), ("C: Rotated", ("Rotated",))]


def test_a_margin_moves_the_edge(tmp_path):
    assert only_claim(tmp_path, relation="not_greater", margin=1.5).edge == 1.5


def test_a_claim_is_judged_at_the_scale_of_the_paper_or_where_the_paper_states_none(tmp_path):
    assert only_claim(tmp_path).is_judged
    assert not only_claim(tmp_path, scale="quick").is_judged
    any_scale = {"published": "paper/small-scale", "left": {"row": "Plain", "output": "modes"}, "right": {"up_to": 4}}
    assert only_claim(tmp_path, scale="quick", **any_scale).is_judged
    assert not load_claims(tmp_path, {"C": DROP}, "smoke").claims, "nothing is claimed about synthetic images"


def test_a_claim_that_is_not_judged_may_lack_its_steps(tmp_path):
    (pair,) = only_claim(tmp_path, scale="quick").comparisons
    assert pair.left.steps == ()


def test_a_claim_disappears_with_its_rows(tmp_path):
    suite = load_claims(tmp_path, {"C": DROP})
    assert select_cells(suite, ["Plain"]).claims == suite.claims
    assert select_cells(suite, ["Rotated"]).claims == ()


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"left": DROP["left"] | {"row": "Plane"}}, "left.row", "there is no row 'Plane'; did you mean 'Plain'?"),
        ({"right": {"row": "Plane"}}, "right.row", "there is no row 'Plane'"),
        ({"left": DROP["left"] | {"output": "mode"}}, "left.output", "row 'Plain' measures no 'mode'"),
        ({"left": {"row": "Plain"}}, "left", "'output' is required"),
        ({"left": {"output": "modes"}}, "left", "'row' is required"),
        ({"right": {"row": ["Plain", "Third"]}}, "right.row", "only 'left' may have several"),
        ({"right": {"output": "*"}}, "right.output", "stands for 2 quantities"),
        (
            {"left": DROP["left"] | {"after": 110, "up_to": 190}},
            "left.up_to",
            "no evaluation at steps 111 to 190; it has those at steps 100, 200, 300, ..., 1,000",
        ),
        (
            {"left": DROP["left"] | {"after": 1000, "up_to": 9}},
            "left.after",
            "is 1000, but the window ends at step 9",
        ),
        ({"left": {"row": "Plain", "output": "modes", "every": 100}}, "left.every", "say which by 'after' and 'up_to'"),
        ({"left": DROP["left"] | {"until": 900}}, "left.until", "belongs to 'every'; write 'up_to'"),
        ({"right": {"after": 100, "up_to": 200}}, "C", "'left' and 'right' are the same quantity"),
        ({"published": "paper/dorp"}, "published", "has no claim 'dorp'; did you mean 'drop'?"),
        ({"published": "papper/drop"}, "published", "unknown paper 'papper'"),
        ({"quantifier": "some"}, "quantifier", "'some' needs several rows or outputs under 'left'"),
        ({"relation": "not_greater"}, "C", "'margin' is required by relation 'not_greater'"),
        ({"margin": 0.1}, "margin", "belongs to relation 'not_greater'"),
        ({"relation": "lower"}, "relation", "is 'lower'"),
        ({"test": "z"}, "test", "is 'z'"),
        ({"left": DROP["left"] | {"step": 3}}, "left.step", "unknown key 'step'"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path, changes, key, words):
    changes = {
        name: {k: v for k, v in value.items() if v is not ...} if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    message = problem(tmp_path, **changes)
    assert words in message
    where, _, rest = message.partition(": ")
    file, _, line = where.rpartition(":")
    assert file == str(tmp_path / "claimed.yaml")
    assert rest.startswith(f"tables[0].claims.{'C' if key == 'C' else f'C.{key}'}")
    last = key.split(".")[-1]
    assert last in Path(file).read_text().splitlines()[int(line) - 1]


def test_all_mistakes_are_reported_at_once(tmp_path):
    claims = {"A": DROP | {"published": "paper/a"}, "B": DROP | {"margin": 1.0}, "C": DROP}
    with pytest.raises(UserError) as raised:
        load_claims(tmp_path, claims)
    assert len(str(raised.value).splitlines()) == 2


def test_a_paper_of_claims_needs_no_table(tmp_path):
    write_claims(tmp_path, {"C": DROP})
    assert set(find_paper(tmp_path / "papers", "paper").claims) == {"drop", "small-scale", "remembered"}


def test_a_claim_without_a_sentence_is_refused(tmp_path):
    path = write_claims(tmp_path, {"C": DROP}, PAPER.replace("    sentence: some output is smaller\n", ""))
    with pytest.raises(UserError, match=r"claims\.small-scale: 'sentence' is required"):
        load_suite(path)


def test_claims_of_shipped_papers_quote_and_name_their_sources():
    claims = {
        f"{path.stem}/{name}": claim
        for path in Path("suites/papers").glob("*.yaml")
        for name, claim in find_paper(path.parent, path.stem).claims.items()
    }
    assert {name for name in claims if name.startswith("cvpr2019/forgetting/")}
    assert {name for name in claims if name.startswith("neurips2019/collapsed/")}
    assert all("figure" in claim.source for claim in claims.values())
