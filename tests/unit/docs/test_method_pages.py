"""The page of every method in `docs/methods/` says what the code says."""

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic.fields import FieldInfo

from benchmark.core import registry

FOLDER = Path("docs/methods")
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
METHODS = list(registry.methods)
SECTIONS = ["Equations", "Switches", "Recipe", "Paper and code", "Limits"]
ID = r"\b(?:MS|SS|LA|SN|DG|X)-\d\d\b"
# Markdown takes away a backslash before a punctuation mark before the formula is read; GitHub refuses the macros
UNSAFE_IN_MATH = r"\\[^a-zA-Z\s]|\\(?:operatorname|def|newcommand|text|begin)\b|[<>*]"


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


def sections(text: str) -> dict[str, str]:
    """Heading -> what stands under it."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def values(field: FieldInfo) -> str:
    """How a page writes what a field may be."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    if field.annotation is bool:
        return "`true`, `false`"
    bounds = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{sign} {getattr(m, key):g}" for m in field.metadata for key, sign in bounds.items() if hasattr(m, key)]
    return ", ".join(["integer"] * (field.annotation is int) + found)


def math_blocks(text: str) -> list[str]:
    return re.findall(r"^\$\$(.+)\$\$$", text, re.MULTILINE)


def inline_math(text: str) -> list[str]:
    return re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", re.sub(r"`[^`]*`", "", text))


def test_every_method_has_a_page_and_every_page_a_method():
    assert [path.stem for path in PAGES] == sorted(METHODS)


def test_the_index_lists_every_method_once_in_the_order_of_the_registry():
    found = [(cells[0], cells[1], cells[2]) for cells in rows((FOLDER / "README.md").read_text())]
    classes = {name: registry.methods[name] for name in METHODS}
    assert [link for link, _, _ in found] == [f"[{kind.title}]({name}.md)" for name, kind in classes.items()]
    assert [(paper, year) for _, paper, year in found] == [(c.paper, str(c.year)) for c in classes.values()]


@pytest.mark.parametrize("name", METHODS)
def test_a_page_opens_with_the_method_as_it_is_registered(name):
    method, text = registry.methods[name], page(name)
    head = text.split("\n## ")[0]
    assert text.startswith(f"# {method.title}\n")
    assert f"{method.paper}, {method.year}" in re.sub(r"\s+", " ", head)
    assert f"`python -m benchmark methods {name}`" in head


@pytest.mark.parametrize("name", METHODS)
def test_a_page_has_the_sections_in_order_and_fits(name):
    text = page(name)
    assert list(sections(text)) == SECTIONS
    assert all(content.strip() for content in sections(text).values())
    assert len(text.splitlines()) <= 120
    assert not [line for line in text.splitlines() if len(line) > 120 and not line.startswith(("|", "$$"))]


@pytest.mark.parametrize("name", METHODS)
def test_the_switches_are_the_fields_of_the_options(name):
    fields: dict[str, FieldInfo] = registry.methods[name].Options.model_fields
    table = {code(cells[0])[0]: cells for cells in rows(sections(page(name))["Switches"])}
    assert list(table) == list(fields)
    for option, field in fields.items():
        default, allowed = table[option][1:3]
        assert allowed == values(field), option
        if field.is_required():
            assert default == "required"
        else:
            assert canonical(yaml.safe_load(code(default)[0])) == canonical(field.default), option
        assert all(cell for cell in table[option])


def canonical(value: Any) -> str:
    return json.dumps(value)


@pytest.mark.parametrize("name", METHODS)
def test_every_player_has_its_equation(name):
    equations = sections(page(name))["Equations"]
    order = [f"{player.capitalize()}" for player in registry.methods[name].players]
    assert re.findall(r"^\*\*(Encoder|Classifier|Discriminator|Generator)", equations, re.MULTILINE) == order
    assert len(math_blocks(equations)) >= len(order)


@pytest.mark.parametrize("path", [*PAGES, FOLDER / "README.md"], ids=str)
def test_math_is_closed_and_survives_markdown(path):
    text = path.read_text()
    assert text.count("$$") == 2 * len(math_blocks(text)), "a block is $$...$$ on a line of its own"
    lines = re.sub(r"`[^`\n]*`", "", text).splitlines()
    assert all(line.count("$") % 2 == 0 for line in lines)
    blocks = [index for index, line in enumerate(lines) if line.startswith("$$")]
    assert all(lines[index - 1] == lines[index + 1] == "" for index in blocks), "a block stands between empty lines"
    for before, after in re.findall(r"(.?)\$[^$\n]+\$(.?)", "\n".join(line for line in lines if "$$" not in line)):
        beside = f"GitHub may not see a formula between {before!r} and {after!r}"
        assert before in "( ", beside
        assert after in ").,:; ", beside
    for formula in [*math_blocks(text), *inline_math(text)]:
        assert not re.search(UNSAFE_IN_MATH, formula), formula
        assert balanced(formula), formula
        assert formula.count(r"\left") == formula.count(r"\right")


def balanced(formula: str) -> bool:
    depth = 0
    for sign in formula:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            return False
    return depth == 0


@pytest.mark.parametrize("path", [*PAGES, FOLDER / "README.md"], ids=str)
def test_every_discrepancy_id_is_explained_and_linked(path):
    text = path.read_text()
    explained = set(re.findall(rf"^\| ({ID}) \|", Path("docs/discrepancies.md").read_text(), re.MULTILINE))
    used = set(re.findall(ID, text))
    assert used <= explained
    assert not re.findall(rf"{ID}(?!\]\(\.\./discrepancies\.md\))", text), "every id is a link"


@pytest.mark.parametrize("name", METHODS)
def test_the_tests_that_a_page_names_exist(name):
    named = re.findall(r"`(test_\w+)`", sections(page(name))["Limits"])
    limits = Path("tests/unit/baselines/test_limits.py").read_text()
    assert named
    assert not [test for test in named if f"def {test}(" not in limits]


def test_the_example_in_the_readme_is_the_code():
    """Its lines are lines of the method's file, in this order; lines may be left out."""
    (example,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    code = iter(Path("baselines/methods/ssgan.py").read_text().splitlines())
    missing = [line for line in example.splitlines() if line not in code]
    assert not missing
