"""Reading YAML: what is accepted, and that everything else is refused with one message and its location."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark.config.yaml_source import YamlFile, dotted_key, read_yaml
from benchmark.core.errors import UserError


@pytest.fixture
def read(tmp_path):
    def from_text(text):
        path = tmp_path / "suite.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path)

    return from_text


@pytest.fixture
def refused(read):
    def message(text):
        with pytest.raises(UserError) as raised:
            read(text)
        assert "suite.yaml" in str(raised.value)
        return str(raised.value)

    return message


# --- what is accepted --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("2E-4", 2e-4),
        ("-1e3", -1e3),
        ("+1e+3", 1e3),
        (".5e1", 5.0),
        ("1.e2", 1e2),
        ("0.0", 0.0),
    ],
)
def test_numbers_with_exponents_are_floats(read, text, value):
    data = read(f"lr: {text}").data
    assert data == {"lr": value}
    assert type(data["lr"]) is float


@pytest.mark.parametrize(("text", "value"), [("200000", 200000), ("-3", -3), ("0", 0)])
def test_whole_numbers_stay_whole(read, text, value):
    data = read(f"steps: {text}").data
    assert data == {"steps": value}
    assert type(data["steps"]) is int


@pytest.mark.parametrize("text", ["2e-4x", "e-4", "2019-06-01", "1e", "'2e-4'", "K/4", "1911.06997v2"])
def test_what_only_looks_like_a_number_or_a_date_is_text(read, text):
    data = read(f"key: {text}").data
    assert data == {"key": text.strip("'")}


def test_every_key_and_item_knows_its_line(read):
    lines = read("title: A\n\ntables:\n  - title: B\n    rows:\n      GAN: {method: gan}\n  - x: 1\n").lines
    assert lines == {
        ("title",): 1,
        ("tables",): 3,
        ("tables", 0): 4,
        ("tables", 0, "title"): 4,
        ("tables", 0, "rows"): 5,
        ("tables", 0, "rows", "GAN"): 6,
        ("tables", 0, "rows", "GAN", "method"): 6,
        ("tables", 1): 7,
        ("tables", 1, "x"): 7,
    }


def test_an_alias_to_something_before_is_fine(read):
    data = read("a: &shared {x: 1}\nb: *shared\nc: [*shared, *shared]\n").data
    assert data == {"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 1}]}


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=6)
values = st.recursive(
    st.integers() | st.booleans() | st.none() | words | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(data=st.dictionaries(words, values, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_json_is_read_as_it_is(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "json.yaml"
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    read = read_yaml(path)
    assert read.data == data
    assert {key for key in read.lines if len(key) == 1} == {(key,) for key in data}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("tables", 0, "rows", "GAN", "steps"), "tables[0].rows.GAN.steps"),
        ((0, 1), "[0][1]"),
    ],
)
def test_key_paths_are_written_as_people_do(path, text):
    assert dotted_key(path) == text


def test_a_location_has_the_line_of_the_innermost_known_key(tmp_path):
    file = YamlFile(tmp_path / "f", {}, {("a",): 1, ("a", "b"): 4})
    assert file.location(("a", "b", "c")) == f"{tmp_path / 'f'}:4: a.b.c"
    assert file.location(("z",)) == f"{tmp_path / 'f'}: z"
    assert file.location(()) == str(tmp_path / "f")


# --- what is refused -----------------------------------------------------------------------------------


def test_a_duplicate_key_is_refused_with_both_lines(refused):
    message = refused("title: A\ndefaults:\n  steps: 1\n  lr: 2\n  steps: 3\n")
    assert "suite.yaml:5:" in message
    assert "'steps'" in message
    assert "line 3" in message
    assert "defaults" in message


def test_the_same_key_in_two_mappings_is_fine(read):
    assert read("a: {x: 1}\nb: {x: 1}\nc: [{x: 1}, {x: 2}]").data["c"] == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: *x}", "a: &x {b: [1, {c: *x}]}", "&x {a: *x}"])
def test_an_alias_to_itself_is_refused(refused, text):
    assert "refers to itself" in refused("# comment\n" + text)


@pytest.mark.parametrize("key", ["1", "2.5", "true", "null", "[a, b]", "{a: b}", "~", "2e-4"])
def test_a_key_that_is_not_text_is_refused_with_its_line(refused, key):
    message = refused(f"title: A\n? {key}\n: 1\n")
    assert "suite.yaml:2:" in message
    assert "not text" in message


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null", "~"])
def test_an_empty_file_is_refused(refused, text):
    assert "empty" in refused(text)


@pytest.mark.parametrize(("text", "kind"), [("[1, 2]", "list"), ("just text", "str"), ("3", "int"), ("yes", "bool")])
def test_a_file_without_a_mapping_is_refused(refused, text, kind):
    assert f"holds a {kind}" in refused(text)


@pytest.mark.parametrize("text", ["a: [1, 2", "a: 'open", "a: b: c", "\t- x", "a: *nobody", "a: 1\n---\nb: 2", "%"])
def test_invalid_yaml_is_refused(refused, text):
    assert "not valid YAML" in refused(text)


def test_a_syntax_error_names_its_line(refused):
    assert "suite.yaml:3:" in refused("a: 1\nb: 2\nc: ]\n")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system", "!own x", "!!nope x"])
def test_tags_that_would_make_objects_are_refused(refused, tag):
    assert "not valid YAML" in refused(f"a: {tag}")


@pytest.mark.parametrize(
    "text",
    [
        "a: !!bool perhaps",
        "a: !!int ''",
        "a: !!int x",
        "a: !!float ''",
        "a: !!float x",
        "a: !!timestamp x",
        "a: !!binary é",
        "a: !!str [x]",
        "a: !!map [x]",
        "a: !!seq x",
        "a: !!omap x",
        "? !!str [x]\n: 1",
    ],
)
def test_values_that_do_not_fit_their_tag_are_refused(refused, text):
    refused(text)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\x00\x01\x02", b"a: \x80", b"\x89PNG\r\n\x1a\n", bytes(range(256))]
)
def test_binary_garbage_is_refused(refused, content):
    refused(content)


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- "])
def test_endless_nesting_is_refused(refused, bracket):
    refused("a: " + bracket * 5000 if bracket != "- " else bracket * 5000)


def test_numbers_too_long_for_python_are_refused(refused):
    refused("a: " + "1" * 5000)


def test_a_missing_file_a_folder_and_an_unreadable_one_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml.*no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path)


# YAML's own punctuation and tags, so that random text is often nearly valid
TAGS = ["str", "int", "bool", "float", "null", "set", "omap", "binary", "timestamp", "map", "seq"]
PIECES = [*"ab1:-[]{},?'|>#%@~=\"é\t\n ", "2e-4", "&x", "*x", "<<", "0x", "1:2", "---", ": ", "- ", "\n  "]
yaml_like = st.lists(st.sampled_from(PIECES) | st.sampled_from([f"!!{tag} " for tag in TAGS]), max_size=14).map("".join)


@given(text=st.text(max_size=60) | yaml_like)
@example("a: 1")
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused_but_never_crashes(tmp_path_factory, text):
    assert_read_or_refused(tmp_path_factory.getbasetemp() / "any.yaml", text.encode("utf-8", "surrogatepass"))


@given(content=st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused_but_never_crash(tmp_path_factory, content):
    assert_read_or_refused(tmp_path_factory.getbasetemp() / "any.yaml", content)


def assert_read_or_refused(path, content):
    path.write_bytes(content)
    try:
        file = read_yaml(path)
    except UserError as error:
        message = str(error)
    else:
        assert all(isinstance(key, str) for key in file.data)
        assert {key[0] for key in file.lines} == set(file.data)
        message = str(path)
    assert message.startswith(str(path))


# --- numbers, merge keys and lists without brackets -------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    ["010", "-017", "0x1F", "0b101", "1_000", "1:30", "1:30.5", "00.5", "01e3", "1_0.5"],
)
@pytest.mark.parametrize("place", ["seeds: [{}]", "steps: {}", "a: {{b: {}}}"])
def test_a_number_that_is_not_a_plain_decimal_is_refused(refused, number, place):
    """YAML 1.1 reads 010 as 8 and 1:30 as 90, without a word."""
    assert f"suite.yaml:1: '{number}' is not a plain decimal number" in refused(place.format(number))


@pytest.mark.parametrize("text", ["'010'", '"0x1F"', "v010", "1.2.3", "2026-12-01"])
def test_text_that_looks_like_a_number_stays_text(read, text):
    assert read(f"name: {text}").data == {"name": text.strip("'\"")}


@given(st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_every_number_that_python_prints_is_read_back(tmp_path_factory, number):
    path = tmp_path_factory.getbasetemp() / "number.yaml"
    path.write_text(f"value: {number!r}")
    assert read_yaml(path).data == {"value": number}


def test_a_merge_key_adds_the_keys_that_a_mapping_lacks(read):
    suite = read(
        "base: &base {lr: 1.0e-3, steps: 10}\n"
        "other: &other {steps: 20, width: 4}\n"
        "row:\n  <<: [*base, *other]\n  lr: 2.0e-3\n"
    )
    assert suite.data["row"] == {"lr": 2e-3, "steps": 10, "width": 4}
    assert [suite.line(("row", key)) for key in ("lr", "steps", "width")] == [
        f"{suite.path}:{line}" for line in (5, 1, 2)
    ]


def test_merge_keys_nest(read):
    suite = read("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n")
    assert suite.data["c"] == {"x": 1, "y": 2, "z": 3}
    assert suite.line(("c", "x")) == f"{suite.path}:1"


@pytest.mark.parametrize("text", ["a: {<<: 3}", "a: &a {<<: *a, x: 1}", "a: {<<: [1, {x: 2}]}"])
def test_a_merge_of_something_else_is_refused(refused, text):
    refused(text)


def test_a_list_without_brackets_is_explained(refused):
    assert "write a list in square brackets: [..., 0.9]" in refused("optimizer: {betas: 0.0, 0.9}")
