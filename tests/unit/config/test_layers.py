"""Merging layers: `sources` are read and checked, become provenance, and change no trial."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.config.suite import load_suite
from benchmark.core.errors import UserError
from tests.conftest import SMALL

PATCH = SMALL["defaults"]
KEYS = [*PATCH, *(f"{key}.{inner}" for key, value in PATCH.items() if isinstance(value, dict) for inner in value)]


def with_sources(sources, **changes):
    return {"defaults": {**PATCH, **changes, "sources": sources}}


def sources_of(suite_path: Path, **options) -> dict[str, str]:
    """Of the first cell: dotted key -> source."""
    origins = load_suite(suite_path, **options).cells[0].provenance
    return {".".join(map(str, path)): origin.source for path, origin in origins.items()}


def message(path: Path) -> str:
    with pytest.raises(UserError) as raised:
        load_suite(path)
    return str(raised.value)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sources=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["eq. 3", "train.py:12", "ours"])))
def test_sources_change_no_trial(small_suite, sources):
    plain = load_suite(small_suite())
    sourced = load_suite(small_suite("sourced", **with_sources(sources)))
    assert list(sourced.specs) == list(plain.specs)
    assert [spec.model_dump() for spec in sourced.specs.values()] == [s.model_dump() for s in plain.specs.values()]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sources=st.dictionaries(st.sampled_from(KEYS), st.text("abc", min_size=1)))
def test_every_value_has_the_source_of_the_longest_key_path_that_leads_to_it(small_suite, sources):
    found = sources_of(small_suite(**with_sources(sources)))
    for key in KEYS:
        outer = key.partition(".")[0]
        assert found[key] == sources.get(key, sources.get(outer, ""))


def test_one_text_is_the_source_of_all_values(small_suite):
    found = sources_of(small_suite(**with_sources("ours, for a laptop")))
    assert {found[key] for key in KEYS} == {"ours, for a laptop"}
    assert found["method"] == "", "the row says nothing of its source"


def test_a_source_belongs_to_the_value_in_its_layer(tmp_path, small_suite):
    """Every layer may have some; a value that a later layer replaces loses its source."""
    (tmp_path / "recipes").mkdir()
    recipe = "{steps: 10, batch_size: 12, sources: {steps: recipe 1, batch_size: recipe 2}}"
    (tmp_path / "recipes" / "sourced.yaml").write_text(recipe)
    table = {
        "title": "T",
        "recipe": "sourced",
        "defaults": {"latent": {"dim": 5}, "sources": {"latent": "table"}},
        "rows": {"A": {"method": "gan", "batch_size": 16, "sources": {"method": "row"}}},
    }
    n_fake = {"protocol": {"measures": {"modes": {"n_fake": 64}}}, "sources": {"protocol.measures.modes": "scale"}}
    scales = {"quick": {}, "tiny": {"cell": n_fake}}
    path = small_suite(**with_sources({"latent": "suite", "steps": "suite"}), tables=[table], scales=scales)
    found = sources_of(path)
    assert found["steps"] == "recipe 1"
    assert found["batch_size"] == ""
    assert (found["latent.dim"], found["latent.distribution"]) == ("table", "suite")
    assert found["method"] == "row"
    assert sources_of(path, scale="tiny")["protocol.measures.modes.n_fake"] == "scale"


def test_provenance_names_file_and_line(small_suite):
    path = small_suite()
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "steps:" in text)
    origin = load_suite(path).cells[0].provenance[("steps",)]
    assert (origin.line, origin.location) == (f"{path}:{line}", f"{path}:{line}: defaults.steps")


def line_in(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    "sources, key, expected",
    [
        ({"optimizer.beta": "eq. 2"}, "optimizer.beta", "not set beside it; did you mean 'optimizer.betas'?"),
        ({"options": "eq. 2"}, "options", "not set beside it"),
        ({"steps": 2018}, "steps", "is 2018 but must be a text"),
        ({"steps": " "}, "steps", "must be a text"),
    ],
)
def test_a_source_of_an_unset_value_is_refused_with_its_line(small_suite, sources, key, expected):
    path = small_suite(**with_sources(sources))
    line = line_in(path, "sources:") + 1
    said = message(path)
    assert said.startswith(f"{path}:{line}: defaults.sources.{key}: ")
    assert expected in said
    assert len(said.splitlines()) == 1, "not once per row"


def test_an_invalid_source_in_a_recipe_points_into_the_recipe(tmp_path, small_suite):
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes" / "odd.yaml"
    recipe.write_text("batch_size: 16\nsources:\n  steps: script\n  bach_size: script\n")
    said = message(small_suite(recipe="odd"))
    assert f"{recipe}:3: sources.steps: 'steps' is not set beside it" in said
    assert f"{recipe}:4: sources.bach_size: 'bach_size' is not set beside it; did you mean 'batch_size'?" in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sources=JSON)
def test_any_sources_are_read_or_refused_with_a_message(tmp_path, sources):
    path = tmp_path / "fuzzed.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **with_sources(sources)}))
    try:
        load_suite(path)
    except UserError as error:
        said = str(error)
    else:
        return
    assert str(path) in said
