"""Measurements accept the commands that the documents and their own docstrings quote."""

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGES = [*Path().glob("*.md"), *Path("docs").rglob("*.md")]
QUOTES = [quote for page in PAGES for quote in re.findall(r"`python -m perf\.([^`]+)`", page.read_text())]
EXAMPLES = [
    example
    for path in Path("perf").rglob("*.py")
    for example in re.findall(r"^    python -m perf\.(.+)$", path.read_text(), re.MULTILINE)
]
COMMANDS = sorted({" ".join(command.split()).replace("--trials N", "--trials 1") for command in QUOTES + EXAMPLES})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_quoted_command_parses(command):
    name, *arguments = command.split()
    module = f"perf.{name}.__main__" if Path("perf", name).is_dir() else f"perf.{name}"
    options = vars(import_module(module).argument_parser().parse_args(arguments))
    given = {argument.lstrip("-").replace("-", "_") for argument in arguments if argument.startswith("--")}
    assert given <= set(options), "an abbreviated option"


def test_every_measurement_is_quoted():
    scripts = [path for path in Path("perf").rglob("*.py") if "def argument_parser" in path.read_text()]
    names = {path.parent.name if path.stem == "__main__" else path.stem for path in scripts}
    assert names == {command.split()[0] for command in COMMANDS}
